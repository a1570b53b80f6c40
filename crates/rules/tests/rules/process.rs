//! A process that reconciles an operation as the Lambda functions do, one turn at a time. The
//! process decides on records that may be stale, and carries out effects one by one. The process
//! can lose a race, and can crash before or after each turn.

use jiff::{SignedDuration, Timestamp};
use stablepin_rules::effect::{Effect, Outcome};
use stablepin_rules::image::ImageDigest;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pending_effects::{leased_to_another, pending_effects, take_lease};
use stablepin_rules::records::{Lease, Subject};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::transition::{Input, transition};
use uuid::Uuid;

use crate::world::World;

/// The longest invocation. Lambda ends the process and its calls after this time.
const LIFE: SignedDuration = SignedDuration::from_secs(30);

#[derive(Debug, Clone)]
pub(crate) struct Process {
    holder: Uuid,
    until: Timestamp,
    operation: Option<OperationId>,
    pushed: Option<ImageDigest>,
    subject: Subject,
    observed: Vec<Input>,
    pending: Vec<Effect>,
    outcomes: Vec<Outcome>,
}

/// A fault in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The process crashes before the turn does anything.
    DiesBefore,
    /// The turn takes place, but the process crashes before the response arrives.
    DiesAfter,
    /// The call fails: AWS throttles it, refuses it, or is unreachable.
    NotDone,
    /// The call succeeds, but the process receives an error.
    DoneUnheard,
}

/// The state of a process after a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turn {
    Goes,
    Done,
    Refused(Refusal),
    AlreadyOpened,
    LinkUsed,
    Died,
}

impl Process {
    pub(crate) fn start(
        world: &mut World,
        operation: Option<OperationId>,
        pushed: Option<ImageDigest>,
        observed: Vec<Input>,
    ) -> Self {
        let holder = world.uuid();
        let subject = world.read(operation, pushed.as_ref());
        let until = world.now + LIFE;
        Self {
            holder,
            until,
            operation,
            pushed,
            subject,
            observed,
            pending: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    /// Returns true if Lambda has ended the process.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.until <= now
    }

    /// Returns the number of possible next turns: one for each pending effect, or one decision.
    pub(crate) fn choices(&self) -> usize {
        self.pending.len().max(1)
    }

    /// Runs the process to its end, without faults.
    pub(crate) fn finish(mut self, world: &mut World) -> Turn {
        for _ in 0..1000 {
            let turn = self.turn(world, Fault::None, 0);
            if turn != Turn::Goes {
                return turn;
            }
        }
        panic!("the process never ends: {self:#?}");
    }

    /// Runs one turn: one effect, or one decision with its commit.
    pub(crate) fn turn(&mut self, world: &mut World, fault: Fault, which: usize) -> Turn {
        if fault == Fault::DiesBefore {
            return Turn::Died;
        }
        let turn = if self.pending.is_empty() {
            self.observed.extend(self.outcomes.drain(..).map(Input::Outcome));
            self.decide(world, fault)
        } else {
            let effect = self.pending.swap_remove(which % self.pending.len());
            self.carry_out(world, &effect, fault);
            Turn::Goes
        };
        if fault == Fault::DiesAfter { Turn::Died } else { turn }
    }

    fn carry_out(&mut self, world: &mut World, effect: &Effect, fault: Fault) {
        let id = self.operation.unwrap();
        let problem = || Outcome::Problem("throttled".to_owned());
        self.outcomes.push(match fault {
            Fault::NotDone => problem(),
            Fault::DoneUnheard => {
                world.take_effect(id, effect);
                problem()
            }
            Fault::None | Fault::DiesBefore | Fault::DiesAfter => world.take_effect(id, effect),
        });
    }

    fn decide(&mut self, world: &mut World, fault: Fault) -> Turn {
        let now = world.now;
        let no_news = self.observed.iter().all(|one| matches!(one, Input::Tick | Input::Nudge));
        let leased = |operation| leased_to_another(now, operation, self.holder);
        if no_news && self.subject.operation.as_ref().is_some_and(leased) {
            return Turn::Done;
        }
        let mut change = match transition(now, &self.subject, &self.observed) {
            Ok(change) => change,
            Err(refusal) => return Turn::Refused(refusal),
        };
        let pending_now = pending_effects(now, &change.after, self.holder);
        let lease = Lease { holder: self.holder, until: self.until };
        take_lease(now, &mut change.after, lease, &pending_now);
        if let Some(occurrence) = &change.opened
            && world.opened.contains(occurrence)
        {
            return Turn::AlreadyOpened;
        }
        let used = change.token.as_ref().and_then(|token| world.tokens.get(&token.hash));
        if used.is_some_and(|token| token.used_at.is_some()) {
            return Turn::LinkUsed;
        }
        let current = world.read(self.operation, self.pushed.as_ref());
        let lost = current.environment.version != self.subject.environment.version
            || current.configuration.version != self.subject.configuration.version
            || version(&current) != version(&self.subject)
            || (change.after.build != self.subject.build && current.build != self.subject.build);
        if lost || fault == Fault::NotDone {
            self.subject = current;
            return Turn::Goes;
        }
        if change.after != self.subject || change.opened.is_some() || !change.audit.is_empty() {
            self.subject = world.commit(&self.subject, change);
        }
        self.operation = self.subject.operation.as_ref().map(|operation| operation.id());
        if fault == Fault::DoneUnheard {
            // The process reads the records again, and decides again.
            self.subject = world.subject(self.operation, self.pushed.as_ref());
            return Turn::Goes;
        }
        self.observed.clear();
        // No other effect depends on notifications or on `RestoreFamily`, so they take no turn.
        let takes_no_turn =
            |effect: &Effect| effect.is_notification() || matches!(effect, Effect::RestoreFamily(_));
        let pending = pending_effects(now, &self.subject, self.holder);
        let (immediate, pending): (Vec<_>, Vec<_>) = pending.into_iter().partition(takes_no_turn);
        for effect in &immediate {
            self.carry_out(world, effect, Fault::None);
        }
        self.pending = pending;
        if self.pending.is_empty() && self.outcomes.is_empty() { Turn::Done } else { Turn::Goes }
    }
}

fn version(subject: &Subject) -> Option<u64> {
    subject.operation.as_ref().map(|operation| operation.version)
}
