//! The rollback by the operator.

use crate::builds::PushedBuild;
use crate::run::{APPLICATION, DESIRED, Demo, ENVIRONMENT};
use crate::team::OLD;
use crate::text::{brief, quote};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use stablepin_tests::stack;
use std::time::{Duration, Instant};
use xtask::aws::Aws;
use xtask::image::{self, Spec};
use xtask::step::{note, seconds};

/// The prefix of every ECS ARN in the local cloud. The demo does not print it.
pub(crate) const ARN: &str = "arn:aws:ecs:us-east-1:000000000000:";

/// The time limit of a rollback.
const LIMIT: Duration = Duration::from_secs(180);

impl Demo {
    pub(crate) fn roll_back(&self, good: &PushedBuild, bad: &PushedBuild) -> Result<()> {
        self.refusals()?;
        self.dry_run(good)?;

        let before = self.described()?;
        let start = Instant::now();
        let request = json!({ "to": "previous", "confirm": "ROLLBACK", "reason": "500s since build 3" });
        let (status, body) = self.ask(&self.operator, &request);
        self.claims.equal("signed and confirmed, it is accepted: 202", &status, &202)?;
        note(format!("answered after {}", seconds(start.elapsed())));
        let id = body["id"].as_str().context("the answer has no id")?.to_owned();
        let name = body["target"]["build_tag"].as_str().unwrap_or_default();
        note(format!("rollback {id} to pin {}, {name}", body["target"]["pin"]));

        let claim = format!("{DESIRED} containers run build 2 again, and are well");
        self.only_with_containers([&claim], |[claim]| {
            self.runs(claim, &good.digest, good.version, good.health())?;
            note(format!("{} after the request", seconds(start.elapsed())));
            Ok(())
        })?;
        let end = self.follow(&id, start)?;
        let rollback = self.app.rollback_record(&id);
        self.claims.equal("the table says the same", &rollback["state"], end.as_str())?;
        self.is_described(&before, good)?;
        self.claims.equal("it is Completed", end.as_str(), "Completed")?;
        self.is_proven(good)?;
        self.is_backed_up(bad)?;
        self.is_held(&id)
    }

    /// Checks that the API refuses invalid rollbacks and changes nothing.
    fn refusals(&self) -> Result<()> {
        let table = self.table()?;
        let task_definition = self.described()?;
        let stable = json!({ "to": "stable", "confirm": "ROLLBACK" });
        let body = stable.to_string();
        let url = format!("{}/v1/applications/{APPLICATION}{}", stack().api(), path());
        let unsigned =
            self.operator.call("POST", &url, Some(body.as_bytes()), Some("application/json"), false)?;
        self.claims.equal("an unsigned rollback is refused: 403", &unsigned.status, &403)?;
        let (intern, _) = self.ask(&self.intern, &stable);
        self.claims.equal("a rollback without the IAM permission is refused: 403", &intern, &403)?;

        let old = image::build(&Spec::new(OLD))?;
        let refused = [
            (
                "a wrong confirmation",
                json!({ "to": "previous", "confirm": "rollback" }),
                422,
                "not-confirmed",
            ),
            (
                "a digest that was never pinned here",
                json!({ "to": old.digest(), "confirm": "ROLLBACK" }),
                422,
                "never-pinned",
            ),
            ("a pin that is not there", json!({ "to": 9, "confirm": "ROLLBACK" }), 422, "unknown-pin"),
            ("to what is live already", stable, 409, "already-live"),
        ];
        for (what, request, status, kind) in refused {
            let (answered, problem) = self.ask(&self.operator, &request);
            let seen = (answered, problem["type"].as_str().unwrap_or_default().to_owned());
            let expected = (status, format!("urn:stablepin:problem:{kind}"));
            self.claims.equal(&format!("{what}: {status} {kind}"), &seen, &expected)?;
            quote(problem["detail"].as_str().unwrap_or_default());
        }
        let same = self.table()? == table && self.described()? == task_definition;
        self.claims.equal("none of them changed the table or the service", &same, &true)
    }

    fn dry_run(&self, good: &PushedBuild) -> Result<()> {
        let table = self.table()?;
        let task_definition = self.described()?;
        let (status, plan) = self.ask(&self.operator, &json!({ "to": "previous", "dry_run": true }));
        self.claims.equal("a dry run needs no confirmation: 200", &status, &200)?;
        for service in plan["services"].as_array().into_iter().flatten() {
            let target = plan["target"]["digest"].as_str().unwrap_or_default();
            note(format!(
                "would bring {} to pin {}, {}",
                service["service"].as_str().unwrap_or_default(),
                plan["target"]["pin"],
                brief(target)
            ));
        }
        self.claims.equal("`previous` is pin 2", &plan["target"]["digest"], good.digest.as_str())?;
        let same = self.table()? == table && self.described()? == task_definition;
        self.claims.equal("it changed nothing", &same, &true)
    }

    /// Waits until the rollback ends. Returns the rollback's state.
    pub(crate) fn follow(&self, id: &str, start: Instant) -> Result<String> {
        self.watch("the rollback's end", LIMIT, start, || {
            let (_, rollback) = self.api(&self.operator, "GET", &format!("/rollbacks/{id}"), None);
            let state = rollback["state"].as_str().unwrap_or("unreadable").to_owned();
            let seen = rollback["services"][0]["seen"].as_str().unwrap_or_default();
            let problem = rollback["problem"].as_str().map(|text| format!(" ({text})")).unwrap_or_default();
            let line = format!("{state} {seen}{problem}").replace(ARN, "").trim_end().to_owned();
            let has_ended = ["Completed", "Incomplete", "Failed"].contains(&state.as_str());
            (line, has_ended.then_some(state))
        })
    }

    /// Checks that only the image in the service's task definition has changed.
    fn is_described(&self, before: &Value, good: &PushedBuild) -> Result<()> {
        let now = self.described()?;
        let image = now["containerDefinitions"][0]["image"].as_str().unwrap_or_default();
        let digest = image.split_once('@').map_or("", |(_, digest)| digest);
        self.claims.equal(
            "the service's task definition names build 2's digest",
            digest,
            good.digest.as_str(),
        )?;
        let rest = |definition: &Value| {
            let mut rest = definition.clone();
            for member in ["taskDefinitionArn", "revision", "registeredAt", "registeredBy"] {
                rest[member] = Value::Null;
            }
            rest["containerDefinitions"][0]["image"] = Value::Null;
            rest
        };
        self.claims.equal("and differs from build 3's in nothing else", &rest(&now), &rest(before))
    }

    /// Checks that the tasks in ECS, the new pin and the stable tag have the digest of this build.
    fn is_proven(&self, good: &PushedBuild) -> Result<()> {
        self.only_with_containers(["ECS reports that digest for each task"], |[claim]| {
            let reported = self.digests_in_ecs()?;
            self.claims.equal(claim, &reported, &vec![good.digest.clone(); DESIRED])
        })?;
        let pin = self.app.environment()["pin"].take();
        self.claims.equal("the target of the rollback becomes a new pin: pin 4", &pin["number"], &4)?;
        self.claims.equal("with pin 2's digest", &pin["digest"], good.digest.as_str())?;
        self.stable_tag_shows(&good.digest)
    }

    fn is_backed_up(&self, bad: &PushedBuild) -> Result<()> {
        let prefix = format!("{ENVIRONMENT}-rollback-");
        let tags = self.app.tags(&bad.digest);
        let backups: Vec<_> = tags.into_iter().filter(|tag| tag.starts_with(&prefix)).collect();
        let claim = format!("what was live has the backup tag {}", backups.join(", "));
        self.claims.equal(&claim, &backups.len(), &1)
    }

    fn is_held(&self, id: &str) -> Result<()> {
        let record = self.app.environment();
        let hold = &record["hold"];
        let pin = &hold["reason"]["rollback"];
        self.claims.equal(&format!("the environment is held: rollback to pin {pin}"), &hold["by"], id)?;
        self.claims.equal("and its one rollout slot is free again", &record["slot"], &Value::Null)
    }

    pub(crate) fn ask(&self, who: &Aws, body: &Value) -> (u16, Value) {
        self.api(who, "POST", &path(), Some(body))
    }
}

fn path() -> String {
    format!("/environments/{ENVIRONMENT}/rollback")
}
