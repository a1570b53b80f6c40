//! A process that serves fakes of AWS services. The process prints one line of JSON when it is
//! ready, and then one line for each line of its input.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::examples::example;
use crate::process::bound;

pub(super) struct Served {
    process: Child,
    says: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Served {
    /// Starts a program of `tests/examples`. Returns its first line too.
    pub(super) fn start<T: DeserializeOwned>(
        name: &str,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<(Self, T)> {
        let mut command = bound(example(name));
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let says = process.stdin.take().context("no pipe to the process")?;
        let answers = BufReader::new(process.stdout.take().context("no pipe from the process")?);
        let mut served = Self { process, says, answers };
        let ready = served.read()?;
        Ok((served, ready))
    }

    /// Writes one line of JSON. Returns the line that answers it.
    pub(super) fn ask<T: DeserializeOwned>(&mut self, line: &impl Serialize) -> Result<T> {
        serde_json::to_writer(&mut self.says, line)?;
        writeln!(self.says).context("cannot ask the process")?;
        self.read()
    }

    fn read<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("cannot read what the process says")?;
        if line.is_empty() {
            bail!("the process has ended");
        }
        serde_json::from_str(&line).with_context(|| format!("the process says {line:?}"))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
