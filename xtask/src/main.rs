//! `cargo xtask`: the one entry to what a developer does here.

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use xtask::cloud::stop_on_interrupt;
use xtask::deploy::{Profile, Work};
use xtask::stack::Stack;
use xtask::step::chain;
use xtask::workspace::find_root;
use xtask::{as_user, bench, demo, inbox, mutants, setup, supervisor, test, up};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer tasks")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install the tools that the other tasks use
    Setup,
    /// Tell the whole story in a local cloud of its own: push, approve, pin, break, roll back
    Demo {
        /// Leave the cloud running afterwards
        #[arg(long)]
        keep: bool,
        /// Deploy release binaries, as on AWS
        #[arg(long)]
        release: bool,
        /// Deploy what was built before, with the tools that are there: for a user who may not change them
        #[arg(long, hide = true)]
        built: bool,
    },
    /// Tell it as an ordinary user of this machine, with what the tests have built; as root
    DemoAsUser,
    /// Start the local cloud, deploy into it, and leave it running
    Up {
        /// Deploy release binaries, as on AWS
        #[arg(long)]
        release: bool,
        /// Its directory below `target`: clouds of different names run side by side
        #[arg(long, default_value = up::LOCAL)]
        name: String,
    },
    /// Stop the local cloud and remove what it has left
    Down {
        #[arg(long, default_value = up::LOCAL)]
        name: String,
    },
    /// Show the mails that approvers would have got, newest last
    Inbox,
    /// Run all that CI runs
    Test {
        /// Big counts, ten rounds
        #[arg(long)]
        deep: bool,
    },
    /// Break each rule on purpose, and see the named test fail
    Mutants,
    /// Measure what a dry run of retention takes, and other tools beside it
    Bench {
        /// Without the repository of 100,000 images
        #[arg(long)]
        quick: bool,
    },
    #[command(hide = true, name = supervisor::COMMAND)]
    Supervise { folder: PathBuf },
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", chain(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    find_root()?;
    if !matches!(task, Task::Supervise { .. }) {
        stop_on_interrupt()?;
    }
    match task {
        Task::Setup => {
            setup::setup().and_then(|()| setup::versions()).map(|versions| println!("{versions}"))?;
            if let Some(reason) = setup::browser()? {
                println!("The tests of the pages will be left out: {reason}");
            }
        }
        Task::Demo { keep, release, built } => {
            let work = if built { Work::Built } else { Work::Builds };
            demo::demo(profile(release), work, keep)?;
        }
        Task::DemoAsUser => {
            if let Some(reason) = as_user::demos()? {
                bail!("the demo cannot be told as another user: {reason}");
            }
        }
        Task::Up { release, name } => up::up(&name, profile(release))?,
        Task::Down { name } => up::down(&name)?,
        Task::Inbox => inbox::print(&Stack::current()?.aws())?,
        Task::Test { deep } => return test::test(deep),
        Task::Mutants => mutants::mutants()?,
        Task::Bench { quick } => bench::bench(quick)?,
        Task::Supervise { folder } => supervisor::supervise(&folder)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn profile(release: bool) -> Profile {
    if release { Profile::Release } else { Profile::Debug }
}
