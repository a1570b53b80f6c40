//! A retention plan: which images retention may delete, and why retention keeps each of the other
//! images. The demo deletes no image.

use crate::builds::PushedBuild;
use crate::columns::columns;
use crate::run::{Demo, REPOSITORY};
use crate::text::brief;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;
use xtask::process::wait_for;
use xtask::step::note;

const SOON: Duration = Duration::from_secs(60);

impl Demo {
    pub(crate) fn plan_old_images(&self, pinned: &PushedBuild) -> Result<()> {
        let before = self.digests()?;
        let asked = json!({ "dry_run": true, "share": 100, "reason": "what would go?" });
        let run = self.api(&self.operator, "POST", "/retention", Some(&asked)).1;
        let id = run["id"].as_str().context("a run has an id")?.to_owned();
        let run = wait_for("the plan", SOON, || {
            let run = self.api(&self.operator, "GET", &format!("/retention/{id}"), None).1;
            Ok(run["ended_at"].is_string().then_some(run))
        })?;
        self.claims.equal("the run has succeeded", &run["state"], &json!("Completed"))?;
        let path = format!("/retention/{id}/images");
        let images = self.api(&self.operator, "GET", &path, None).1;
        let images = images["images"].as_array().context("a plan lists its images")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rows: Vec<_> = images
            .iter()
            .map(|one| {
                [
                    brief(&text(&one["digest"])).to_owned(),
                    text(&one["action"]),
                    text(&one["rule"]),
                    text(&one["why"]),
                ]
            })
            .collect();
        note(columns(["digest", "action", "rule", "why"], &rows));
        let planned: Vec<_> = images.iter().map(|one| text(&one["digest"])).collect();
        self.claims.equal("every image of the registry has its reason", &planned, &before)?;
        let kept = images.iter().all(|one| one["action"] == "keep");
        self.claims.equal("none may go, since all are from today", &kept, &true)?;
        let stable = images.iter().find(|one| one["digest"] == pinned.digest).context("the pin is listed")?;
        let why = text(&stable["why"]);
        ensure!(why.starts_with("pin "), "why the pin stays: {why}");
        self.claims.equal("the pin stays because it is the pin", &stable["rule"], &json!("pin"))?;
        self.claims.equal("and no image was changed", &self.digests()?, &before)
    }

    /// Returns the digests of the registry, sorted.
    fn digests(&self) -> Result<Vec<String>> {
        let ask = json!({ "repositoryName": REPOSITORY, "maxResults": 1000 });
        let answer = self.app.aws.ecr("DescribeImages", &ask)?;
        let images = answer["imageDetails"].as_array().cloned().unwrap_or_default();
        let mut digests: Vec<_> =
            images.iter().filter_map(|one| one["imageDigest"].as_str().map(str::to_owned)).collect();
        digests.sort();
        Ok(digests)
    }
}
