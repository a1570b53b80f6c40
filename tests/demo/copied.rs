//! A repository of production's own: Stablepin copies the approved image from the repository where
//! the pipeline pushes, and runs it from there.

use anyhow::{Context, Result};
use serde_json::json;

use crate::deployment::service;
use crate::run::{Demo, REPOSITORY, STABLE};
use crate::team::file;
use crate::text::quote;

/// Production's own repository.
const OWN: &str = "prod/web";

impl Demo {
    /// Gives production a repository of its own. Pushes and approves a build, and checks that the
    /// service runs the same bytes from there.
    pub(crate) fn copies(&self, number: usize, port: u16) -> Result<()> {
        self.app.aws.ecr("CreateRepository", &json!({ "repositoryName": OWN }))?;
        let deployment = format!(
            r#"repository = "{OWN}"               # what is approved is copied there first
services = ["{}"]
verify = {{ timeout = "10m", bake = "5s", endpoints = ["http://127.0.0.1:{port}/health"] }}"#,
            service()
        );
        quote(&deployment);
        let put = self.put(&self.team, &file(&deployment), true)?;
        self.claims.equal("the team gives production a repository of its own: 200", &put, &200)?;

        let build = self.push(number)?;
        self.say_yes(&build)?;
        let promotion = self.follow_promotion(&build)?;
        self.claims.equal("it is Completed", &promotion["state"], "Completed")?;
        let progress = &promotion["copy"]["progress"];
        self.claims.equal(
            "every layer was copied",
            &(&progress["layers_done"], &progress["bytes_done"]),
            &(&progress["layers"], &progress["bytes"]),
        )?;
        let read = |repository: &str| {
            let manifest = self.app.registry().manifest(repository, &build.digest)?;
            Ok::<_, anyhow::Error>(manifest.context("the registry has the image")?.bytes)
        };
        self.claims.equal("both repositories have the same bytes", &read(OWN)?, &read(REPOSITORY)?)?;
        let stable = self.app.aws.tag(OWN, STABLE)?;
        self.claims.equal(&format!("{OWN} has {STABLE} on it"), &stable, &Some(build.digest.clone()))?;
        let definition = self.ecs().task_definition()?;
        let image = definition["containerDefinitions"][0]["image"].as_str().unwrap_or_default();
        let is_from_there = image.ends_with(&format!("/{OWN}@{}", build.digest));
        self.claims.equal("the task definition names that repository", &is_from_there, &true)?;
        self.is_live(&format!("one container runs build {number} from there, and is well"), &build)
    }
}
