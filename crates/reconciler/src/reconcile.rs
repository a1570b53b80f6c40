//! Reconciles one operation until no effect is pending or the deadline is near.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use stablepin_aws::dynamodb::{CommitError, Key, MOST_NEEDED, OperationKey, TableError, uuid_v7};
use stablepin_aws::session::OPERATION_TIMEOUT;
use stablepin_rules::effect::{Effect, Outcome};
use stablepin_rules::image::{ImageDigest, RepositoryName};
use stablepin_rules::pending_effects::{leased_to_another, pending_effects, take_lease};
use stablepin_rules::records::{Lease, Operation, Subject};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::transition::{Input, joined, transition};
use stablepin_rules::validation::Inspection;
use uuid::Uuid;

use crate::clock::now;
use crate::effect::Known;
use crate::errors::chain;
use crate::snapshot::Snapshot;
use crate::{Clients, effect};

/// The place where the reconcile gets its records: the table, or a caller that has already read the
/// records.
#[derive(Debug, Clone)]
pub enum Source {
    /// An operation that the reconcile reads from the table.
    Operation(Key),
    /// A [`Subject`] that the caller has just read, or that is not in the table yet.
    Subject(Box<Subject>),
    /// A [`Subject`] and its services, which the caller has just read.
    Services(Box<Subject>, Vec<Snapshot>),
    /// The subject of a push, with the caller's recent inspection of the image.
    Inspected(Box<Subject>, Inspection),
}

#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error("there is no such promotion or rollback")]
    NotFound,
    #[error(transparent)]
    Refused(Refusal),
    /// Another handler has handled the same push. That handler or a tick carries out the effects.
    #[error("this push was handled before")]
    AlreadyOpened,
    #[error("the link was used meanwhile")]
    LinkUsed,
    #[error("others kept changing the same records: nothing was decided, try again")]
    Contended,
    #[error("the table could not be read or written")]
    Table(#[from] TableError),
}

impl ReconcileError {
    /// Returns the refusal for the caller, or the error itself if it is no refusal.
    pub fn into_refusal(self) -> Result<Refusal, Self> {
        match self {
            Self::Refused(refusal) => Ok(refusal),
            Self::NotFound | Self::AlreadyOpened | Self::LinkUsed | Self::Contended | Self::Table(_) => {
                Err(self)
            }
        }
    }

    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Contended => true,
            Self::Table(error) => error.is_retryable(),
            Self::NotFound | Self::Refused(_) | Self::AlreadyOpened | Self::LinkUsed => false,
        }
    }
}

/// The most times that a decision is repeated because another writer changed the records first.
const MOST_RACES: u32 = 12;

/// The last part of the time limit, in which no further effect starts.
const MARGIN: SignedDuration = SignedDuration::from_secs(3);

/// The longest time that a reconcile spends on other effects after a copy.
const AFTER_A_COPY: SignedDuration = SignedDuration::from_secs(30);

/// The time between two reports of a copy's progress. Each report renews the lease of the copy.
const REPORT_EVERY: Duration = Duration::from_secs(15);

/// The time that a Lambda function needs to send its response.
const TO_ANSWER: SignedDuration = SignedDuration::from_secs(1);

/// The time limits of a reconcile. At `soft`, the work ends. At `hard`, the invocation ends.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    soft: Timestamp,
    hard: Timestamp,
}

impl Deadline {
    /// Returns a deadline at the time when Lambda ends the invocation.
    pub fn of_invocation(hard: Timestamp) -> Self {
        Self { soft: hard, hard }
    }

    /// Returns the earlier of two deadlines: this deadline, and `limit` from now. Shortly before
    /// the deadline, no effect starts. After the deadline, the reconcile waits for no effect.
    #[must_use]
    pub fn within(self, limit: SignedDuration) -> Self {
        Self { soft: self.soft.min(now() + limit), ..self }
    }

    /// Returns whether it is too late to start an effect.
    pub fn is_near(&self) -> bool {
        now() + MARGIN >= self.soft
    }

    /// Returns the time when Lambda ends the invocation.
    pub fn ends_at(&self) -> Timestamp {
        self.hard
    }

    /// Returns the remaining time until the Lambda function must respond.
    fn left(&self) -> Duration {
        let answer_by = self.soft.min(self.hard - TO_ANSWER);
        Duration::try_from(answer_by.duration_since(now())).unwrap_or_default()
    }

    /// Returns the lease for these effects. A copy renews its lease, so the lease is short. Another
    /// invocation then continues soon after an interruption.
    fn lease(&self, holder: Uuid, effects: &[Effect]) -> Lease {
        let until = match effects.contains(&Effect::Copy) {
            true => self.of_lease().min(now() + REPORT_EVERY * 4),
            false => self.of_lease(),
        };
        Lease { holder, until }
    }

    /// Returns the end of the lease. At this time, every started call has ended, or Lambda has
    /// ended the process.
    fn of_lease(&self) -> Timestamp {
        let last_call = SignedDuration::try_from(OPERATION_TIMEOUT).unwrap_or(MARGIN);
        (self.hard + MARGIN).min(self.soft + last_call)
    }
}

/// Observes, decides, commits, and carries out the pending effects. Returns the last committed
/// [`Subject`]. A failed effect is no error here, because the record keeps the effect for a retry.
pub async fn reconcile(
    clients: &Clients,
    source: Source,
    observed: Vec<Input>,
    deadline: Deadline,
) -> Result<Subject, ReconcileError> {
    let holder = uuid_v7(now());
    let mut known = Known::default();
    let mut subject = match source {
        Source::Operation(key) => load(clients, &key).await?,
        Source::Subject(subject) => match pushed(&observed) {
            Some(digest) => join(clients, *subject, digest).await?,
            None => *subject,
        },
        Source::Services(subject, snapshots) => {
            known.services = snapshots;
            *subject
        }
        Source::Inspected(subject, inspection) => {
            known.inspection = Some(inspection);
            match pushed(&observed) {
                Some(digest) => join(clients, *subject, digest).await?,
                None => *subject,
            }
        }
    };
    let (mut observed, mut deadline) = (observed, deadline);
    let mut races = 0;
    loop {
        let at = now();
        if is_handled_by_another(at, &subject, holder, &observed) {
            return Ok(subject);
        }
        let mut change = transition(at, &subject, &observed).map_err(ReconcileError::Refused)?;
        let mine = effects(clients, at, &change.after, holder);
        take_lease(at, &mut change.after, deadline.lease(holder, &mine), &mine);
        let nothing_to_write = change.after == subject
            && change.opened.is_none()
            && change.token.is_none()
            && change.audit.is_empty();
        if !nothing_to_write {
            match clients.table.commit(&subject, &change).await {
                Ok(committed) => subject = committed,
                Err(lost) => {
                    races += 1;
                    if races > MOST_RACES {
                        return Err(ReconcileError::Contended);
                    }
                    retry_with(&mut observed, lost)?;
                    tokio::time::sleep(jitter(races)).await;
                    subject = reload(clients, &subject, &observed).await?;
                    continue;
                }
            }
        }
        let effects = effects(clients, at, &subject, holder);
        if effects.is_empty() || deadline.is_near() {
            return Ok(subject);
        }
        let is_copying = effects.contains(&Effect::Copy);
        let during = subject.clone();
        let outcomes = {
            let carry_out = |effect| effect::carry_out(clients, &during, effect, &known);
            let mut all = pin!(join_all(effects.iter().map(carry_out)));
            let mut left = pin!(tokio::time::sleep(deadline.left()));
            loop {
                tokio::select! {
                    outcomes = &mut all => break outcomes,
                    () = &mut left => {
                        // The started effects may have succeeded. After the lease, the next
                        // reconcile checks these effects.
                        tracing::warn!("no time is left: the next tick finishes the started effects");
                        return Ok(subject);
                    }
                    () = tokio::time::sleep(REPORT_EVERY), if is_copying => {
                        let Some(to) = target(&during) else { return Ok(subject) };
                        let progress = Outcome::Copying { to, progress: known.meter.read() };
                        let progress = [Input::Outcome(progress)];
                        match renew(clients, subject.clone(), &progress, holder, deadline).await {
                            Ok(renewed) => subject = renewed,
                            // The next report may succeed before the lease ends.
                            Err(error) if error.is_retryable() && has_lease(&subject, holder) => {
                                tracing::warn!("the copy goes on without a report: {}", chain(&error));
                            }
                            Err(error) => return Err(error),
                        }
                        if !goes_on(&subject, &during, holder) {
                            tracing::warn!("the copy stops: another operation or another file replaced it");
                            return Ok(subject);
                        }
                    }
                }
            }
        };
        if is_copying {
            // The time limit of a copy is too long for other effects.
            deadline = deadline.within(AFTER_A_COPY);
        }
        // The effects may have changed the services, so `known` is out of date.
        known = Known::default();
        observed = outcomes.into_iter().map(Input::Outcome).collect();
    }
}

/// Records the progress of a copy, and renews the lease.
async fn renew(
    clients: &Clients,
    subject: Subject,
    progress: &[Input],
    holder: Uuid,
    deadline: Deadline,
) -> Result<Subject, ReconcileError> {
    let mut subject = subject;
    for races in 1..=MOST_RACES {
        let at = now();
        let mut change = transition(at, &subject, progress).map_err(ReconcileError::Refused)?;
        let mine = effects(clients, at, &change.after, holder);
        take_lease(at, &mut change.after, deadline.lease(holder, &mine), &mine);
        match clients.table.commit(&subject, &change).await {
            Ok(committed) => return Ok(committed),
            Err(CommitError::Lost | CommitError::Claimed { .. }) => {
                tokio::time::sleep(jitter(races)).await;
                subject = reload(clients, &subject, &[]).await?;
                let operation = subject.operation.as_ref();
                if operation.is_some_and(|operation| leased_to_another(now(), operation, holder)) {
                    return Ok(subject);
                }
            }
            Err(lost) => retry_with(&mut Vec::new(), lost)?,
        }
    }
    Err(ReconcileError::Contended)
}

/// Returns whether this holder still has the lease.
fn has_lease(subject: &Subject, holder: Uuid) -> bool {
    let lease = subject.operation.as_ref().and_then(|operation| operation.lease_at(now()));
    lease.is_some_and(|lease| lease.holder == holder)
}

/// Returns whether the copy that began with the record `during` is still the right work.
fn goes_on(subject: &Subject, during: &Subject, holder: Uuid) -> bool {
    let is_ours = |operation: &Operation| !leased_to_another(now(), operation, holder);
    let is_ours = subject.operation.as_ref().is_some_and(is_ours);
    subject.must_copy() && is_ours && target(subject) == target(during)
}

/// Returns the repository to which the image is copied.
fn target(subject: &Subject) -> Option<RepositoryName> {
    subject.policy().map(|policy| policy.repository.clone())
}

/// Returns whether another lease holder works on the operation and the inputs contain nothing new.
fn is_handled_by_another(at: Timestamp, subject: &Subject, holder: Uuid, observed: &[Input]) -> bool {
    let no_news = observed.iter().all(|one| matches!(one, Input::Tick | Input::Nudge));
    no_news && subject.operation.as_ref().is_some_and(|operation| leased_to_another(at, operation, holder))
}

/// Returns the pending effects for which this Lambda function has clients.
fn effects(clients: &Clients, at: Timestamp, subject: &Subject, holder: Uuid) -> Vec<Effect> {
    pending_effects(at, subject, holder)
        .into_iter()
        .filter(|effect| match effect {
            Effect::TagBuild(_) | Effect::TagStable(_) | Effect::TagBackup { .. } | Effect::TagCurrent(_) => {
                effect::LINKED.ecr
            }
            Effect::TagLatest { .. } | Effect::Inspect | Effect::ReadChecks | Effect::ReadEarlierPin(_) => {
                effect::LINKED.validate
            }
            Effect::Ask(_) | Effect::CheckSubscriptions | Effect::ConfirmVote(_) => {
                clients.approval_mailer.is_some()
            }
            Effect::Copy => effect::LINKED.copy && clients.copier.is_some(),
            Effect::Deploy(..) => clients.ecs.is_some(),
            // A Lambda function that follows a rollout must have the clients for all checks.
            Effect::Prepare
            | Effect::Follow(..)
            | Effect::Probe
            | Effect::RestoreFamily(_)
            | Effect::Notify(_) => clients.verify.is_some(),
        })
        .collect()
}

/// Adds the facts that the failed commit has revealed. The caller then repeats the decision with
/// fresh records.
fn retry_with(observed: &mut Vec<Input>, lost: CommitError) -> Result<(), ReconcileError> {
    match lost {
        CommitError::Lost | CommitError::Claimed { .. } => {}
        CommitError::AlreadyOpened => return Err(ReconcileError::AlreadyOpened),
        CommitError::LinkUsed => return Err(ReconcileError::LinkUsed),
        CommitError::Marked(digest) => {
            return Err(ReconcileError::Refused(Refusal::ImageMarkedForDeletion { digest }));
        }
        CommitError::Crowded(digest) => {
            return Err(ReconcileError::Refused(Refusal::TooManyOpened { digest, most: MOST_NEEDED }));
        }
        CommitError::Table(error) => return Err(error.into()),
        CommitError::NameTaken(tag) => {
            let opening = observed
                .iter_mut()
                .find_map(|one| if let Input::Opened(opening) = one { Some(opening) } else { None });
            match opening {
                Some(opening) => opening.names_taken += 1,
                None => observed.push(Input::Outcome(Outcome::BuildTagTaken(tag))),
            }
        }
    }
    Ok(())
}

async fn load(clients: &Clients, key: &Key) -> Result<Subject, ReconcileError> {
    let found = clients.table.subject(key, None).await?;
    found.map(|(subject, _)| subject).ok_or(ReconcileError::NotFound)
}

async fn reload(clients: &Clients, subject: &Subject, observed: &[Input]) -> Result<Subject, ReconcileError> {
    let push = pushed(observed);
    if let (Some(key), None) = (Key::of(subject), push) {
        return load(clients, &key).await;
    }
    let application = subject.application();
    let found = clients.table.configured_environment(application, &subject.name).await?;
    let mut fresh = found.ok_or(ReconcileError::NotFound)?;
    let Some(digest) = push else { return Ok(fresh) };
    fresh.build = clients.table.build(application, digest).await?;
    join(clients, fresh, digest).await
}

/// Adds the open promotion that the push joins, if there is one.
async fn join(
    clients: &Clients,
    mut subject: Subject,
    digest: &ImageDigest,
) -> Result<Subject, ReconcileError> {
    if let Some(id) = joined(now(), &subject.environment, digest) {
        let found = clients.table.operation(subject.application(), OperationKey::Promotion(id)).await?;
        subject.operation = found.map(|(_, operation)| operation);
    }
    Ok(subject)
}

fn pushed(observed: &[Input]) -> Option<&ImageDigest> {
    observed.iter().find_map(|one| {
        if let Input::Opened(opening) = one { Some(&opening.occurrence.digest) } else { None }
    })
}

/// Returns a random wait that grows with each lost race, so that the same writers do not collide
/// again.
fn jitter(races: u32) -> Duration {
    let mut random = [0; 2];
    let share = match getrandom::fill(&mut random) {
        Ok(()) => u64::from(u16::from_le_bytes(random)),
        Err(_) => 0,
    };
    Duration::from_millis((20 << races.min(6)) * share / u64::from(u16::MAX))
}
