//! A run of the demo: its application, users and claims.

use std::mem::ManuallyDrop;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use stablepin_tests::iam::user;
use stablepin_tests::{App, Plan, stack};
use xtask::aws::Aws;
use xtask::process::wait_for;
use xtask::queue::Listener;
use xtask::step::{note, seconds};

use crate::claims::Claims;

pub(crate) const APPLICATION: &str = "web";
pub(crate) const ENVIRONMENT: &str = "production";
pub(crate) const REPOSITORY: &str = "web";
pub(crate) const CLUSTER: &str = "prod";
pub(crate) const SERVICE: &str = "web";
pub(crate) const STABLE: &str = "prod-stable";

/// The service's desired count.
pub(crate) const DESIRED: usize = 2;

/// The interval of the demo's ticks. On AWS the schedule triggers the promoter once a minute.
const TICK: Duration = Duration::from_secs(5);

/// A run of the demo.
pub(crate) struct Demo {
    /// The application. The demo never drops the application, since the drop would delete the
    /// repository even with `--keep`.
    pub(crate) app: ManuallyDrop<App>,
    pub(crate) claims: Claims,
    /// A user that may register applications.
    pub(crate) team: Aws,
    /// A user that may read and roll back.
    pub(crate) operator: Aws,
    /// A user that may report checks and withdraw promotions.
    pub(crate) pipeline: Aws,
    /// A user without permissions.
    pub(crate) intern: Aws,
    /// Receives push events from the default event bus.
    pub(crate) pushes: Listener,
    /// Receives Stablepin's events from the stack's own event bus.
    pub(crate) published: Listener,
}

impl Demo {
    pub(crate) fn new() -> Result<Self> {
        let mut plan = Plan::new(APPLICATION);
        (plan.name, plan.repository) = (APPLICATION.to_owned(), REPOSITORY.to_owned());
        plan.approvers = vec!["lead".to_owned()];
        let app = App::unborn(plan);
        let api = stack().api().trim_start_matches("http://").split('.').next().unwrap_or_default();
        let user = |name, requests: &[&str]| user(&app.aws, name, api, requests);
        let listen = |name, bus, pattern| Listener::create(&app.aws, name, bus, &pattern);
        Ok(Self {
            claims: Claims::default(),
            team: user("team", &["PUT/v1/applications/web", "PUT/v1/applications/web/approvers/*"])?,
            operator: user(
                "operator",
                &[
                    "GET/v1/applications/web/*",
                    "POST/v1/console",
                    "POST/v1/applications/web/environments/*/rollback",
                    "POST/v1/applications/web/retention",
                ],
            )?,
            pipeline: user(
                "pipeline",
                &["POST/v1/applications/web/checks", "POST/v1/applications/web/promotions/*/withdraw"],
            )?,
            intern: user("intern", &[])?,
            pushes: listen("demo-pushes", "default", json!({ "detail-type": ["ECR Image Action"] }))?,
            published: listen("demo-published", stack().bus(), json!({ "source": ["stablepin"] }))?,
            app: ManuallyDrop::new(app),
        })
    }

    /// Sends a request below `/v1/applications/web`, signed by `who`. Returns the status and the
    /// JSON of the response.
    pub(crate) fn api(&self, who: &Aws, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.app.api_as(who, method, path, body)
    }

    /// Puts the application's file. Returns the status.
    pub(crate) fn put(&self, who: &Aws, file: &str, signed: bool) -> Result<u16> {
        let url = format!("{}/v1/applications/{APPLICATION}", stack().api());
        Ok(who.call("PUT", &url, Some(file.as_bytes()), Some("application/toml"), signed)?.status)
    }

    /// Waits until `look` returns a result. Prints each new line that `look` returns, with the time
    /// since `start`, and ticks meanwhile.
    pub(crate) fn watch<T>(
        &self,
        what: &str,
        limit: Duration,
        start: Instant,
        mut look: impl FnMut() -> (String, Option<T>),
    ) -> Result<T> {
        let (mut last, mut ticked) = (String::new(), Instant::now());
        wait_for(what, limit, || {
            let (line, result) = look();
            if line != last {
                note(format!("{:>7}  {line}", seconds(start.elapsed())));
                last = line;
            }
            if result.is_none() && ticked.elapsed() > TICK {
                self.app.tick();
                ticked = Instant::now();
            }
            Ok(result)
        })
    }

    /// Checks claims about containers, or counts the claims as left out if ECS tasks are simulated.
    pub(crate) fn only_with_containers<const N: usize>(
        &self,
        claims: [&str; N],
        check: impl FnOnce([&str; N]) -> Result<()>,
    ) -> Result<()> {
        if stack().engine().is_some() {
            return check(claims);
        }
        for claim in claims {
            self.claims.leave_out(claim);
        }
        Ok(())
    }
}
