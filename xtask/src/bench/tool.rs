//! The measured tools: how each dry run starts, and how the output is read.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result};

use super::examples::example;
use super::measured::{at_the_fake, folder, limited, used_by};
use super::registry::MeasuredRegistry;
use crate::process::tail;
use crate::setup::peer;

/// The limit of a tool's CPU time: the sum of user time and system time.
pub(super) const CPU_LIMIT: Duration = Duration::from_secs(180);

/// The age in days from which a tool may delete an image. ecr-cleaner accepts only a number of
/// images to keep, so the bench passes the number of images that are younger than this age.
const DAYS: usize = 90;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tool {
    /// The program `functions/retention/examples/plan.rs`.
    Ours,
    /// <https://pypi.org/project/ecr-cleaner/>
    EcrCleaner,
    /// <https://pypi.org/project/aws-ecr-cleanup/>
    AwsEcrCleanup,
}

pub(super) struct Run {
    pub(super) cpu: Duration,
    pub(super) peak_bytes: u64,
    pub(super) end: Ended,
}

pub(super) enum Ended {
    /// The tool succeeded. The list has the digests, or prefixes of digests, of the images that the
    /// tool would delete.
    Well(Vec<String>),
    OutOfTime,
    /// The tool failed. The text is the last line of its output.
    Badly(String),
}

impl Tool {
    pub(super) const ALL: [Self; 3] = [Self::Ours, Self::EcrCleaner, Self::AwsEcrCleanup];
    pub(super) const PEERS: [Self; 2] = [Self::EcrCleaner, Self::AwsEcrCleanup];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "Stablepin",
            Self::EcrCleaner => "ecr-cleaner 0.1.11",
            Self::AwsEcrCleanup => "aws-ecr-cleanup 0.1.5",
        }
    }

    /// Returns how often the tool runs. Stablepin runs more often, because other work on the
    /// machine easily disturbs Stablepin's short run.
    pub(super) fn runs(self) -> usize {
        match self {
            Self::Ours => 3,
            Self::EcrCleaner | Self::AwsEcrCleanup => 1,
        }
    }

    /// Returns the tool's arguments, as its documentation gives them. The configured deletion is as
    /// close as possible to Stablepin's: images older than 90 days.
    fn arguments(self, images: usize) -> Result<Vec<PathBuf>> {
        let words = |words: &[&str]| words.iter().map(PathBuf::from).collect::<Vec<_>>();
        Ok(match self {
            Self::Ours => [vec![example("plan")], words(&["web"])].concat(),
            Self::EcrCleaner => {
                // 92 of 100 images have the tag of a pipeline. Their ages are spread over 400 days.
                let policy = format!("web:build-={},untagged=0", images * 92 / 100 * DAYS / 400);
                let arguments = words(&["--dry-run", "--region", "us-east-1", "--repositories", &policy]);
                [vec![peer("ecr-cleaner")], arguments].concat()
            }
            Self::AwsEcrCleanup => {
                // The tool counts days from the oldest image with a significant tag. That image is
                // 30 days old.
                let config = format!(
                    "- name: bench\n  protected_period: {}\n  protected_count: 10\n  \
                     significant_tags: [production-stable]\n  repositories: [web]\n",
                    DAYS - 30
                );
                let file = folder()?.join("aws-ecr-cleanup.yaml");
                fs::write(&file, config).context("cannot write a tool's configuration")?;
                [vec![peer("aws-ecr-cleanup")], words(&["--config"]), vec![file]].concat()
            }
        })
    }

    pub(super) fn run(self, registry: &MeasuredRegistry) -> Result<Run> {
        let log = folder()?.join(format!("{} {}.log", self.name(), registry.images));
        let mut command = limited(CPU_LIMIT, &self.arguments(registry.images)?);
        command.env("AWS_ENDPOINT_URL_ECS", &registry.ecs);
        let used = used_by(at_the_fake(&mut command, &registry.ecr), self.name(), &log)?;
        let end = self.ended(used.status, used.cpu, &log)?;
        Ok(Run { cpu: used.cpu, peak_bytes: used.peak_bytes, end })
    }

    fn ended(self, status: ExitStatus, cpu: Duration, log: &Path) -> Result<Ended> {
        Ok(if status.success() {
            let text = fs::read(log).with_context(|| format!("cannot read {}", log.display()))?;
            Ended::Well(self.deletes(&String::from_utf8_lossy(&text)))
        } else if status.signal().is_some() && cpu >= CPU_LIMIT {
            Ended::OutOfTime
        } else {
            Ended::Badly(tail(log, 1))
        })
    }

    /// Parses the tool's output. Returns the digests, or prefixes of digests, of the images that
    /// the tool would delete.
    fn deletes(self, output: &str) -> Vec<String> {
        const DIGEST: usize = "sha256:".len() + 64;
        match self {
            Self::Ours | Self::EcrCleaner => output
                .match_indices("sha256:")
                .filter_map(|(at, _)| output.get(at..at + DIGEST))
                .map(str::to_owned)
                .collect(),
            // Example: `0123456789a, build-1, 31/12/2026 23:59`
            Self::AwsEcrCleanup => output
                .lines()
                .filter_map(|line| line.split_once(", "))
                .filter(|(id, _)| id.len() == 11 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
                .map(|(id, _)| format!("sha256:{id}"))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tool;

    #[test]
    fn planned_deletions_are_parsed_from_the_output_of_a_tool() {
        let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
        let cleaner = format!(
            "[info] Dry-run: Skip deletion of the following images: image_ids=[{{'imageDigest': '{digest}'}}, {{'imageDigest': '{digest}'}}]\n"
        );
        assert_eq!(Tool::EcrCleaner.deletes(&cleaner), [digest.clone(), digest.clone()]);
        assert_eq!(Tool::Ours.deletes(&format!("{digest}\n")), [digest]);
        let cleanup =
            "WARNING: Running in DRY mode, so\n0123456789a, build-1, 31/12/2026 23:59\nbe, or, not\n";
        assert_eq!(Tool::AwsEcrCleanup.deletes(cleanup), ["sha256:0123456789a"]);
    }
}
