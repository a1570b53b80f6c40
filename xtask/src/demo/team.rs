//! The team and its service, before and after the team uses Stablepin.

use super::builds::PushedBuild;
use super::claims::SOON;
use super::run::{APPLICATION, CLUSTER, DESIRED, Demo, ENVIRONMENT, REPOSITORY, SERVICE, STABLE};
use super::text::{brief, quote};
use super::witness::Running;
use crate::ecs;
use crate::image::{self, Spec};
use crate::podman::ECR_HOST;
use crate::process::wait_for;
use crate::step::note;
use anyhow::{Context, Result};
use serde_json::{Value, json};

/// The version that ran before the first pin. Its tag matches no `builds` pattern.
pub(super) const OLD: &str = "0.9";

/// Two IAM roles: the role of the service's tasks, and the role with which ECS starts the tasks.
const ROLES: [&str; 2] = ["web-task", "web-execution"];

/// Returns the application's file with these lines about the deployment.
pub(super) fn file(deployment: &str) -> String {
    format!(
        r#"name = "{APPLICATION}"
repository = "{REPOSITORY}"
builds = ["main"]

[[approver]]
name = "lead"
mail = "lead@example.com"

[[environment]]
name = "{ENVIRONMENT}"
stable_tag = "{STABLE}"
{deployment}
approval = {{ required = 1, approvers = ["lead"], expires = "72h" }}
"#
    )
}

impl Demo<'_> {
    pub(super) fn run_service(&self) -> Result<()> {
        let aws = &self.witness.aws;
        aws.ecr("CreateRepository", &json!({ "repositoryName": REPOSITORY }))?;
        let old = self.witness.registry.push(REPOSITORY, Some("legacy"), &image::build(&Spec::new(OLD))?)?;
        aws.ecs("CreateCluster", &json!({ "clusterName": CLUSTER }))?;
        for role in ROLES {
            ecs::task_role(aws, role)?;
        }
        let breaker = json!({ "deploymentCircuitBreaker": { "enable": true, "rollback": true } });
        self.witness.ecs().create(&self.register_task_definition(&old, 0)?, DESIRED, &breaker)?;
        note(format!(
            "cluster {CLUSTER}, service {SERVICE}, {DESIRED} tasks of {REPOSITORY}@{}",
            brief(&old)
        ));
        self.runs("version 0.9 runs and is well", &old, OLD, 200)
    }

    pub(super) fn register(&self) -> Result<()> {
        let deployment = format!(
            r#"deploy = "never"                 # the team deploys by itself, Stablepin keeps the pin
services = ["{CLUSTER}/{SERVICE}"]           # what a rollback brings back
verify = {{ timeout = "30m" }}"#
        );
        let file = file(&deployment);
        quote(&file);
        let put = |who: &crate::aws::Aws, signed| {
            who.call("PUT", &self.url(""), Some(file.as_bytes()), Some("application/toml"), signed)
        };
        self.claims.equal("an unsigned PUT of it is refused: 403", &put(&self.team, false)?.status, &403)?;
        self.claims.equal(
            "a PUT without the IAM permission is refused: 403",
            &put(&self.intern, true)?.status,
            &403,
        )?;
        let answer = put(&self.team, true)?;
        self.claims.equal("the team's signed PUT is accepted: 201", &answer.status, &201)?;
        let stored = self.witness.record(&format!("CONFIG#{APPLICATION}"), "CONFIG")?;
        self.claims.equal("the table holds the file as it was sent", &stored["text"], file.as_str())?;
        let opened = self.witness.records(&format!("APP#{APPLICATION}"), "PROMOTION#")?;
        self.claims.equal("the existing tag, `legacy`, is no build", &opened.len(), &0)
    }

    /// Subscribes the lead's address to the lead's own mails.
    pub(super) fn subscribe(&self) -> Result<()> {
        let path = "/approvers/lead/subscription";
        let refused = self.api(&self.intern, "PUT", path, None)?;
        self.claims.equal(
            "a user without the IAM permission cannot subscribe the lead: 403",
            &refused.status,
            &403,
        )?;
        let answer = self.api(&self.team, "PUT", path, None)?;
        self.claims.equal("the team's signed PUT subscribes the lead: 200", &answer.status, &200)?;
        note("on AWS the lead confirms first; the emulator confirms an address itself");
        let filters = self.witness.filters_of("lead@example.com")?;
        self.claims.equal(
            "SNS filters what goes to that address by the address itself",
            &filters,
            &vec![json!({ "mail": ["lead@example.com"] })],
        )
    }

    /// Deploys a build as the team's own pipeline does: registers a task definition, and updates
    /// the service.
    pub(super) fn deploy(&self, build: &PushedBuild) -> Result<()> {
        let task_definition = self.register_task_definition(&build.digest, 0)?;
        self.witness.ecs().update(json!({ "taskDefinition": task_definition }))?;
        note(format!("the team deploys {REPOSITORY}@{}", brief(&build.digest)));
        let claim = match build.health() {
            200 => format!("{DESIRED} containers run build {}, and are well", build.number),
            other => format!(
                "{DESIRED} containers run build {}, and are BROKEN: /health answers {other}, inside each of them",
                build.number
            ),
        };
        self.runs(&claim, &build.digest, build.version, build.health())
    }

    /// Checks that ECS has finished, and that exactly these containers run.
    pub(super) fn runs(&self, claim: &str, digest: &str, version: &str, health: u16) -> Result<()> {
        wait_for("ECS's end of the deployment", SOON, || {
            let service = self.witness.ecs().described()?;
            let primary = &service["deployments"][0];
            let done = primary["rolloutState"] == "COMPLETED" && service["runningCount"] == DESIRED;
            Ok(done.then_some(()))
        })
        .with_context(|| format!("service {CLUSTER}/{SERVICE}"))?;
        let one = Running { digest: digest.to_owned(), version: version.to_owned(), health };
        self.only_with_containers([claim], |[claim]| {
            self.claims.becomes(claim, &vec![one; DESIRED], || self.witness.containers())
        })
    }

    /// Registers a task definition with this digest and this port of the host. With port 0, the
    /// container engine chooses a port.
    pub(super) fn register_task_definition(&self, digest: &str, host_port: u16) -> Result<String> {
        let image = format!("{ECR_HOST}/{REPOSITORY}@{digest}");
        let [task_role, execution_role] = ROLES.map(ecs::role_arn);
        let container = ecs::container("web", &image, host_port);
        ecs::register(&self.witness.aws, SERVICE, [&task_role, &execution_role], &[container])
    }

    /// Returns the task definition of the service.
    pub(super) fn described(&self) -> Result<Value> {
        Ok(self.witness.ecs().task_definition()?)
    }
}
