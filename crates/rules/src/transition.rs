//! The transition: the only code that changes states. Its arguments are the time, a subject and
//! inputs. It returns the changed subject.

mod drift;
mod environment;
mod live_drift;
mod outcome;
mod promotion;
mod rollback;
mod rollout;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::application::ServiceName;
use crate::audit::{Actor, AuditRecord, Kind};
use crate::build_tag::{current, latest, numbered};
use crate::caller::Caller;
use crate::containing_index::ContainingIndex;
use crate::effect::{Effect, Outcome};
use crate::image::{ImageDigest, ImageTag, RepositoryName};
use crate::name::EnvironmentName;
use crate::one_line::bounded;
use crate::operation_id::OperationId;
use crate::pending_effects::{MAX_NOTIFY_FAILURES, drift_notice_at, notification_due_at, remaining_effects};
use crate::pin_number::PinNumber;
use crate::pipeline_run::PipelineRun;
use crate::records::{Build, Checks, Direction, Hold, Occurrence, Pin, Rollout, Subject, Token, Work};
use crate::refusal::Refusal;

pub use drift::Drifted;
pub use environment::{EnvironmentAction, EnvironmentCommand};
pub use live_drift::{LiveSeen, ObservedService, is_known};
pub use promotion::{Decision, Form, Opening, joined, may_decide};
pub use rollback::RollbackRequest;

/// An input of the transition. An input may arrive late or more than once, and inputs may arrive in
/// any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A push of a build to the application's repository, or a signed request for a promotion.
    Opened(Box<Opening>),
    RollbackRequested(Box<RollbackRequest>),
    Decision(Decision),
    /// A wrong code that a person entered with a valid link.
    WrongCode(Token),
    /// A CloudTrail attribution: the principal that pushed the image or moved the tag.
    Attributed(Caller),
    /// An image index that contains the promotion's image.
    Contained(ContainingIndex),
    /// A pipeline reported which of its runs made the build.
    RunNamed {
        run: PipelineRun,
        by: Actor,
    },
    /// The withdrawal of an open promotion.
    Withdrawn {
        actor: Actor,
        reason: Option<String>,
    },
    Outcome(Outcome),
    /// The recorded checks of the digest, passed on after a pipeline's report.
    ChecksReported(Checks),
    /// Another environment of the application has a new pin.
    PinChanged(EnvironmentName),
    /// A tag of Stablepin that is on another image, or that does not exist.
    Drifted(Drifted),
    /// An observation of what the services run while no rollout changes them.
    LiveSeen(LiveSeen),
    /// A person's environment command: freeze, thaw, release the hold, reset the watermark.
    Commanded(EnvironmentCommand),
    /// Time has passed.
    Tick,
    /// A hint that something may have happened. Because of the hint, the reconciler works on the
    /// operation before `wake_at`.
    Nudge,
}

/// The result of a transition: the changed subject, and everything that is written with it in one
/// transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub after: Subject,
    /// The new pin, for the history of pins.
    pub pin: Option<Pin>,
    /// The tags that Stablepin is about to put. The table records each tag before ECR receives it.
    pub intents: Vec<Intent>,
    /// The push that this change handles. The table refuses to handle the same push twice.
    pub opened: Option<Occurrence>,
    /// The record of the link after the transition.
    pub token: Option<Token>,
    pub audit: Vec<AuditRecord>,
}

/// The intent to put `tag` of `repository` on `digest`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    pub repository: RepositoryName,
    pub tag: ImageTag,
    pub digest: ImageDigest,
    /// True if the transaction must fail when Stablepin has already put this tag on another digest.
    pub exclusive: bool,
}

/// Applies the inputs to the subject. The same arguments always give the same change. If one input
/// is refused, nothing changes.
pub fn transition(now: Timestamp, subject: &Subject, observed: &[Input]) -> Result<Change, Refusal> {
    let mut transition = Transition::new(now, subject);
    for input in observed {
        transition.learned |= *input != Input::Tick;
        match input {
            Input::Opened(opening) => promotion::open(&mut transition, opening)?,
            Input::RollbackRequested(request) => rollback::open(&mut transition, request)?,
            Input::Decision(decision) => promotion::decide(&mut transition, decision)?,
            Input::WrongCode(token) => promotion::wrong_code(&mut transition, token)?,
            Input::Attributed(caller) => transition.attribute(caller),
            Input::Contained(index) => promotion::contained(&mut transition, index),
            Input::RunNamed { run, by } => promotion::run_named(&mut transition, run.clone(), by),
            Input::PinChanged(environment) => promotion::pin_changed(&mut transition, environment),
            Input::ChecksReported(checks) => promotion::checks_reported(&mut transition, checks),
            Input::Withdrawn { actor, reason } => {
                promotion::withdraw(&mut transition, actor, reason.as_deref())?;
            }
            Input::Outcome(outcome) => transition.outcome(outcome),
            Input::Drifted(drifted) => drift::open(&mut transition, drifted),
            Input::LiveSeen(seen) => live_drift::seen(&mut transition, seen),
            Input::Commanded(order) => environment::carry_out(&mut transition, order)?,
            Input::Tick => transition.tick(),
            Input::Nudge => {}
        }
    }
    transition.cut();
    transition.forget_failures();
    transition.settle();
    Ok(transition.change)
}

/// A change that the transition is building.
struct Transition {
    now: Timestamp,
    change: Change,
    /// The pause before the next attempt. Set after a failure, and while a deployment is in
    /// progress.
    pause: Option<SignedDuration>,
    /// True if something failed. Several failures in one transition count as one failed attempt.
    failed: bool,
    /// True if an effect succeeded.
    succeeded: bool,
    /// True if an input was not a tick, because such an input may contain something new. The
    /// reconciler then carries out pending effects at once.
    learned: bool,
}

impl Transition {
    fn new(now: Timestamp, subject: &Subject) -> Self {
        let change = Change {
            after: subject.clone(),
            pin: None,
            intents: Vec::new(),
            opened: None,
            token: None,
            audit: Vec::new(),
        };
        Self { now, change, pause: None, failed: false, succeeded: false, learned: false }
    }

    /// Shortens the texts from AWS before the transition uses and stores them.
    fn cut(&mut self) {
        if let Some(operation) = &mut self.change.after.operation {
            for direction in [Direction::Forward, Direction::Revert] {
                operation.rollout_to_mut(direction).into_iter().for_each(Rollout::cut);
            }
        }
    }

    /// Records the caller who pushed an image or moved a tag. If several calls moved the tag, the
    /// first caller is kept, because the other calls only repeated the move.
    fn attribute(&mut self, caller: &Caller) {
        match self.change.after.operation.as_ref().map(|operation| &operation.work) {
            Some(Work::Promotion(_)) => promotion::attribute(self, caller),
            Some(Work::Repair(_)) => drift::attribute(self, caller),
            Some(Work::Rollback(_) | Work::LiveDrift(_)) | None => {}
        }
    }

    fn tick(&mut self) {
        match self.change.after.operation.as_ref().map(|operation| &operation.work) {
            Some(Work::Promotion(_)) => promotion::tick(self),
            Some(Work::Rollback(_)) => rollback::tick(self),
            Some(Work::Repair(_)) => drift::tick(self),
            Some(Work::LiveDrift(_)) | None => {}
        }
    }

    /// Gives the build its next build tag, because another digest has the current build tag.
    fn rename_build(&mut self, taken: &ImageTag) {
        let Some(build) = &mut self.change.after.build else { return };
        if build.tagged || build.build_tag.tag() != *taken {
            return;
        }
        build.names_taken += 1;
        build.build_tag = promotion::build_tag(
            &build.build_tag.environment().clone(),
            build.pushed_at,
            build.commit.as_deref(),
            &build.digest,
            build.names_taken,
        );
    }

    /// Completes the promotion or rollback, because the stable tag now shows the pin or ECR did not
    /// accept the tag. A promotion also needs its build tag first.
    fn stable_tagged(&mut self) {
        match self.change.after.operation.as_ref().map(|operation| &operation.work) {
            Some(Work::Promotion(_)) => promotion::stable_tagged(self),
            Some(Work::Rollback(_)) => rollback::stable_tagged(self),
            Some(Work::Repair(_) | Work::LiveDrift(_)) | None => {}
        }
    }

    /// Advances or ends the operation, and sets the time at which the reconciler next works on the
    /// operation.
    fn settle(&mut self) {
        match self.change.after.operation.as_ref().map(|operation| &operation.work) {
            Some(Work::Promotion(_)) => promotion::settle(self),
            Some(Work::Rollback(_)) => rollback::settle(self),
            Some(Work::Repair(_)) => drift::settle(self),
            Some(Work::LiveDrift(_)) => {}
            None => return,
        }
        let due = remaining_effects(self.now, &self.change.after);
        for effect in &due {
            self.record_intents(effect);
        }
        let (now, pause, learned) = (self.now, self.pause, self.learned);
        let later = match self.change.after.operation.as_ref().map(|operation| &operation.work) {
            Some(Work::Promotion(promotion)) => promotion::next_look(now, promotion, &self.change.after),
            Some(Work::Rollback(rollback)) => rollback::next_look(now, rollback),
            Some(Work::Repair(repair)) => repair.repaired_at.is_none().then_some(now + LONGEST_PAUSE),
            Some(Work::LiveDrift(_)) => drift_notice_at(&self.change.after).filter(|at| *at > now),
            None => None,
        };
        // After too many failures, Stablepin gives up the notifications of an ended operation.
        let given_up = self
            .change
            .after
            .operation
            .as_ref()
            .is_some_and(|operation| operation.failures >= MAX_NOTIFY_FAILURES);
        let telling = notification_due_at(&self.change.after).map(|at| at.max(now));
        let nothing = due.iter().all(Effect::is_notification);
        let later = later.or_else(|| (!nothing && !given_up).then_some(now + LONGEST_PAUSE));
        // The reconciler repairs task definition families after the operation in the slot has
        // ended.
        let waits = self.change.after.environment.slot.is_some()
            && self.change.after.operation.as_ref().is_some_and(|operation| !operation.families.is_empty());
        let later = later.or_else(|| (waits && !given_up).then_some(now + SignedDuration::from_mins(1)));
        let Some(operation) = &mut self.change.after.operation else { return };
        let look = match (later, pause) {
            (None, _) => None,
            (Some(later), Some(pause)) if later > now => Some(later.min(now + pause)),
            (Some(_), Some(pause)) => Some(now + pause),
            (Some(later), None) if nothing => Some(later),
            // A tick that brings nothing new does not shorten a pause.
            (Some(_), None) => match operation.wake_at {
                Some(ahead) if ahead > now && !learned => Some(ahead),
                _ => Some(now),
            },
        };
        operation.wake_at = match (look, telling) {
            // A due notification does not shorten a pause after a failure.
            (Some(look), Some(telling)) if operation.failures == 0 => Some(look.min(telling)),
            (look, telling) => look.or(telling),
        };
    }

    /// Records each tag that a pending effect puts, before ECR receives the tag. Every transition
    /// records the tags again, because a new configuration may change a tag's name.
    fn record_intents(&mut self, effect: &Effect) {
        let Some(policy) = self.change.after.policy() else { return };
        let ours = |tag: ImageTag, digest: &ImageDigest| Intent {
            repository: policy.repository.clone(),
            tag,
            digest: digest.clone(),
            exclusive: false,
        };
        let intents = match effect {
            Effect::TagBuild(build) => vec![build_intent(build)],
            // The repository's mutability decides later which of the two tags is put.
            Effect::TagStable(pin) => vec![
                ours(policy.stable_tag.clone(), &pin.digest),
                ours(numbered(&policy.stable_tag, pin.number), &pin.digest),
            ],
            Effect::TagBackup { tag, digest } => vec![ours(tag.clone(), digest)],
            Effect::TagCurrent(digest) => vec![ours(current(&policy.name), digest)],
            Effect::TagLatest { repository, digest } => {
                vec![Intent { repository: repository.clone(), ..ours(latest(), digest) }]
            }
            Effect::Copy => {
                let build = self.change.after.build.iter();
                build.map(|build| ours(build.build_tag.tag(), &build.digest)).collect()
            }
            Effect::Inspect
            | Effect::ReadChecks
            | Effect::ReadEarlierPin(_)
            | Effect::Ask(_)
            | Effect::CheckSubscriptions
            | Effect::ConfirmVote(_)
            | Effect::Prepare
            | Effect::Deploy(..)
            | Effect::Follow(..)
            | Effect::Probe
            | Effect::RestoreFamily(_)
            | Effect::Notify(_) => Vec::new(),
        };
        for intent in intents {
            if !self.change.intents.contains(&intent) {
                self.change.intents.push(intent);
            }
        }
    }

    fn pin(&mut self, pin: NewPin) {
        let now = self.now;
        let environment = &mut self.change.after.environment;
        let from = environment.pin.as_ref().map(|pin| pin.number);
        let number = from.map_or(PinNumber::FIRST, PinNumber::next);
        let record = Pin {
            number,
            digest: pin.digest,
            build_tag: pin.build_tag,
            commit: pin.commit,
            size_bytes: pin.size_bytes,
            platforms: pin.platforms,
            by: pin.by,
            at: now,
            revisions: pin.revisions,
        };
        environment.pin = Some(record.clone());
        environment.tag_taken = None;
        environment.allow_as_previous(&record.digest);
        self.audit(AuditEntry {
            kind: Kind::Pin,
            id: Some(record.by),
            digest: Some(record.digest.clone()),
            from: from.map(|number| number.to_string()),
            to: number.to_string(),
            reason: pin.reason,
            actor: pin.actor,
        });
        self.change.pin = Some(record);
    }

    /// Sets a hold. Until its release, automation does not change the environment.
    fn hold(&mut self, hold: Hold) {
        let held = self.change.after.environment.hold.is_some();
        let (by, reason) = (hold.by, hold.reason.to_string());
        self.change.after.environment.hold = Some(hold);
        if !held {
            self.audit(AuditEntry {
                kind: Kind::Environment,
                id: Some(by),
                digest: None,
                from: Some("open".to_owned()),
                to: "held".to_owned(),
                reason: Some(reason),
                actor: Actor::Stablepin,
            });
        }
    }

    /// Removes the hold that the operation `of` set, and restores the hold `before`, because the
    /// operation changed nothing.
    fn unhold(&mut self, of: OperationId, before: Option<Hold>) {
        let hold = &mut self.change.after.environment.hold;
        if hold.as_ref().is_none_or(|hold| hold.by != of) {
            return;
        }
        *hold = before;
        if hold.is_none() {
            self.audit(AuditEntry {
                kind: Kind::Environment,
                id: Some(of),
                digest: None,
                from: Some("held".to_owned()),
                to: "open".to_owned(),
                reason: Some("Stablepin changed nothing".to_owned()),
                actor: Actor::Stablepin,
            });
        }
    }

    /// Releases the hold, because an approver approved after the hold began.
    fn release(&mut self, actor: &Actor) {
        if let Some(hold) = self.change.after.environment.hold.take() {
            self.audit(AuditEntry {
                kind: Kind::Environment,
                id: Some(hold.by),
                digest: None,
                from: Some("held".to_owned()),
                to: "open".to_owned(),
                reason: Some("approved after the hold began".to_owned()),
                actor: actor.clone(),
            });
        }
    }

    /// Records what an ended operation leaves on the services. Stablepin checks their task
    /// definition families afterwards, so that no caller who deploys a family by name gets a failed
    /// revision. Stablepin remembers the revisions, so that it does not report them as live drift.
    fn leave_services(&mut self) {
        let after = &mut self.change.after;
        let Some(operation) = &mut after.operation else { return };
        let services =
            operation.rollout_to(Direction::Forward).into_iter().flat_map(|rollout| &rollout.services);
        operation.families = services.map(|service_rollout| service_rollout.service.clone()).collect();
        let directions = [Direction::Forward, Direction::Revert]
            .into_iter()
            .filter_map(|direction| operation.rollout_to(direction));
        for service_rollout in directions.flat_map(|rollout| &rollout.services) {
            if let Some(started) = &service_rollout.started {
                after
                    .environment
                    .left
                    .insert(service_rollout.service.clone(), started.task_definition.clone());
            }
        }
        // The rollback also records what the pre-empted promotion left, because the rollback may
        // end before the promotion does.
        if let Work::Rollback(rollback) = &operation.work
            && let Some(digest) = &rollback.preempted
        {
            let unmoved = rollback.rollout.services.iter().filter(|one| one.started.is_none());
            for one in unmoved.filter(|one| one.before.described.as_ref() == Some(digest)) {
                let task_definition = one.before.task_definition.clone();
                after.environment.left.insert(one.service.clone(), task_definition);
            }
        }
        if let Some(policy) = after.configuration.application.environment(&after.name) {
            after.environment.left.retain(|service, _| policy.services.contains(service));
        }
    }

    /// Frees the slot if this operation has it.
    fn free_slot(&mut self, of: OperationId) {
        let slot = &mut self.change.after.environment.slot;
        if slot.as_ref().is_some_and(|slot| slot.operation == of) {
            *slot = None;
        }
    }

    fn audit(&mut self, entry: AuditEntry) {
        self.change.audit.push(AuditRecord {
            version: AuditRecord::VERSION,
            kind: entry.kind,
            application: self.change.after.application().clone(),
            environment: Some(self.change.after.name.clone()),
            id: entry.id.map(|id| id.to_string()),
            digest: entry.digest,
            from: entry.from,
            to: entry.to,
            reason: entry.reason.map(bounded),
            actor: entry.actor,
            facts: None,
            run: self.change.after.promotion().and_then(|promotion| promotion.build.run.clone()),
            at: self.now,
        });
    }
}

struct NewPin {
    digest: ImageDigest,
    build_tag: crate::build_tag::BuildTag,
    commit: Option<String>,
    size_bytes: Option<u64>,
    platforms: Vec<String>,
    by: OperationId,
    reason: Option<String>,
    actor: Actor,
    revisions: BTreeMap<ServiceName, String>,
}

struct AuditEntry {
    kind: Kind,
    id: Option<OperationId>,
    digest: Option<ImageDigest>,
    from: Option<String>,
    to: String,
    reason: Option<String>,
    actor: Actor,
}

fn build_intent(build: &Build) -> Intent {
    Intent {
        repository: build.repository.clone(),
        tag: build.build_tag.tag(),
        digest: build.digest.clone(),
        exclusive: true,
    }
}

/// The longest pause between two attempts.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(16);
