//! A process whose CPU time and memory the kernel measures.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use wait4::Wait4 as _;

use crate::deploy::certificate_bundle;
use crate::workspace::target;

/// The end of a process, and what it used.
pub(super) struct Used {
    pub(super) status: ExitStatus,
    /// The sum of user time and system time.
    pub(super) cpu: Duration,
    /// The highest resident memory.
    pub(super) peak_bytes: u64,
}

/// Returns a command that the kernel ends at a limit of CPU time. A small shell starts the program,
/// because the measured memory of a process includes its parent's memory at the start.
pub(super) fn limited(cpu: Duration, program: &[PathBuf]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -t {}; exec \"$@\"", cpu.as_secs()), "sh"]).args(program);
    command
}

/// Sets the variables with which a program finds the ECR fake.
pub(super) fn at_the_fake<'c>(command: &'c mut Command, ecr: &str) -> &'c mut Command {
    command.envs([
        ("AWS_ENDPOINT_URL_ECR", ecr),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ]);
    // As in the template, no other variable may name certificates.
    command.env_remove("SSL_CERT_DIR").envs(certificate_bundle().map(|bundle| ("SSL_CERT_FILE", bundle)))
}

/// Runs a command to its end. Its output goes to `log`.
pub(super) fn used_by(command: &mut Command, name: &str, log: &Path) -> Result<Used> {
    let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let used = child.wait4().with_context(|| format!("cannot wait for {name}"))?;
    let cpu = used.rusage.utime + used.rusage.stime;
    Ok(Used { status: used.status, cpu, peak_bytes: used.rusage.maxrss })
}

/// Returns the folder of the bench's logs.
pub(super) fn folder() -> Result<PathBuf> {
    let folder = target().join("bench");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
