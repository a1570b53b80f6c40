//! Deployment by Stablepin. Stablepin proves that an approved build runs in its container before
//! the build becomes the pin.

use crate::builds::PushedBuild;
use crate::claims::SOON;
use crate::page::Page;
use crate::rollback::ARN;
use crate::run::{CLUSTER, Demo, ENVIRONMENT, SERVICE};
use crate::team::file;
use crate::text::{brief, quote};
use crate::witness::Running;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use stablepin_tests::stack;
use std::time::{Duration, Instant};
use xtask::process::wait_for;
use xtask::step::note;

/// The time limit of a promotion.
const LIMIT: Duration = Duration::from_secs(300);

/// Returns the service's name in the application's file.
pub(crate) fn service() -> String {
    format!("{CLUSTER}/{SERVICE}")
}

impl Demo {
    /// Publishes the service on one port of the host, and registers an application file that lets
    /// Stablepin deploy. Returns the port.
    pub(crate) fn hand_over(&self, pinned: &PushedBuild) -> Result<u16> {
        let port = xtask::port::free().context("no port is free")?;
        let update = json!({
            "taskDefinition": self.register_task_definition(&pinned.digest, port)?,
            "desiredCount": 1,
            "deploymentConfiguration": {
                // The old task and the new task need the same port of the host, so the old task
                // must stop first.
                "minimumHealthyPercent": 0,
                "maximumPercent": 100,
                // The circuit breaker ends a failing deployment. Stablepin, not ECS, rolls the
                // service back.
                "deploymentCircuitBreaker": { "enable": true, "rollback": false },
            },
        });
        self.ecs().update(update)?;
        note(format!("service {} now has one task, on port {port}", service()));
        self.is_live("build 2 runs there and is well", pinned)?;

        // A simulated task does not respond to requests.
        let endpoints = if stack().engine().is_some() {
            format!(r#", endpoints = ["http://127.0.0.1:{port}/health"]"#)
        } else {
            String::new()
        };
        let deployment = format!(
            r#"deploy = "on_approval"           # what is approved goes to the services
services = ["{}"]
verify = {{ timeout = "10m", bake = "5s"{endpoints} }}"#,
            service()
        );
        let file = file(&deployment);
        quote(&deployment);
        let put = self.put(&self.team, &file, true)?;
        self.claims.equal("the team's signed PUT is accepted: 200", &put, &200)?;
        self.claims.equal("the table holds the file as it was sent", &self.app.registered(), &Some(file))?;
        let hold = self.app.environment()["hold"]["reason"].take();
        note(format!("still held: {hold}"));
        Ok(port)
    }

    /// Pushes and approves a build while a rollback or a failed release holds the environment.
    /// Checks that Stablepin deploys and pins the build.
    pub(crate) fn is_deployed(&self, number: usize) -> Result<PushedBuild> {
        let before = self.app.environment();
        self.claims.equal("the environment is held", &before["hold"].is_object(), &true)?;
        let build = self.push(number)?;
        let page = Page::read(&build.link.get().text());
        let held = page.lines.iter().find(|line| line.contains("held")).cloned().unwrap_or_default();
        quote(&held);
        self.claims.equal(
            "the page says that it is held, and what an approval does",
            &held.is_empty(),
            &false,
        )?;
        self.say_yes(&build)?;
        let promotion = self.follow_promotion(&build)?;
        self.claims.equal("it is Completed", &promotion["state"], "Completed")?;
        self.is_live(&format!("one container runs build {number}, and is well"), &build)?;
        let pin = before["pin"]["number"].as_u64().unwrap_or_default() + 1;
        self.is_pinned(&build, pin)?;
        self.is_on_record(&build)
            .with_context(|| format!("the environment's record after build {number}"))?;
        let notices = self.notices(&build)?;
        self.claims.equal("no notice of a failure came", &notices, &Vec::<Value>::new())?;
        Ok(build)
    }

    /// Checks the environment's record after a deployment.
    fn is_on_record(&self, build: &PushedBuild) -> Result<()> {
        let after = self.app.environment();
        let revision = json!(self.ecs().revision()?);
        self.claims.equal(
            "the pin keeps the revision that it was proven with",
            &after["pin"]["revisions"][service()],
            &revision,
        )?;
        let current = format!("{ENVIRONMENT}-current");
        let on = self.app.tag(&current);
        self.claims.equal(&format!("{current} is on it, too"), &on, &Some(build.digest.clone()))?;
        let free = (&after["hold"], &after["slot"]);
        self.claims.equal("the hold is released, the slot free", &free, &(&Value::Null, &Value::Null))
    }

    /// Checks that ECS has finished, and that the service's one container runs this build and is
    /// healthy.
    pub(crate) fn is_live(&self, claim: &str, build: &PushedBuild) -> Result<()> {
        wait_for("ECS's end of the deployment", SOON, || {
            let state = self.ecs().described()?;
            let done = state["deployments"][0]["rolloutState"] == "COMPLETED" && state["runningCount"] == 1;
            Ok(done.then_some(()))
        })
        .with_context(|| format!("service {}", service()))?;
        self.only_with_containers([claim, "ECS reports its digest"], |[claim, reported]| {
            let version = build.version.to_owned();
            let one = Running { digest: build.digest.clone(), version, health: build.health() };
            self.claims.becomes(claim, &vec![one], || self.containers())?;
            let in_ecs = self.digests_in_ecs()?;
            self.claims.equal(reported, &in_ecs, &vec![build.digest.clone()])
        })
    }

    /// Waits until the promotion has ended and has no pending effects. Returns the promotion's
    /// record in the table.
    pub(crate) fn follow_promotion(&self, build: &PushedBuild) -> Result<Value> {
        let start = Instant::now();
        let path = format!("/promotions/{}", build.link.promotion());
        self.watch("the promotion's end", LIMIT, start, || {
            let promotion = self.api(&self.operator, "GET", &path, None).1;
            let has_ended = !matches!(promotion["state"].as_str(), Some("Pending" | "InProgress"));
            let is_over = has_ended && promotion["next_look"].is_null();
            (progress(&promotion), is_over.then(|| self.app.promotion(build.link.promotion())))
        })
    }
}

/// Returns the progress of a promotion, on one line.
fn progress(promotion: &Value) -> String {
    let state = promotion["state"].as_str().unwrap_or("unreadable");
    let back = promotion["revert"].is_object();
    let rollout = if back { &promotion["revert"] } else { &promotion["rollout"] };
    let one = &rollout["services"][0];
    let mut parts = vec![state.to_owned()];
    if back {
        let to = rollout["digest"].as_str().map_or("what ran before", brief);
        parts.push(format!("rolling back to {to}"));
    }
    parts.extend(one["progress"]["state"].as_str().map(str::to_owned));
    let words = [&one["progress"]["reason"], &rollout["bake"]["failed"], &promotion["problem"]];
    parts.extend(words.into_iter().filter_map(Value::as_str).map(str::to_owned));
    if one["progress"]["state"] == "deployed" {
        parts.extend(one["seen"].as_str().map(str::to_owned));
    }
    parts.join(", ").replace(ARN, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_of_releases_and_rollbacks_fits_on_one_line() {
        let rollout =
            json!({ "services": [{ "progress": { "state": "deployed" }, "seen": "0 of 1 tasks running" }] });
        let there = json!({ "state": "InProgress", "rollout": rollout, "revert": null });
        assert_eq!(progress(&there), "InProgress, deployed, 0 of 1 tasks running");
        let revert = json!({ "digest": null, "services": [{ "progress": { "state": "waiting" } }] });
        let back = json!({ "state": "InProgress", "rollout": rollout, "revert": revert });
        assert_eq!(progress(&back), "InProgress, rolling back to what ran before, waiting");
        assert_eq!(progress(&json!({ "state": "Pending" })), "Pending");
    }
}
