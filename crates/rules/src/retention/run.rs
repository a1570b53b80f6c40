//! A retention run over the repositories of an application, as plain data. Reports of progress may
//! be repeated or late; each report counts once.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::audit::{Actor, AuditRecord, Kind};
use crate::image::RepositoryName;
use crate::name::ApplicationName;
use crate::one_line::{self, LONGEST_REASON, one_line};
use crate::words;

/// The id of a run: a UUIDv7, so that ids sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

impl RunId {
    pub fn new(id: Uuid) -> Self {
        Self(id)
    }

    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().filter(|id| id.to_string() == text).map(Self)
    }

    /// Returns the id of an application's run in one night. It is the same for every event of that
    /// night.
    pub fn of_night(at: Timestamp, application: &ApplicationName) -> Self {
        let hash = Sha256::digest(format!("{at} {application}"));
        let mut random = [0; 10];
        random.copy_from_slice(&hash[..10]);
        let millis = u64::try_from(at.as_millisecond()).unwrap_or_default();
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }
}

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The purpose of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Purpose {
    /// Shows what would be removed, and changes nothing.
    Plan,
    /// Deletes or archives the images that its plan names.
    Apply {
        /// The earlier plan that a person has reviewed. The run removes no more than that plan.
        #[serde(default)]
        plan_of: Option<RunId>,
    },
    /// Restores the images that the given run archived.
    Undo { of: RunId },
}

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
    /// The percentage of a repository's images that may be removed.
    #[serde(default = "default_share")]
    pub share: u8,
    pub repositories: BTreeMap<RepositoryName, RepositoryRun>,
    pub version: u64,
}

/// A request of a person or the schedule for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRequest {
    pub purpose: Purpose,
    pub by: Actor,
    pub reason: Option<String>,
    /// The percentage of a repository's images that may be removed.
    pub share: u8,
    pub repositories: BTreeSet<RepositoryName>,
}

/// The percentage of a repository's images that one run may remove by default.
pub const DEFAULT_SHARE: u8 = 20;

fn default_share() -> u8 {
    DEFAULT_SHARE
}

/// The part of a run in one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RepositoryRun {
    pub state: RepositoryState,
    /// The number of images in the repository.
    pub images: u64,
    /// The number of kept images, by rule.
    pub by_rule: BTreeMap<String, u64>,
    /// The number of images that this run's plan removes.
    pub to_remove: u64,
    /// The number of removable images that are over this run's limit. A later run removes them.
    pub later: u64,
    pub deleted: u64,
    pub archived: u64,
    /// The number of tags that were removed from kept images.
    pub untagged: u64,
    pub restored: u64,
    /// The number of images that changed after the plan, and are therefore kept.
    pub skipped: u64,
    /// The bytes of layers that no other image uses. If the run only plans: the bytes that would be
    /// freed.
    pub freed_bytes: u64,
    /// False if a manifest could not be read, so that shared layers are unknown.
    pub freed_is_exact: bool,
    /// The number of images that ECR did not delete, by error code.
    pub errors: BTreeMap<String, u64>,
    pub warnings: Vec<String>,
    /// The possible users of images that were not read, because the application's file waives them.
    pub waived: BTreeSet<String>,
    /// Why the repository was left alone, or failed.
    pub problem: Option<String>,
    pub plan: Option<Stored>,
    pub report: Option<Stored>,
    pub updated_at: Timestamp,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RepositoryState {
    #[default]
    Waiting,
    Planning,
    Applying,
    Done,
    /// A part could not be read. Nothing was touched.
    LeftAlone,
    Failed,
}

impl RepositoryState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Planning => "Planning",
            Self::Applying => "Applying",
            Self::Done => "Done",
            Self::LeftAlone => "LeftAlone",
            Self::Failed => "Failed",
        }
    }

    pub fn is_terminal(self) -> bool {
        match self {
            Self::Waiting | Self::Planning | Self::Applying => false,
            Self::Done | Self::LeftAlone | Self::Failed => true,
        }
    }
}

/// A stored document in the bucket: a plan or a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub key: String,
    #[serde(default)]
    pub version: Option<String>,
    /// The document's SHA-256, in lower-case hexadecimal.
    pub sha256: String,
}

/// The state of a run. It is never stored, but derived from the states of its repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunState {
    Requested,
    InProgress,
    Completed,
    /// A repository was left alone, or an image could not be deleted.
    CompletedWithErrors,
    /// No repository was completed, and nothing was changed.
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

/// The numbers of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Planned {
    pub images: u64,
    pub by_rule: BTreeMap<String, u64>,
    pub to_remove: u64,
    pub later: u64,
    pub freed_bytes: u64,
    pub freed_is_exact: bool,
    pub warnings: Vec<String>,
    pub waived: BTreeSet<String>,
    pub plan: Option<Stored>,
}

/// The totals of all work so far, not only of the work since the last report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Applied {
    pub deleted: u64,
    pub archived: u64,
    pub untagged: u64,
    pub restored: u64,
    pub skipped: u64,
    pub freed_bytes: u64,
    pub freed_is_exact: bool,
    pub errors: BTreeMap<String, u64>,
    pub warnings: Vec<String>,
    pub report: Option<Stored>,
}

/// A report of progress in one repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunProgress {
    /// The inventory is read, and a plan is made.
    Planning,
    /// The plan exists. The run carries it out, unless it only plans.
    Planned(Planned),
    /// A part of the plan is done.
    Applying(Applied),
    Done(Applied),
    LeftAlone {
        problem: String,
    },
    Failed {
        problem: String,
    },
}

/// The most warnings that are kept per repository. The report has all of them.
const MOST_WARNINGS: usize = 20;

impl Run {
    /// Begins a new run, and returns it with its audit record.
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
        // A run without repositories ends at once.
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

    /// Returns the run after a report, with an audit record if the state changed. Reports after the
    /// end, earlier steps and unknown repositories change nothing.
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
        // The requester begins the run. Stablepin causes every later change.
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
            at,
        }
    }

    /// Summarizes the result: "12 images deleted, 3.4 GB freed; 1 repository left alone: web: …".
    pub fn summary(&self) -> String {
        let sum =
            |of: fn(&RepositoryRun) -> u64| self.repositories.values().map(of).fold(0, u64::saturating_add);
        let freed = sum(|repository_run| repository_run.freed_bytes);
        let about = if self
            .repositories
            .values()
            .all(|repository_run| repository_run.freed_is_exact || repository_run.freed_bytes == 0)
        {
            ""
        } else {
            "up to "
        };
        let mut said = Vec::new();
        match self.purpose {
            Purpose::Plan => said.push(format!(
                "{} would go, {about}{} would be freed, {}",
                images(sum(|repository_run| repository_run.to_remove)),
                words::size(freed),
                price_a_month(freed)
            )),
            Purpose::Apply { .. } | Purpose::Undo { .. } => {
                let counted = [
                    (sum(|repository_run| repository_run.deleted), "deleted"),
                    (sum(|repository_run| repository_run.archived), "archived"),
                    (sum(|repository_run| repository_run.restored), "restored"),
                ];
                let mut done: Vec<String> = counted
                    .iter()
                    .filter(|(count, _)| *count > 0)
                    .map(|(count, what)| format!("{} {what}", images(*count)))
                    .collect();
                let untagged = sum(|repository_run| repository_run.untagged);
                if untagged > 0 {
                    done.push(format!("{} taken off", count(untagged, "tag", "tags")));
                }
                if done.is_empty() {
                    done.push("nothing changed".to_owned());
                }
                if freed > 0 {
                    done.push(format!("{about}{} freed", words::size(freed)));
                }
                said.push(done.join(", "));
                let skipped = sum(|repository_run| repository_run.skipped);
                if skipped > 0 {
                    said.push(format!("{} changed meanwhile and left", images(skipped)));
                }
            }
        }
        let later = sum(|repository_run| repository_run.later);
        if later > 0 {
            said.push(format!("{} over the share of {} %, left for later", images(later), self.share));
        }
        let errors =
            self.repositories.values().flat_map(|repository_run| repository_run.errors.values()).copied();
        let errors = errors.fold(0, u64::saturating_add);
        if errors > 0 {
            said.push(format!("{} refused by ECR", images(errors)));
        }
        let waived: BTreeSet<&str> = self
            .repositories
            .values()
            .flat_map(|repository_run| &repository_run.waived)
            .map(String::as_str)
            .collect();
        if !waived.is_empty() {
            let waived: Vec<&str> = waived.into_iter().collect();
            said.push(format!("waived, and not read: {}", waived.join(", ")));
        }
        let ended = [(RepositoryState::LeftAlone, "left alone"), (RepositoryState::Failed, "failed")];
        for (state, how) in ended {
            let those =
                || self.repositories.iter().filter(|(_, repository_run)| repository_run.state == state);
            if let Some((name, first)) = those().next() {
                let repositories = count(those().count() as u64, "repository", "repositories");
                let problem = first.problem.as_deref().unwrap_or("nobody knows why");
                let others = match those().count() - 1 {
                    0 => String::new(),
                    more => format!(", and {more} more"),
                };
                said.push(format!("{repositories} {how}: {name}: {problem}{others}"));
            }
        }
        said.join("; ")
    }
}

impl RepositoryRun {
    pub fn has_changed_something(&self) -> bool {
        [self.deleted, self.archived, self.untagged, self.restored].iter().any(|count| *count > 0)
    }

    fn planned(&mut self, planned: &Planned) {
        self.images = planned.images;
        self.by_rule = planned.by_rule.clone();
        self.to_remove = planned.to_remove;
        self.later = planned.later;
        self.warn(&planned.warnings);
        self.waived = planned.waived.clone();
        self.plan = planned.plan.clone();
    }

    fn applied(&mut self, applied: &Applied) {
        self.deleted = applied.deleted;
        self.archived = applied.archived;
        self.untagged = applied.untagged;
        self.restored = applied.restored;
        self.skipped = applied.skipped;
        self.freed_bytes = applied.freed_bytes;
        self.freed_is_exact = applied.freed_is_exact;
        self.errors = applied.errors.clone();
        self.warn(&applied.warnings);
        self.report = applied.report.clone().or(self.report.take());
    }

    fn warn(&mut self, warnings: &[String]) {
        for warning in warnings {
            let warning = one_line(warning, LONGEST_REASON);
            if !self.warnings.contains(&warning) && self.warnings.len() < MOST_WARNINGS {
                self.warnings.push(warning);
            }
        }
    }
}

fn images(of: u64) -> String {
    count(of, "image", "images")
}

fn count(number: u64, singular: &str, plural: &str) -> String {
    format!("{number} {}", if number == 1 { singular } else { plural })
}

/// The monthly price in cents of a GB (2^30 bytes) in a private ECR repository.
/// <https://aws.amazon.com/ecr/pricing/>
const CENTS_PER_GB_MONTH: u128 = 10;

/// Returns the monthly price of so many bytes: "about $0.34 a month".
pub fn price_a_month(bytes: u64) -> String {
    let gb = 1_u128 << 30;
    let cents = (u128::from(bytes) * CENTS_PER_GB_MONTH + gb / 2) / gb;
    match (bytes, cents) {
        (0, _) => "nothing a month".to_owned(),
        (_, 0) => "less than $0.01 a month".to_owned(),
        _ => format!("about ${}.{:02} a month", cents / 100, cents % 100),
    }
}

#[cfg(test)]
mod tests;
