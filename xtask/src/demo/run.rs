//! A run of the demo: its stack, users and claims.

use super::claims::Claims;
use super::witness::Witness;
use crate::aws::{Aws, Response};
use crate::iam::user;
use crate::queue::Listener;
use crate::stack::Stack;
use anyhow::Result;
use serde_json::{Value, json};

pub(super) const APPLICATION: &str = "web";
pub(super) const ENVIRONMENT: &str = "production";
pub(super) const REPOSITORY: &str = "web";
pub(super) const CLUSTER: &str = "prod";
pub(super) const SERVICE: &str = "web";
pub(super) const STABLE: &str = "prod-stable";

/// The service's desired count.
pub(super) const DESIRED: usize = 2;

/// A run of the demo.
pub(super) struct Demo<'a> {
    pub(super) stack: &'a Stack,
    pub(super) witness: Witness,
    pub(super) claims: Claims,
    /// A user that may register applications.
    pub(super) team: Aws,
    /// A user that may read and roll back.
    pub(super) operator: Aws,
    /// A user that may report checks and withdraw promotions.
    pub(super) pipeline: Aws,
    /// A user without permissions.
    pub(super) intern: Aws,
    /// Receives push events from the default event bus.
    pub(super) pushes: Listener,
    /// Receives Stablepin's events from the stack's own event bus.
    pub(super) published: Listener,
}

impl<'a> Demo<'a> {
    pub(super) fn new(stack: &'a Stack) -> Result<Self> {
        let witness = Witness::of(stack);
        let api = stack.api().trim_start_matches("http://").split('.').next().unwrap_or_default().to_owned();
        let read = format!("GET/v1/applications/{APPLICATION}/*");
        let put = format!("PUT/v1/applications/{APPLICATION}");
        let subscribe = format!("PUT/v1/applications/{APPLICATION}/approvers/*");
        let mint = "POST/v1/console";
        let plan = format!("POST/v1/applications/{APPLICATION}/retention");
        let roll_back = format!("POST/v1/applications/{APPLICATION}/environments/*/rollback");
        let checks = format!("POST/v1/applications/{APPLICATION}/checks");
        let withdraw = format!("POST/v1/applications/{APPLICATION}/promotions/*/withdraw");
        let listen = |name, bus, pattern| Listener::create(&witness.aws, name, bus, &pattern);
        Ok(Self {
            stack,
            claims: Claims::default(),
            team: user(&witness.aws, "team", &api, &[&put, &subscribe])?,
            operator: user(&witness.aws, "operator", &api, &[&read, mint, &roll_back, &plan])?,
            pipeline: user(&witness.aws, "pipeline", &api, &[&checks, &withdraw])?,
            intern: user(&witness.aws, "intern", &api, &[])?,
            pushes: listen("demo-pushes", "default", json!({ "detail-type": ["ECR Image Action"] }))?,
            published: listen("demo-published", stack.bus(), json!({ "source": ["stablepin"] }))?,
            witness,
        })
    }

    /// Sends a request below `/v1/applications/web` that `who` signs.
    pub(super) fn api(&self, who: &Aws, method: &str, path: &str, body: Option<&Value>) -> Result<Response> {
        let url = self.url(path);
        let body = body.map(Value::to_string);
        let kind = body.as_ref().map(|_| "application/json");
        Ok(who.call(method, &url, body.as_deref().map(str::as_bytes), kind, true)?)
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}/v1/applications/{APPLICATION}{path}", self.stack.api())
    }

    pub(super) fn environment_record(&self) -> Result<Value> {
        self.witness.record(&format!("APP#{APPLICATION}"), &format!("ENV#{ENVIRONMENT}"))
    }

    /// Sends the promoter the event that the schedule sends every minute on AWS.
    pub(super) fn tick(&self) -> Result<()> {
        self.stack.tick()?;
        Ok(())
    }

    /// Checks claims about containers, or counts the claims as left out if ECS tasks are simulated.
    pub(super) fn only_with_containers<const N: usize>(
        &self,
        claims: [&str; N],
        check: impl FnOnce([&str; N]) -> Result<()>,
    ) -> Result<()> {
        if self.witness.containers_are_real() {
            return check(claims);
        }
        for claim in claims {
            self.claims.leave_out(claim);
        }
        Ok(())
    }
}
