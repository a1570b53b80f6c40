//! The program `stablepin-demo`, which `cargo xtask demo` runs. The program uses the stack that its
//! environment variables describe.
//!
//! A team's service runs in containers. The demo pushes builds, and the lead approves them. One
//! build breaks production, and an operator rolls back. Then Stablepin takes over the deployment,
//! and rolls failed releases back automatically.
//!
//! The demo checks each claim against the emulator's own API, the registry and the containers. A
//! wrong claim ends the demo with an error.

mod builds;
mod claims;
mod columns;
mod console;
mod copied;
mod deployment;
mod failure;
mod history;
mod old_images;
mod page;
mod rollback;
mod run;
mod team;
mod tested;
mod text;
mod witness;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use stablepin_tests::stack;
use xtask::step::{chain, note, seconds, step};

use crate::claims::Count;
use crate::run::Demo;

const CHAPTERS: usize = 17;
/// The chapters that need real containers, with their numbers.
const NEED_CONTAINERS: [(usize, &str); 4] = [
    (14, "Build 5 crashes in its container, and is rolled back automatically"),
    (15, "Build 6 answers its health check with 500, and is rolled back automatically"),
    (16, "Build 7, the fix, is approved past the hold, and pinned"),
    (17, "Build 8 is copied to production's own repository, and build 9 is rolled back to it there"),
];

fn main() -> ExitCode {
    let start = Instant::now();
    let containers_are_real = stack().engine().is_some();
    if !containers_are_real {
        note("claims about containers are LEFT OUT, and counted at the end");
    }
    match tell(containers_are_real) {
        Ok(claims) => {
            summary(claims, &seconds(start.elapsed()), containers_are_real);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Runs the chapters in order. Returns how many claims were checked, and how many were left out.
fn tell(containers_are_real: bool) -> Result<Count> {
    let demo = Demo::new()?;
    chapter(1, "A team runs a service on ECS", || demo.run_service())?;
    chapter(2, "The team registers its application, and subscribes its approver", || {
        demo.register()?;
        demo.subscribe()
    })?;
    let first = chapter(3, "Build 1 is pushed, and the lead gets a mail", || demo.push(1))?;
    chapter(4, "The lead looks, and approves: pin 1", || {
        demo.look(&first)?;
        demo.approve(&first, 1)?;
        demo.link_is_used(&first, 1)?;
        demo.deploy(&first)
    })?;
    let good = chapter(5, "Build 2 becomes pin 2", || demo.release(2))?;
    let bad = chapter(6, "Build 3 is approved too, pin 3, and is broken in production", || demo.release(3))?;
    chapter(7, "The operator rolls back", || demo.roll_back(&good, &bad))?;
    chapter(8, "The push of build 3 is delivered five more times", || demo.redeliver(&bad))?;
    let pinned = good.clone();
    chapter(9, "History, audit trail and the console", || {
        let builds = [first, good, bad];
        demo.history(&builds)?;
        demo.console(&builds)
    })?;
    chapter(10, "A retention plan: which images may go, and why all of them stay", || {
        demo.plan_old_images(&pinned)
    })?;
    chapter(11, "Nobody is asked about a build that is too large, or not yet tested", || demo.conditions())?;
    let port = chapter(12, "Stablepin takes over the deployment", || demo.hand_over(&pinned))?;
    let live = chapter(13, "Build 4 is approved, deployed, proven, and pinned", || demo.is_deployed(4))?;
    if !containers_are_real {
        for (number, title) in NEED_CONTAINERS {
            chapter(number, title, || {
                demo.claims.leave_out("the whole part");
                Ok(())
            })?;
        }
        return Ok(demo.claims.count());
    }
    let [crash, unhealthy, fix, copied] = NEED_CONTAINERS;
    chapter(crash.0, crash.1, || demo.crashes(5, &live))?;
    chapter(unhealthy.0, unhealthy.1, || demo.answers_500(6, &live, port))?;
    chapter(fix.0, fix.1, || demo.is_deployed(7))?;
    chapter(copied.0, copied.1, || demo.copies([8, 9], port))?;
    Ok(demo.claims.count())
}

fn chapter<T>(number: usize, title: &str, tell: impl FnOnce() -> Result<T>) -> Result<T> {
    println!();
    step(&format!("{number}/{CHAPTERS}  {title}"), tell)
}

fn summary(count: Count, story: &str, containers_are_real: bool) {
    let Count { checked, left_out } = count;
    println!("\nShown, with {checked} claims checked in {story}:");
    println!("  - a push by digest becomes a build with a unique tag, and a mail to its approver;");
    println!(
        "  - looking changes nothing, one approval pins the very bytes that were pushed, a link works once;"
    );
    if containers_are_real {
        println!(
            "  - a broken release in real containers, brought back to the last good digest by one signed call;"
        );
        println!("  - an approved release deployed to its service, proven there, and only then the pin;");
        println!(
            "  - one that crashes and one that answers 500, both rolled back automatically, with notices to people;"
        );
    } else {
        println!(
            "  - a rollback by one signed call, and an approved release: the digest that each task names is proven;"
        );
    }
    if containers_are_real {
        println!(
            "  - the tested image copied to production's own repository, byte for byte, and run from there;"
        );
    }
    println!("  - a build is asked about only if it is valid, and when its tests have passed;");
    println!("  - a push that is delivered again changes nothing;");
    println!("  - every image of the repository has a reason why it stays or may go;");
    println!("  - every pin has its audit record, on the bus too.");
    if !containers_are_real {
        println!(
            "\nECS tasks were SIMULATED, no container has run: {left_out} claims about containers were left out.\n\
             The line \"Starting the local cloud\" says why. With an engine that serves, all of them are checked."
        );
    }
}
