//! A retention run over the repositories of an application, as plain data. A progress report may
//! arrive late or several times, but counts once.

mod purpose;
mod repository;
mod summary;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::purpose::{Purpose, RunId};
pub use self::repository::{Applied, Planned, RepositoryRun, RepositoryState, RunProgress, Stored};
pub use self::summary::price_a_month;

use self::summary::summary;
use stablepin_rules::audit::{Actor, AuditRecord, Kind};
use stablepin_rules::image::RepositoryName;
use stablepin_rules::name::ApplicationName;
use stablepin_rules::one_line::{self, LONGEST_REASON, one_line};

/// A retention run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub id: RunId,
    pub application: ApplicationName,
    pub purpose: Purpose,
    pub by: Actor,
    #[serde(default)]
    pub reason: Option<String>,
    pub begun_at: Timestamp,
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// The percentage of a repository's images that the run may remove.
    #[serde(default = "default_share")]
    pub share: u8,
    pub repositories: BTreeMap<RepositoryName, RepositoryRun>,
    pub version: u64,
}

/// A request for a run, by a person or by the nightly schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRequest {
    pub purpose: Purpose,
    pub by: Actor,
    pub reason: Option<String>,
    /// The percentage of a repository's images that the run may remove.
    pub share: u8,
    pub repositories: BTreeSet<RepositoryName>,
}

/// The percentage of a repository's images that one run may remove by default.
pub const DEFAULT_SHARE: u8 = 20;

fn default_share() -> u8 {
    DEFAULT_SHARE
}

/// The state of a run. The code derives this state from the repositories, and never stores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    Requested,
    InProgress,
    Completed,
    /// Retention skipped a repository, or ECR did not delete an image.
    CompletedWithErrors,
    /// The run completed no repository, and changed nothing.
    Failed,
}

impl RunState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "Requested",
            Self::InProgress => "InProgress",
            Self::Completed => "Completed",
            Self::CompletedWithErrors => "CompletedWithErrors",
            Self::Failed => "Failed",
        }
    }

    pub fn is_terminal(self) -> bool {
        match self {
            Self::Requested | Self::InProgress => false,
            Self::Completed | Self::CompletedWithErrors | Self::Failed => true,
        }
    }
}

impl Run {
    /// Begins a run. Returns the run and its first audit record.
    pub fn begin(
        id: RunId,
        application: ApplicationName,
        asked: RunRequest,
        now: Timestamp,
    ) -> (Self, AuditRecord) {
        let RunRequest { purpose, by, reason, share, repositories } = asked;
        let waiting = RepositoryRun { updated_at: now, ..RepositoryRun::default() };
        let mut run = Self {
            id,
            application,
            purpose,
            by,
            reason: reason.as_deref().and_then(one_line::reason),
            begun_at: now,
            ended_at: None,
            share,
            repositories: repositories.into_iter().map(|name| (name, waiting.clone())).collect(),
            version: 0,
        };
        // A run without repositories ends immediately.
        run.ended_at = run.state().is_terminal().then_some(now);
        let record = run.record(None, now);
        (run, record)
    }

    pub fn state(&self) -> RunState {
        let states = || self.repositories.values().map(|repository_run| repository_run.state);
        if states().any(|state| !state.is_terminal()) {
            return if states().all(|state| state == RepositoryState::Waiting) {
                RunState::Requested
            } else {
                RunState::InProgress
            };
        }
        let done = states().filter(|state| *state == RepositoryState::Done).count();
        let errors = self.repositories.values().any(|repository_run| !repository_run.errors.is_empty());
        let changed = self.repositories.values().any(RepositoryRun::has_changed_something);
        match done {
            0 if changed => RunState::CompletedWithErrors,
            _ if done == self.repositories.len() && !errors => RunState::Completed,
            0 => RunState::Failed,
            _ => RunState::CompletedWithErrors,
        }
    }

    /// Returns the run after a progress report, and an audit record if the state changed. Ignores a
    /// report about an unknown repository, about a repository whose part has ended, and about a
    /// step that is already done.
    pub fn after(
        &self,
        now: Timestamp,
        repository: &RepositoryName,
        said: &RunProgress,
    ) -> (Self, Vec<AuditRecord>) {
        let mut after = self.clone();
        let Some(repository_run) = after.repositories.get_mut(repository) else { return (after, Vec::new()) };
        let state = match (repository_run.state, said) {
            (RepositoryState::Done | RepositoryState::LeftAlone | RepositoryState::Failed, _)
            | (RepositoryState::Applying, RunProgress::Planning | RunProgress::Planned(_)) => {
                return (after, Vec::new());
            }
            (RepositoryState::Waiting | RepositoryState::Planning, RunProgress::Planning) => {
                RepositoryState::Planning
            }
            (RepositoryState::Waiting | RepositoryState::Planning, RunProgress::Planned(planned)) => {
                repository_run.planned(planned);
                match self.purpose {
                    Purpose::Plan => {
                        repository_run.freed_bytes = planned.freed_bytes;
                        repository_run.freed_is_exact = planned.freed_is_exact;
                        RepositoryState::Done
                    }
                    Purpose::Apply { .. } | Purpose::Undo { .. } => RepositoryState::Applying,
                }
            }
            (_, RunProgress::Applying(applied)) => {
                repository_run.applied(applied);
                RepositoryState::Applying
            }
            (_, RunProgress::Done(applied)) => {
                repository_run.applied(applied);
                RepositoryState::Done
            }
            (_, RunProgress::LeftAlone { problem }) => {
                repository_run.problem = Some(one_line(problem, LONGEST_REASON));
                RepositoryState::LeftAlone
            }
            (_, RunProgress::Failed { problem }) => {
                repository_run.problem = Some(one_line(problem, LONGEST_REASON));
                RepositoryState::Failed
            }
        };
        repository_run.state = state;
        repository_run.updated_at = now;
        let (from, to) = (self.state(), after.state());
        if to.is_terminal() {
            after.ended_at = Some(now);
        }
        let record = (from != to).then(|| after.record(Some(from), now));
        (after, record.into_iter().collect())
    }

    fn record(&self, from: Option<RunState>, at: Timestamp) -> AuditRecord {
        let to = self.state();
        // The requester causes the first state. Stablepin causes every later state.
        let actor = if from.is_none() { self.by.clone() } else { Actor::Stablepin };
        AuditRecord {
            version: AuditRecord::VERSION,
            kind: Kind::Retention,
            application: self.application.clone(),
            environment: None,
            id: Some(self.id.to_string()),
            digest: None,
            from: from.map(|from| from.as_str().to_owned()),
            to: to.as_str().to_owned(),
            reason: if to.is_terminal() { Some(self.summary()) } else { self.reason.clone() },
            actor,
            facts: None,
            run: None,
            at,
        }
    }

    /// Summarizes the result: "12 images deleted, 3.4 GB freed; 1 repository skipped: web: …".
    pub fn summary(&self) -> String {
        summary(self.purpose, self.share, &self.repositories)
    }
}

#[cfg(test)]
mod tests;
