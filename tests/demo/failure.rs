//! Failed releases, their rollbacks, and the notices about them.

use crate::builds::PushedBuild;
use crate::deployment::service;
use crate::run::{APPLICATION, Demo, ENVIRONMENT};
use crate::text::quote;
use crate::witness::ask;
use anyhow::Result;
use serde_json::{Value, json};
use stablepin_tests::ecs::task_definition;
use xtask::process::wait_for;
use xtask::step::note;

impl Demo {
    pub(crate) fn crashes(&self, number: usize, live: &PushedBuild) -> Result<()> {
        let failed = self.fails(number, live)?;
        let revision = revision(&failed);
        let codes = self.exit_codes(revision)?;
        let crashed = !codes.is_empty() && codes.iter().all(|code| *code == 1);
        self.claims.equal("each container of build 5 had ended with code 1", &crashed, &true)
    }

    pub(crate) fn answers_500(&self, number: usize, live: &PushedBuild, port: u16) -> Result<()> {
        let failed = self.fails(number, live)?;
        let failure = failed["failure"]["reported"].as_str().unwrap_or_default();
        self.claims.equal("the endpoint's answer is why", &failure.contains("status 500"), &true)?;
        let (health, _) = ask(port, "/health");
        self.claims.equal(&format!("port {port} answers 200 again"), &health, &200)
    }

    /// Pushes and approves a build that fails. Returns the record of the build's promotion.
    fn fails(&self, number: usize, live: &PushedBuild) -> Result<Value> {
        let before = self.app.environment();
        let build = self.push(number)?;
        self.say_yes(&build)?;
        let promotion = self.follow_promotion(&build)?;
        self.claims.equal(
            "it is RolledBack, without a person's action",
            &promotion["state"],
            "RolledBack",
        )?;
        note(format!("why: {}", promotion["failure"]["reported"].as_str().unwrap_or_default()));
        self.had_gone_out(&build, &promotion)?;
        self.is_live(&format!("one container runs build {} again, and is well", live.number), live)?;
        self.is_as_before(&before, live)?;
        self.is_held_by(&build)?;
        self.notices_came(&build, ["release failed, rolling back", "release failed, rolled back"])?;
        Ok(promotion)
    }

    /// Checks that Stablepin had deployed a revision with the build's digest.
    fn had_gone_out(&self, build: &PushedBuild, promotion: &Value) -> Result<()> {
        let definition = task_definition(&self.app.aws, revision(promotion))?;
        let image = definition["containerDefinitions"][0]["image"].as_str().unwrap_or_default();
        self.claims.equal(
            &format!("ECS had taken a deployment of build {}", build.number),
            &image.ends_with(&build.digest),
            &true,
        )
    }

    /// Checks that the pin, the stable tag and the service's revision are the same as before the
    /// release.
    fn is_as_before(&self, before: &Value, live: &PushedBuild) -> Result<()> {
        let after = self.app.environment();
        self.claims.equal("the pin is what it was", &after["pin"], &before["pin"])?;
        self.stable_tag_shows(&live.digest)?;
        let revision = json!(self.ecs().revision()?);
        self.claims.equal(
            "the service has the pin's own revision, no new one",
            &revision,
            &before["pin"]["revisions"][service()],
        )?;
        self.claims.equal("the slot is free", &after["slot"], &Value::Null)
    }

    pub(crate) fn is_held_by(&self, build: &PushedBuild) -> Result<()> {
        let hold = self.app.environment()["hold"].take();
        let reason = hold["reason"]["release-failed"]["reported"].as_str().unwrap_or_default();
        self.claims.equal(&format!("the environment is held: {reason}"), &hold["by"], build.link.promotion())
    }

    /// Returns the notices about the build in the inbox, oldest first.
    pub(crate) fn notices(&self, build: &PushedBuild) -> Result<Vec<Value>> {
        let thread = build.link.promotion();
        let mails = self.mails()?;
        let notice = mails.iter().filter_map(|mail| serde_json::from_str::<Value>(&mail.body).ok());
        Ok(notice.filter(|notice| notice["metadata"]["threadId"] == thread).collect())
    }

    /// Checks that the inbox has exactly these two notices about the build, in the format of Amazon
    /// Q Developer in chat applications.
    pub(crate) fn notices_came(&self, build: &PushedBuild, titles: [&str; 2]) -> Result<()> {
        let notices = wait_for("both notices", crate::claims::SOON, || {
            let notices = self.notices(build)?;
            Ok((notices.len() >= titles.len()).then_some(notices))
        })?;
        let said: Vec<_> = notices.iter().map(|one| one["content"]["title"].clone()).collect();
        let wanted = titles.map(|title| format!("{APPLICATION} {ENVIRONMENT}: {title}"));
        self.claims.equal("two notices came", &said, &wanted.to_vec())?;
        let form: Vec<_> = notices.iter().map(|one| (&one["version"], &one["source"])).collect();
        let known = form.iter().all(|(version, source)| *version == "1.0" && *source == "custom");
        self.claims.equal("in the form that chats show", &known, &true)?;
        if let Some(one) = notices.last() {
            quote(one["content"]["description"].as_str().unwrap_or_default());
            for next in one["content"]["nextSteps"].as_array().into_iter().flatten() {
                quote(&format!("- {}", next.as_str().unwrap_or_default()));
            }
        }
        Ok(())
    }
}

/// Returns the ARN of the task definition that a promotion deployed.
pub(crate) fn revision(promotion: &Value) -> &str {
    promotion["rollout"]["services"][0]["started"]["task_definition"].as_str().unwrap_or_default()
}
