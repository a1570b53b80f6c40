//! `cargo xtask`: the entry point of all developer tasks.

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
    /// Run the whole demo in its own local cloud: push, approve, pin, break, roll back
    Demo {
        /// Keep the cloud running afterwards
        #[arg(long)]
        keep: bool,
        /// Deploy release binaries, as on AWS
        #[arg(long)]
        release: bool,
        /// Deploy the existing build with the existing tools, for a user who may not change them
        #[arg(long, hide = true)]
        built: bool,
    },
    /// Run the demo as an ordinary user of this machine, with the tests' build; needs root
    DemoAsUser,
    /// Start the local cloud, deploy into it, and keep it running
    Up {
        /// Deploy release binaries, as on AWS
        #[arg(long)]
        release: bool,
        /// The cloud's directory below `target`; clouds of different names run at the same time
        #[arg(long, default_value = up::LOCAL, value_parser = cloud_name)]
        name: String,
    },
    /// Compile one Lambda function, and replace its code in the running local cloud
    Redeploy {
        /// The Lambda function's folder below `functions`, such as `promoter`
        function: String,
        #[arg(long, default_value = up::LOCAL, value_parser = cloud_name)]
        name: String,
    },
    /// Stop the local cloud, and remove its containers and files
    Down {
        #[arg(long, default_value = up::LOCAL, value_parser = cloud_name)]
        name: String,
    },
    /// Show the mails that approvers would have received, newest last
    Inbox,
    /// Run everything that CI runs
    Test {
        /// Use big counts, and run the end-to-end tests four times
        #[arg(long)]
        deep: bool,
    },
    /// Break each rule on purpose, and check that the named test fails
    Mutants,
    /// Measure a dry run of retention, and compare it with other tools
    Bench {
        /// Leave out the repository of 100,000 images
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
                bail!("the demo cannot run as another user: {reason}");
            }
        }
        Task::Up { release, name } => up::up(&name, profile(release))?,
        Task::Redeploy { function, name } => up::redeploy(&name, &function)?,
        Task::Down { name } => up::down(&name)?,
        Task::Inbox => inbox::print(&Stack::current()?.aws())?,
        Task::Test { deep } => return test::test(deep),
        Task::Mutants => mutants::mutants()?,
        Task::Bench { quick } => bench::bench(quick)?,
        Task::Supervise { folder } => supervisor::supervise(&folder)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Parses the name of a cloud. The name becomes a folder, and part of shell commands.
fn cloud_name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    match text.len() {
        1..=40 if text.bytes().all(is_plain) && !text.starts_with('-') => Ok(text.to_owned()),
        _ => Err("use 1 to 40 letters, digits, hyphens and underscores".to_owned()),
    }
}

fn profile(release: bool) -> Profile {
    if release { Profile::Release } else { Profile::Debug }
}

#[cfg(test)]
mod tests {
    use super::cloud_name;

    #[test]
    fn name_of_a_cloud_is_a_plain_folder_below_target() {
        assert_eq!(cloud_name("local-demo"), Ok("local-demo".to_owned()));
        for name in ["", "../x", "a/b", "it's $HOME", ".", "-x", &"x".repeat(41)] {
            assert!(cloud_name(name).is_err(), "{name}");
        }
    }
}
