//! The team and its service, before and after the team uses Stablepin.

use crate::builds::PushedBuild;
use crate::claims::SOON;
use crate::run::{APPLICATION, CLUSTER, DESIRED, Demo, ENVIRONMENT, REPOSITORY, SERVICE, STABLE};
use crate::text::{brief, quote};
use crate::witness::Running;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use stablepin_tests::ecs;
use xtask::image::{self, Spec};
use xtask::podman::ECR_HOST;
use xtask::process::wait_for;
use xtask::step::note;

/// The version that ran before the first pin. Its tag matches no `builds` pattern.
pub(crate) const OLD: &str = "0.9";

/// Two IAM roles: the role of the service's tasks, and the role with which ECS starts the tasks.
const ROLES: [&str; 2] = ["web-task", "web-execution"];

/// Returns the application's file with these lines about the deployment.
pub(crate) fn file(deployment: &str) -> String {
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

impl Demo {
    pub(crate) fn run_service(&self) -> Result<()> {
        let aws = &self.app.aws;
        aws.ecr("CreateRepository", &json!({ "repositoryName": REPOSITORY }))?;
        let old = self.app.push_image(Some("legacy"), &image::build(&Spec::new(OLD))?);
        aws.ecs("CreateCluster", &json!({ "clusterName": CLUSTER }))?;
        for role in ROLES {
            ecs::task_role(aws, role)?;
        }
        let breaker = json!({ "deploymentCircuitBreaker": { "enable": true, "rollback": true } });
        self.ecs().create(&self.register_task_definition(&old, 0)?, DESIRED, &breaker)?;
        note(format!(
            "cluster {CLUSTER}, service {SERVICE}, {DESIRED} tasks of {REPOSITORY}@{}",
            brief(&old)
        ));
        self.runs("version 0.9 runs and is well", &old, OLD, 200)
    }

    pub(crate) fn register(&self) -> Result<()> {
        let deployment = format!(
            r#"deploy = "never"                 # the team deploys by itself, Stablepin keeps the pin
services = ["{CLUSTER}/{SERVICE}"]           # what a rollback brings back
verify = {{ timeout = "30m" }}"#
        );
        let file = file(&deployment);
        quote(&file);
        let unsigned = self.put(&self.team, &file, false)?;
        self.claims.equal("an unsigned PUT of it is refused: 403", &unsigned, &403)?;
        let forbidden = self.put(&self.intern, &file, true)?;
        self.claims.equal("a PUT without the IAM permission is refused: 403", &forbidden, &403)?;
        let accepted = self.put(&self.team, &file, true)?;
        self.claims.equal("the team's signed PUT is accepted: 201", &accepted, &201)?;
        self.claims.equal("the table holds the file as it was sent", &self.app.registered(), &Some(file))?;
        let opened = self.app.promotions().len();
        self.claims.equal("the existing tag, `legacy`, is no build", &opened, &0)
    }

    /// Subscribes the lead's address to the lead's own mails.
    pub(crate) fn subscribe(&self) -> Result<()> {
        let path = "/approvers/lead/subscription";
        let (refused, _) = self.api(&self.intern, "PUT", path, None);
        let claim = "a user without the IAM permission cannot subscribe the lead: 403";
        self.claims.equal(claim, &refused, &403)?;
        let (status, _) = self.api(&self.team, "PUT", path, None);
        self.claims.equal("the team's signed PUT subscribes the lead: 200", &status, &200)?;
        note("on AWS the lead confirms first; the emulator confirms an address itself");
        let filters = self.filters_of("lead@example.com")?;
        self.claims.equal(
            "SNS filters what goes to that address by the address itself",
            &filters,
            &vec![json!({ "mail": ["lead@example.com"] })],
        )
    }

    /// Deploys a build as the team's own pipeline does: registers a task definition, and updates
    /// the service.
    pub(crate) fn deploy(&self, build: &PushedBuild) -> Result<()> {
        let task_definition = self.register_task_definition(&build.digest, 0)?;
        self.ecs().update(json!({ "taskDefinition": task_definition }))?;
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
    pub(crate) fn runs(&self, claim: &str, digest: &str, version: &str, health: u16) -> Result<()> {
        wait_for("ECS's end of the deployment", SOON, || {
            let service = self.ecs().described()?;
            let primary = &service["deployments"][0];
            let done = primary["rolloutState"] == "COMPLETED" && service["runningCount"] == DESIRED;
            Ok(done.then_some(()))
        })
        .with_context(|| format!("service {CLUSTER}/{SERVICE}"))?;
        let one = Running { digest: digest.to_owned(), version: version.to_owned(), health };
        self.only_with_containers([claim], |[claim]| {
            self.claims.becomes(claim, &vec![one; DESIRED], || self.containers())
        })
    }

    /// Registers a task definition with this digest and this port of the host. With port 0, the
    /// container engine chooses a port.
    pub(crate) fn register_task_definition(&self, digest: &str, host_port: u16) -> Result<String> {
        let image = format!("{ECR_HOST}/{REPOSITORY}@{digest}");
        let [task_role, execution_role] = ROLES.map(ecs::role_arn);
        let container = ecs::container("web", &image, host_port);
        ecs::register(&self.app.aws, SERVICE, [&task_role, &execution_role], &[container])
    }

    /// Returns the task definition of the service.
    pub(crate) fn described(&self) -> Result<Value> {
        Ok(self.ecs().task_definition()?)
    }
}
