//! A deployed stack in a running local cloud, for the demo and the tests.

use crate::aws::{Aws, AwsError};
use crate::cloud::{Cloud, Home};
use crate::deploy::{self, Profile, Work};
use crate::engine::Engine;
use crate::env_file::{self, Variables};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

#[derive(Debug)]
pub struct Stack {
    variables: Variables,
    home: Home,
    cloud: Option<Cloud>,
}

impl Stack {
    /// Starts a local cloud in `target/{name}` and deploys into it. Dropping the stack stops the
    /// cloud.
    pub fn start(name: &str, profile: Profile, work: Work) -> Result<Self> {
        let cloud = crate::up::start_cloud(Home::named(name))?;
        let variables = deploy::deploy(&cloud, profile, work)?;
        Ok(Self { variables, home: cloud.home().clone(), cloud: Some(cloud) })
    }

    /// Returns the stack that this process's environment variables describe (`. target/local/env`).
    pub fn from_env() -> Result<Self> {
        let mut variables: Variables =
            std::env::vars().filter(|(name, _)| name.starts_with("STABLEPIN_")).collect();
        variables.extend(std::env::vars().filter(|(name, _)| name.starts_with("AWS_")));
        let home = variables.get("STABLEPIN_LOCAL").context(
            "no stack: run `cargo xtask up`, then `. target/local/env`, or go through `cargo xtask test`",
        )?;
        let home = Home::at(home);
        Ok(Self { variables, home, cloud: None })
    }

    /// Returns the stack that is already deployed in this cloud.
    pub fn read(home: Home) -> Result<Self> {
        let text = fs::read_to_string(home.env()).context("no stack: run `cargo xtask up`")?;
        let variables = env_file::read(&text).with_context(|| {
            format!("{} cannot be read: run `cargo xtask up` again", home.env().display())
        })?;
        Ok(Self { variables, home, cloud: None })
    }

    /// Returns the stack that this process's environment variables describe, or else the stack of
    /// `cargo xtask up`.
    pub fn current() -> Result<Self> {
        Self::from_env().or_else(|_| Self::read(Home::named(crate::up::LOCAL)))
    }

    /// Keeps the cloud running after this process ends.
    pub fn stay(mut self) -> Result<()> {
        self.cloud.take().map_or(Ok(()), Cloud::stay)
    }

    /// Stops the cloud of the stack, if this process started the cloud. Returns the error if that
    /// fails, while dropping the value only prints the error.
    pub fn stop(mut self) -> Result<()> {
        self.cloud.take().map_or(Ok(()), Cloud::stop)
    }

    /// Returns a variable of the stack, for example `STABLEPIN_TABLE`. Returns an empty text if the
    /// stack has no such variable.
    pub fn variable(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }

    /// Returns the variables of the stack, for a child process.
    pub fn variables(&self) -> &Variables {
        &self.variables
    }

    pub fn endpoint(&self) -> &str {
        self.variable("AWS_ENDPOINT_URL")
    }

    /// Returns the API's URL, `http://{id}.execute-api.localhost:{port}`, without a slash at its
    /// end.
    pub fn api(&self) -> &str {
        self.variable("STABLEPIN_API")
    }

    pub fn table(&self) -> &str {
        self.variable("STABLEPIN_TABLE")
    }

    pub fn topic(&self) -> &str {
        self.variable("STABLEPIN_TOPIC")
    }

    pub fn bus(&self) -> &str {
        self.variable("STABLEPIN_BUS")
    }

    /// Returns the URL of the queue with the mails for approvers.
    pub fn inbox(&self) -> &str {
        self.variable("STABLEPIN_INBOX")
    }

    /// Returns the registry's `host:port`, for pushes.
    pub fn registry(&self) -> &str {
        self.variable("STABLEPIN_REGISTRY")
    }

    /// Sends the promoter the event that the schedule sends every minute on AWS.
    pub fn tick(&self) -> Result<Value, AwsError> {
        self.aws().invoke(self.variable("STABLEPIN_PROMOTER_FUNCTION"), &tick_event())
    }

    /// Returns a client with the credentials of the account's root user.
    pub fn aws(&self) -> Aws {
        Aws::new(
            self.endpoint(),
            self.variable("AWS_REGION"),
            self.variable("AWS_ACCESS_KEY_ID"),
            self.variable("AWS_SECRET_ACCESS_KEY"),
        )
    }

    /// Returns the container engine that runs the containers of ECS tasks, or `None` if the tasks
    /// are simulated.
    pub fn engine(&self) -> Option<Engine> {
        let socket = self.variables.get("STABLEPIN_CONTAINERS")?.strip_prefix("unix://")?;
        let port = self.registry().rsplit(':').next()?.parse().ok()?;
        Some(Engine::new(socket, port))
    }

    pub fn folder(&self) -> &Path {
        self.home.folder()
    }

    /// Returns a log of the cloud's programs: `supervisor.log`, `ministack.log` or `podman.log`.
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.home.log(name)).unwrap_or_default()
    }
}

/// Returns the event that the schedule sends every minute.
pub fn tick_event() -> Value {
    json!({ "source": "stablepin.schedule", "detail-type": "Tick", "detail": {} })
}
