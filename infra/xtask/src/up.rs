//! `cargo xtask up` and `cargo xtask down`.

use crate::cloud::{self, Cloud, Home};
use crate::deploy::{self, Profile};
use crate::podman;
use crate::setup::setup;
use crate::step::{note, step};
use anyhow::Result;
use std::time::Instant;

/// The directory of the local cloud that stays up, below `target`.
pub const LOCAL: &str = "local";

/// Starts the local cloud, or takes the one that runs, and deploys what the checkout has now.
pub fn up(name: &str, profile: Profile) -> Result<()> {
    let start = Instant::now();
    setup()?;
    let home = Home::named(name);
    let running = Cloud::running(home.clone())?;
    let cloud = match running {
        Some(cloud) => {
            println!("==> The local cloud is already running at {}", cloud.endpoint());
            cloud
        }
        None => start_cloud(home)?,
    };
    deploy::deploy(&cloud, profile)?;
    println!(
        "\nThe local cloud is up at {}, after {}.",
        cloud.endpoint(),
        crate::step::seconds(start.elapsed())
    );
    if cloud.podman().is_none() {
        println!("ECS tasks are SIMULATED: {}.", podman::unavailable().unwrap_or_default());
    }
    println!(
        "\n  . {}      # AWS_ENDPOINT_URL, credentials, STABLEPIN_API, STABLEPIN_REGISTRY …\n  \
           cargo xtask inbox         # the mails that approvers would have got\n  \
           cargo xtask down          # stops and removes everything\n\n\
         Logs: {}",
        cloud.home().env().display(),
        cloud.home().log("").display()
    );
    cloud.stay()
}

/// Starts a local cloud, telling so.
pub fn start_cloud(home: Home) -> Result<Cloud> {
    step("Starting the local cloud", || {
        let cloud = Cloud::start(home)?;
        let tasks =
            if cloud.podman().is_some() { "ECS tasks are containers" } else { "ECS tasks are SIMULATED" };
        note(format!("{}, {tasks}", cloud.endpoint()));
        Ok(cloud)
    })
}

/// Stops the local cloud and removes what it has left, however it ended.
pub fn down(name: &str) -> Result<()> {
    let home = Home::named(name);
    step("Stopping the local cloud", || {
        let found = cloud::stop(&home)?;
        note(if found { "stopped, containers removed" } else { "nothing was running" });
        Ok(())
    })
}
