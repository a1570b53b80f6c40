//! The registry that every tool reads. Its process runs `tests/examples/registry.rs`.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::examples::example;
use crate::process::bound;

pub(super) struct MeasuredRegistry {
    process: Child,
    says: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// The address of the ECR fake.
    pub(super) ecr: String,
    /// The address of the ECS fake.
    pub(super) ecs: String,
    pub(super) images: usize,
    pub(super) indexes: usize,
}

#[derive(Deserialize)]
struct RegistryReady {
    ecr: String,
    ecs: String,
    images: usize,
    indexes: usize,
}

/// A tool's calls since the last judgement, and the effect of the tool's plan.
#[derive(Deserialize)]
pub(super) struct Judged {
    pub(super) calls: BTreeMap<String, usize>,
    pub(super) deletes: usize,
    pub(super) torn: usize,
}

impl MeasuredRegistry {
    pub(super) fn start(images: usize) -> Result<Self> {
        let mut command = bound(example("registry"));
        command.arg(images.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("cannot start the registry")?;
        let says = process.stdin.take().context("no pipe to the registry")?;
        let mut answers = BufReader::new(process.stdout.take().context("no pipe from the registry")?);
        let RegistryReady { ecr, ecs, images, indexes } = read(&mut answers)?;
        Ok(Self { process, says, answers, ecr, ecs, images, indexes })
    }

    /// Judges a plan. `deletes` names each image by its digest or by a prefix of the digest.
    pub(super) fn judge(&mut self, deletes: &[String]) -> Result<Judged> {
        serde_json::to_writer(&mut self.says, deletes)?;
        writeln!(self.says).context("cannot ask the registry")?;
        read(&mut self.answers)
    }
}

impl Drop for MeasuredRegistry {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn read<T: DeserializeOwned>(answers: &mut BufReader<ChildStdout>) -> Result<T> {
    let mut line = String::new();
    answers.read_line(&mut line).context("cannot read what the registry says")?;
    if line.is_empty() {
        bail!("the registry has ended");
    }
    serde_json::from_str(&line).with_context(|| format!("the registry says {line:?}"))
}
