//! A repository of production's own: Stablepin copies each tested and approved image from the
//! repository where the pipeline pushes, runs it from there, and rolls back to it.

use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::json;
use stablepin_tests::boto3::raw_manifest;

use crate::builds::PushedBuild;
use crate::deployment::service;
use crate::run::{Demo, REPOSITORY, STABLE};
use crate::team::file;
use crate::text::quote;

/// Production's own repository.
const OWN: &str = "prod/web";

impl Demo {
    /// Gives production a repository of its own. Releases two builds, which are copied there, and
    /// rolls back from the second to the first.
    pub(crate) fn copies(&self, [first, second]: [usize; 2], port: u16) -> Result<()> {
        self.app.aws.ecr("CreateRepository", &json!({ "repositoryName": OWN }))?;
        let deployment = format!(
            r#"repository = "{OWN}"               # what is approved is copied there first
requires = ["staging-tests"]
services = ["{}"]
verify = {{ timeout = "10m", bake = "5s", endpoints = ["http://127.0.0.1:{port}/health"] }}"#,
            service()
        );
        quote(&deployment);
        let put = self.put(&self.team, &file(&deployment), true)?;
        self.claims.equal("the team gives production a repository of its own: 200", &put, &200)?;

        let first = self.is_copied(first)?;
        let second = self.is_copied(second)?;
        let request = json!({ "to": "previous", "confirm": "ROLLBACK", "reason": "500s since build 9" });
        let start = Instant::now();
        let (status, body) = self.ask(&self.operator, &request);
        self.claims.equal("the operator rolls back: 202", &status, &202)?;
        let end = self.follow(body["id"].as_str().context("the answer has no id")?, start)?;
        self.claims.equal("the rollback is Completed", end.as_str(), "Completed")?;
        self.runs_the_copy_of(&first)?;
        let kept = self.app.aws.tag(OWN, &second.tag)?;
        self.claims.equal("the copy of build 9 is still there", &kept, &Some(second.digest))
    }

    /// Pushes a build, reports its tests, approves it, and follows it until the service runs its
    /// copy.
    fn is_copied(&self, number: usize) -> Result<PushedBuild> {
        let build = self.push_then(number, |digest| {
            let tests = json!({ "digest": digest, "name": "staging-tests", "result": "passed" });
            let (status, _) = self.api(&self.pipeline, "POST", "/checks", Some(&tests));
            self.claims.equal("the pipeline reports that its tests passed: 200", &status, &200)
        })?;
        self.say_yes(&build)?;
        let promotion = self.follow_promotion(&build)?;
        self.claims.equal("it is Completed", &promotion["state"], "Completed")?;
        let progress = &promotion["copy"]["progress"];
        self.claims.equal(
            "every layer was copied",
            &(&progress["layers_done"], &progress["bytes_done"]),
            &(&progress["layers"], &progress["bytes"]),
        )?;
        let [copy, source] = [OWN, REPOSITORY].map(|repository| raw_manifest(repository, &build.digest));
        self.claims.equal("boto3 reads the same bytes from both repositories", &copy?, &source?)?;
        self.runs_the_copy_of(&build)?;
        Ok(build)
    }

    /// Checks that the stable tag, the task definition and the container show the copy of a build.
    fn runs_the_copy_of(&self, build: &PushedBuild) -> Result<()> {
        let stable = self.app.aws.tag(OWN, STABLE)?;
        self.claims.equal(&format!("{OWN} has {STABLE} on it"), &stable, &Some(build.digest.clone()))?;
        let definition = self.ecs().task_definition()?;
        let image = definition["containerDefinitions"][0]["image"].as_str().unwrap_or_default();
        let is_from_there = image.ends_with(&format!("/{OWN}@{}", build.digest));
        self.claims.equal("the task definition names that repository", &is_from_there, &true)?;
        self.is_live(&format!("one container runs build {} from there, and is well", build.number), build)
    }
}
