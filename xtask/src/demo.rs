//! `cargo xtask demo`: shows the whole product in a separate local cloud. The program
//! `stablepin-demo` in `tests/demo` runs the demo's steps. It uses the clients of the end-to-end
//! tests.

use crate::cloud::{Cloud, Home};
use crate::deploy::{Profile, Work};
use crate::env_file::word;
use crate::process::{bound, run};
use crate::secrets;
use crate::setup::setup;
use crate::stack::Stack;
use crate::step::{chain, note, seconds, step};
use crate::workspace::{root, short};
use anyhow::{Context, Result, bail};
use std::fs;
use std::process::Command;
use std::time::Instant;

/// The directory of the demo's cloud, below `target`.
const CLOUD: &str = "local-demo";
/// The program that runs the demo's steps. Cargo puts it beside `xtask`.
pub(crate) const PROGRAM: &str = "stablepin-demo";

/// Runs the demo. With `keep`, its cloud keeps running.
pub fn demo(profile: Profile, work: Work, keep: bool) -> Result<()> {
    let start = Instant::now();
    println!(
        "Stablepin, end to end, on this machine: the real template, functions, IAM, registry and mails\n\
         in a local cloud. Every claim is checked against the emulator, the registry and the containers.\n"
    );
    if work == Work::Builds {
        setup()?;
        compile()?;
    }
    if Cloud::running(Home::named(CLOUD))?.is_some() {
        bail!("a demo is running, or one was kept: `cargo xtask down --name {CLOUD}` stops it");
    }
    let stack = Stack::start(CLOUD, profile, work)?;
    note(format!("ready after {}", seconds(start.elapsed())));

    let outcome = tell(&stack);
    save_function_logs(&stack);
    let logs = stack.folder().join("logs");
    let logs = short(&logs).display().to_string();
    println!();
    if keep {
        println!("The local cloud stays up, as the demo left it:\n\n{}", kept(&stack));
        stack.stay()?;
    } else if let Err(error) = step("Stopping the local cloud", || stack.stop()) {
        // If the demo itself failed, the demo's error is returned instead of this error.
        if outcome.is_ok() {
            return Err(error);
        }
        eprintln!("error: {}", chain(&error));
    }
    outcome.with_context(|| format!("the demo FAILED; logs: {logs}"))?;
    println!("Total: {}.", seconds(start.elapsed()));
    Ok(())
}

/// Compiles the program that runs the demo's steps.
pub(crate) fn compile() -> Result<()> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).args(["build", "--quiet", "--package", "stablepin-tests", "--bin", PROGRAM]);
    run(&mut cargo)
}

fn tell(stack: &Stack) -> Result<()> {
    let program = std::env::current_exe().context("cannot tell which program this is")?;
    run(bound(program.with_file_name(PROGRAM)).envs(stack.variables()))
}

/// Saves the logs of the Lambda functions, because the emulator loses the logs when it stops.
fn save_function_logs(stack: &Stack) {
    // A missing log must not fail the demo.
    for (group, log) in secrets::logs(&stack.aws()).unwrap_or_default() {
        let name = group.rsplit('/').next().unwrap_or_default();
        let _ = fs::write(stack.folder().join("logs").join(format!("{name}.log")), log);
    }
}

/// Returns instructions to look around and to stop the cloud.
fn kept(stack: &Stack) -> String {
    let env = format!(". {}", word(&short(&stack.folder().join("env")).display().to_string()));
    let down = format!("cargo xtask down --name {CLOUD}");
    format!(
        "  {env:<36} # AWS_ENDPOINT_URL, credentials, STABLEPIN_API, STABLEPIN_REGISTRY …\n  \
           {:<36} # the mails; after that line\n  \
           {down:<36} # stops and removes everything",
        "cargo xtask inbox"
    )
}
