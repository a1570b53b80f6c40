//! `cargo xtask test`: runs everything that CI runs. After a failed step the other steps still run,
//! if they can.

mod comments;
mod commits;
mod dependencies;
mod documentation;

use crate::deploy::{self, Profile, Work};
use crate::process::{bound, sweep, typed};
use crate::stack::Stack;
use crate::step::{chain, note, seconds};
use crate::workspace::{root, tool};
use crate::{as_user, bench, demo, mutants, secrets, setup, size};
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// The directory, below `target`, of the local cloud for the tests.
const CLOUD: &str = "local-test";
/// The number of end-to-end tests that run at the same time. The tests mostly wait for Lambda
/// functions and containers.
const SIDE_BY_SIDE: &str = "8";
/// The number of times that `--deep` runs the end-to-end tests. The first round injects every fault
/// and uses the big counts. The other rounds repeat what CI runs, to find tests that fail only
/// sometimes.
const DEEP_ROUNDS: usize = 4;
/// The number of cases of each property with `--deep`. The default of proptest is 256.
const DEEP_CASES: &str = "20000";
/// The environment variable of a step's tests and their child processes. By this variable, the task
/// finds and stops processes that outlive the step.
const TEST_RUN: &str = "STABLEPIN_TEST_RUN";

/// Parts of the names of end-to-end tests that need real containers.
const NEED_CONTAINERS: [&str; 15] = [
    "approved_build_is_deployed_to_every_service_and_pinned",
    "console_rollback_command_repairs_drift",
    "console_shows_running_pins_and_unreadable_services",
    "deployed_stack_runs_the_copy_from_productions_repository",
    "failed_first_release_restores_the_previous_image",
    "failed_release_returns_to_a_pin_of_the_former_repository",
    "manual_deployment_is_reported_once_as_live_drift",
    "page_shows_release_and_rollback_without_reload",
    "release_to_a_missing_service_changes_nothing",
    "release_with_a_crashing_container_is_rolled_back",
    "release_with_a_failing_health_check_is_rolled_back",
    "rollback_not_proven_by_its_deadline_ends_as_incomplete",
    "rollback_to_the_pin_replaces_a_manual_deployment",
    "rollback_to_a_crashing_pin_does_not_count_as_success",
    "stablepin_accepts_a_circuit_breaker_rollback_by_ecs",
];
/// Parts of the names of tests that open pages in Chromium.
const NEED_BROWSER: [&str; 2] = ["browser", "every_output_shows_hostile_text_as_plain_text"];

/// Runs every step. The exit code reports a failure, so that the last line of output is the line
/// with the sums.
pub fn test(deep: bool) -> Result<ExitCode> {
    let mut report = Report::default();
    report.check("Setting up the tools", setup::setup);
    let mut no_browser = None;
    report.check("Setting up the browser", || {
        no_browser = setup::browser()?;
        Ok(())
    });
    if let Some(reason) = &no_browser {
        report.leave_out(format!("tests of the pages in a browser: {reason}"));
    }
    report.check("Formatting", || run(cargo(&["fmt", "--all", "--check"])));
    report.check("Lints", || {
        run(cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]))
    });
    report.check("Documentation", || run(documentation::check(&root())));
    report.check("Width of comments", comments::check);
    report.check("Subjects of commits", commits::check);
    report.check("Bans, licenses and sources of crates", || run(dependencies::check(&root())));
    report.tests("Unit and property tests", || {
        let mut command = cargo(&["test", "--workspace", "--exclude", "stablepin-tests", "--no-fail-fast"]);
        deepen(&mut command, deep);
        run_tests(command, limit(deep))
    });
    report.check("Mutants apply", mutants::all_apply);
    report.check("Template: SAM", || {
        run(template_check("sam", &["validate", "--lint", "--config-env", "local"]))
    });
    report.check("Template: cfn-lint", || run(template_check("cfn-lint", &["template.yaml"])));
    end_to_end(&mut report, deep, no_browser.is_some());
    release(&mut report);
    if deep {
        report.check("Cost of a dry run of retention, and of a copy", || bench::bench(true));
    }
    Ok(report.close())
}

/// Tests the deployed template in a separate local cloud, and removes the cloud afterwards.
fn end_to_end(report: &mut Report, deep: bool, no_browser: bool) {
    let mut stack = None;
    report.check("Local cloud and deployment", || {
        stack = Some(Stack::start(CLOUD, Profile::Debug, Work::Builds)?);
        Ok(())
    });
    let Some(stack) = stack else { return };
    let mut left_out = Vec::new();
    if no_browser {
        left_out.extend(NEED_BROWSER);
    }
    if stack.engine().is_none() {
        left_out.extend(NEED_CONTAINERS);
        report.leave_out("tests that need real containers: no engine serves here".to_owned());
    }
    for round in 1..=if deep { DEEP_ROUNDS } else { 1 } {
        let title =
            if deep { format!("End-to-end tests, round {round}") } else { "End-to-end tests".to_owned() };
        report.tests(&title, || {
            let mut command = cargo(&["test", "--package", "stablepin-tests", "--no-fail-fast"]);
            command.envs(stack.variables()).env("RUST_TEST_THREADS", SIDE_BY_SIDE);
            command.arg("--").args(left_out.iter().flat_map(|name| ["--skip", name]));
            deepen(&mut command, deep && round == 1);
            run_tests(command, limit(deep))
        });
    }
    report.check("No secret in any log", || secrets::check(&stack));
    report.check("Tear-down", || stack.stop());
}

/// Checks the release build, which users build for AWS: the sizes of the Lambda functions, and the
/// demo.
fn release(report: &mut Report) {
    let mut build = None;
    report.check("Release build", || {
        build = Some(deploy::build(Profile::Release)?);
        Ok(())
    });
    let Some(build) = build else { return };
    report.check("Sizes of the functions", || size::check(&build));
    drop(build);
    report.check("Demo with the release build", || demo::demo(Profile::Release, Work::Builds, false));
    if !rustix::process::geteuid().is_root() {
        // The previous step has already run the demo as an ordinary user.
        return;
    }
    let mut left_out = None;
    report.tests("Demo as an ordinary user, with containers and without", || {
        left_out = as_user::demos()?;
        Ok(if left_out.is_some() { Counts::SKIPPED } else { Counts::PASSED })
    });
    if let Some(reason) = left_out {
        report.leave_out(format!("the demo as an ordinary user: {reason}"));
    }
}

/// Returns the time limit of one step's tests, including their compilation.
fn limit(deep: bool) -> Duration {
    Duration::from_secs(60 * if deep { 60 } else { 25 })
}

fn deepen(command: &mut Command, deep: bool) {
    if deep {
        command.env("PROPTEST_CASES", DEEP_CASES).env("STABLEPIN_DEEP", "1");
    }
}

fn cargo(arguments: &[&str]) -> Command {
    let mut command = bound("cargo");
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command
}

fn template_check(program: &str, arguments: &[&str]) -> Command {
    let mut command = bound(tool(program));
    command.args(arguments).current_dir(root()).stdin(Stdio::null());
    command.env("SAM_CLI_TELEMETRY", "0").env("AWS_DEFAULT_REGION", "us-east-1");
    command
}

fn run(mut command: Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", typed(&command)))?;
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}

/// Runs a `cargo test` command. Prints its output without the passed tests, and counts the results.
///
/// Stops the tests after the time limit and names the tests that still ran, because CI must end.
fn run_tests(mut command: Command, limit: Duration) -> Result<Counts> {
    let run = std::process::id().to_string();
    let mut child = command
        .env(TEST_RUN, &run)
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", typed(&command)))?;
    let output = BufReader::new(child.stdout.take().context("no pipe from the tests")?);
    let (over, ended) = channel::<()>();
    let watch = thread::spawn(move || {
        let hangs = ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
        hangs.then(|| sweep(TEST_RUN, &run))
    });
    let (mut counts, mut slow) = (Counts::default(), BTreeSet::new());
    for line in output.lines() {
        let line = line.context("cannot read what the tests print")?;
        let more = Counts::read(&line);
        counts.add(more.unwrap_or_default());
        match line.strip_prefix("test ").and_then(|test| test.split_once(' ')) {
            Some((test, "has been running for over 60 seconds")) => _ = slow.insert(test.to_owned()),
            Some((test, _)) => _ = slow.remove(test),
            None => {}
        }
        // The task prints nothing for a test program without tests.
        let is_quiet = line.is_empty() || line == "running 0 tests" || line.ends_with(" ... ok");
        if more != Some(Counts::default()) && !is_quiet {
            println!("{line}");
        }
    }
    drop(over);
    let status = child.wait().context("cannot wait for the tests")?;
    if watch.join().ok().flatten().is_some() {
        bail!("not done after {}, so the tests were stopped; still running: {slow:?}", seconds(limit));
    }
    if !status.success() && counts.failed == 0 {
        bail!("{status}, though no test has failed: does it compile?");
    }
    Ok(counts)
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Counts {
    const PASSED: Self = Self { passed: 1, failed: 0, skipped: 0 };
    const FAILED: Self = Self { passed: 0, failed: 1, skipped: 0 };
    const SKIPPED: Self = Self { passed: 0, failed: 0, skipped: 1 };

    /// Parses the last line of a test program, such as `test result: ok. 12 passed; 0 failed; 0
    /// ignored; 0 measured; 2 filtered out; …`.
    fn read(line: &str) -> Option<Self> {
        let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let number = |word: &str| {
            let part = numbers.split("; ").find_map(|part| part.strip_suffix(word))?;
            part.trim().parse().ok()
        };
        Some(Self {
            passed: number("passed")?,
            failed: number("failed")?,
            skipped: number("filtered out").unwrap_or_default(),
        })
    }

    fn add(&mut self, more: Self) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.skipped += more.skipped;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped } = self;
        write!(f, "{passed} passed, {failed} failed")?;
        if *skipped > 0 {
            write!(f, ", {skipped} skipped")?;
        }
        Ok(())
    }
}

/// The steps that ran, with their times and results.
#[derive(Default)]
struct Report {
    steps: Vec<(String, Duration, Counts)>,
    sum: Counts,
    /// The parts that this machine cannot test, with the reasons.
    left_out: Vec<String>,
}

impl Report {
    /// Runs a step that passes or fails as a whole.
    fn check(&mut self, title: &str, work: impl FnOnce() -> Result<()>) {
        self.tests(title, || work().map(|()| Counts::PASSED));
    }

    /// Prints and records a part that does not run on this machine.
    fn leave_out(&mut self, what: String) {
        note(format!("LEFT OUT: {what}"));
        self.left_out.push(what);
    }

    /// Runs a step that consists of many tests.
    fn tests(&mut self, title: &str, work: impl FnOnce() -> Result<Counts>) {
        println!("\n==> {title}");
        let start = Instant::now();
        let counts = work().unwrap_or_else(|error| {
            note(chain(&error));
            Counts::FAILED
        });
        let time = start.elapsed();
        let verdict = if counts.failed == 0 { "done" } else { "FAILED" };
        note(format!("{title}: {verdict} in {}", seconds(time)));
        self.sum.add(counts);
        self.steps.push((title.to_owned(), time, counts));
    }

    /// Returns the list of the parts that were left out, and the line with the sums.
    fn last_lines(&self) -> String {
        let mut lines = String::new();
        if !self.left_out.is_empty() {
            let named: Vec<_> = self.left_out.iter().map(|what| what.replace('\n', "\n    ")).collect();
            lines = format!("Left out on this machine:\n  - {}\n\n", named.join("\n  - "));
        }
        format!("{lines}{}", self.sum)
    }

    fn close(self) -> ExitCode {
        println!("\n==> Summary");
        for (title, time, counts) in &self.steps {
            let verdict = if counts.failed == 0 { "ok" } else { "FAILED" };
            println!("    {verdict:<7} {:>5} {:>12}  {title}", counts.passed + counts.failed, seconds(*time));
        }
        println!("\n{}", self.last_lines());
        if self.sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

#[cfg(test)]
mod tests {
    use super::{Counts, NEED_BROWSER, NEED_CONTAINERS, Report, run_tests};
    use crate::workspace::root;
    use std::fs;
    use std::path::Path;
    use std::process::Command;
    use std::time::{Duration, Instant};

    #[test]
    fn time_limit_stops_and_names_hanging_tests() {
        let mut command = Command::new("sh");
        let says =
            "echo 'test a::b has been running for over 60 seconds'; echo 'test c ... ok'; sleep 99 & wait";
        command.args(["-c", says]);
        let start = Instant::now();
        let error = run_tests(command, Duration::from_millis(500)).unwrap_err();
        assert!(error.to_string().ends_with("still running: {\"a::b\"}"), "{error}");
        assert!(start.elapsed() < Duration::from_secs(50), "sleep held the pipe");
    }

    #[test]
    fn counts_are_parsed_from_the_last_line_of_a_test_program() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(Counts::read(line), Some(Counts { passed: 12, failed: 3, skipped: 0 }));
        let line =
            "test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 21 filtered out; finished in 0.00s";
        assert_eq!(Counts::read(line), Some(Counts { passed: 5, failed: 0, skipped: 21 }));
        assert_eq!(Counts::read("test result_is_read ... ok"), None);
    }

    #[test]
    fn report_lists_left_out_parts_before_the_sums() {
        let mut report = Report::default();
        report.tests("some tests", || Ok(Counts { passed: 7, failed: 0, skipped: 2 }));
        report.check("a step", || Ok(()));
        assert_eq!(report.last_lines(), "8 passed, 0 failed, 2 skipped");
        report.leave_out("the pages: no Chromium".to_owned());
        report.leave_out("containers:\nno Podman".to_owned());
        assert_eq!(
            report.last_lines(),
            "Left out on this machine:\n  - the pages: no Chromium\n  - containers:\n    no Podman\n\n8 passed, 0 failed, 2 skipped"
        );
    }

    #[test]
    fn line_with_the_sums_shows_skipped_tests() {
        assert_eq!(Counts { passed: 3, failed: 1, skipped: 0 }.to_string(), "3 passed, 1 failed");
        assert_eq!(Counts { passed: 3, failed: 0, skipped: 2 }.to_string(), "3 passed, 0 failed, 2 skipped");
    }

    /// Returns the Rust functions of the end-to-end tests, each with its file, its name and its
    /// text.
    fn functions(folder: &Path) -> Vec<(String, String, String)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                found.extend(functions(&path));
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            for function in text.split("\nfn ").skip(1) {
                let name = function.split(['(', '<']).next().unwrap_or_default();
                found.push((path.display().to_string(), name.to_owned(), function.to_owned()));
            }
        }
        found
    }

    #[test]
    fn every_test_with_containers_is_listed() {
        let all = functions(&root().join("tests/tests/e2e"));
        for (file, name, text) in &all {
            if text.contains("app.service") {
                assert!(NEED_CONTAINERS.iter().any(|one| one.contains(name.as_str())), "{file}: {name}");
            }
        }
        for one in NEED_CONTAINERS {
            assert!(all.iter().any(|(_, name, _)| name.contains(one)), "no test is called {one}");
        }
    }

    #[test]
    fn every_test_with_browser_pages_is_listed() {
        for (file, name, text) in functions(&root().join("tests/tests/e2e")) {
            let named = NEED_BROWSER.iter().any(|one| file.contains(one) || one.contains(name.as_str()));
            assert!(!text.contains("Page::open") || named, "{file}: {name}");
        }
    }
}
