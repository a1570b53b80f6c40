//! The tasks `cargo xtask up`, `cargo xtask redeploy` and `cargo xtask down`.

use crate::cloud::{self, Cloud, Home};
use crate::deploy::{self, Profile, Work};
use crate::env_file::word;
use crate::setup::setup;
use crate::stack::Stack;
use crate::step::{note, seconds, step};
use crate::workspace::short;
use anyhow::{Result, bail, ensure};
use std::time::Instant;

/// The directory, below `target`, of the local cloud of `cargo xtask up`.
pub const LOCAL: &str = "local";

/// Starts the local cloud, or uses the running cloud, and deploys the current state of the
/// checkout.
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
    deploy::deploy(&cloud, profile, Work::Builds)?;
    println!("\nThe local cloud is up at {}, after {}.", cloud.endpoint(), seconds(start.elapsed()));
    println!("{}.\n", cloud.tasks());
    let env = format!(". {}", word(&short(&cloud.home().env()).display().to_string()));
    println!("  {env:<24} # AWS_ENDPOINT_URL, credentials, STABLEPIN_API, STABLEPIN_REGISTRY …");
    println!("  {:<24} # the mails that approvers would have got", "cargo xtask inbox");
    let down = match name {
        LOCAL => "cargo xtask down".to_owned(),
        name => format!("cargo xtask down --name {}", word(name)),
    };
    println!("  {down:<24} # stops and removes everything");
    println!("\nLogs: {}", short(&cloud.home().log("")).display());
    cloud.stay()
}

/// Replaces the code of one Lambda function in a running local cloud. Does not deploy changes of
/// the template.
pub fn redeploy(name: &str, function: &str) -> Result<()> {
    let home = Home::named(name);
    if Cloud::running(home.clone())?.is_none() {
        bail!("no local cloud runs there: `cargo xtask up` starts one");
    }
    let stack = Stack::read(home)?;
    let deployed = stack.variable(&format!("STABLEPIN_{}_FUNCTION", function.to_uppercase()));
    ensure!(!deployed.is_empty(), "the stack has no function {function}");
    let zip = deploy::package(function)?;
    step(&format!("Replacing the code of {deployed}"), || Ok(stack.aws().update_code(deployed, &zip)?))
}

/// Starts a local cloud, and prints its address.
pub fn start_cloud(home: Home) -> Result<Cloud> {
    step("Starting the local cloud", || {
        let cloud = Cloud::start(home)?;
        note(format!("{}, {}", cloud.endpoint(), cloud.tasks()));
        Ok(cloud)
    })
}

/// Stops the local cloud. Removes its remains even after a crash.
pub fn down(name: &str) -> Result<()> {
    let home = Home::named(name);
    step("Stopping the local cloud", || {
        let found = cloud::stop(&home)?;
        note(if found { "stopped, containers removed" } else { "nothing was running" });
        Ok(())
    })
}
