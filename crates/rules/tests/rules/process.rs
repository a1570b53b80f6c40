//! A process that drives an operation as the functions do, one turn at a time: it decides on what it has read,
//! which may be stale, loses races, carries out one effect after the other, and may die before or after each.

use jiff::{SignedDuration, Timestamp};
use stablepin_rules::effect::{Effect, Outcome, leased_to_another, pending_effects, take_lease};
use stablepin_rules::image::ImageDigest;
use stablepin_rules::records::{Lease, OperationId, Subject};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::transition::{Input, transition};
use uuid::Uuid;

use crate::world::World;

/// How long an invocation may take at most: every call that it began has ended then, or it has.
const LIFE: SignedDuration = SignedDuration::from_secs(30);

#[derive(Debug, Clone)]
pub(crate) struct Process {
    holder: Uuid,
    until: Timestamp,
    operation: Option<OperationId>,
    pushed: Option<ImageDigest>,
    subject: Subject,
    observed: Vec<Input>,
    owed: Vec<Effect>,
    outcomes: Vec<Outcome>,
}

/// What goes wrong in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// It dies before the turn does anything.
    DiesBefore,
    /// The turn takes effect, and it dies before it hears of it.
    DiesAfter,
    /// Throttled, refused, out of reach.
    NotDone,
    /// Done, but the answer was an error.
    DoneUnheard,
}

/// How a turn left the process.
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
        Self { holder, until, operation, pushed, subject, observed, owed: Vec::new(), outcomes: Vec::new() }
    }

    /// Its time is over: Lambda has ended it.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        self.until <= now
    }

    /// How many turns it may take next: one for each effect that it owes, or its decision.
    pub(crate) fn choices(&self) -> usize {
        self.owed.len().max(1)
    }

    /// To its end, without faults.
    pub(crate) fn finish(mut self, world: &mut World) -> Turn {
        for _ in 0..1000 {
            let turn = self.turn(world, Fault::None, 0);
            if turn != Turn::Goes {
                return turn;
            }
        }
        panic!("it never ends: {self:#?}");
    }

    /// One effect, or one decision and its commit.
    pub(crate) fn turn(&mut self, world: &mut World, fault: Fault, which: usize) -> Turn {
        if fault == Fault::DiesBefore {
            return Turn::Died;
        }
        let turn = if self.owed.is_empty() {
            self.observed.extend(self.outcomes.drain(..).map(Input::Outcome));
            self.decide(world, fault)
        } else {
            let effect = self.owed.swap_remove(which % self.owed.len());
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
        let owed_now = pending_effects(now, &change.after, self.holder);
        let lease = Lease { holder: self.holder, until: self.until };
        take_lease(now, &mut change.after, lease, &owed_now);
        if let Some(occurrence) = &change.opened
            && world.opened.contains(occurrence)
        {
            return Turn::AlreadyOpened;
        }
        let used = change.token.as_ref().and_then(|token| world.tokens.get(&token.hash));
        if used.is_some_and(|token| token.used_at.is_some()) {
            return Turn::LinkUsed;
        }
        let stands = world.read(self.operation, self.pushed.as_ref());
        let lost = stands.environment.version != self.subject.environment.version
            || stands.configuration.version != self.subject.configuration.version
            || version(&stands) != version(&self.subject)
            || (change.after.build != self.subject.build && stands.build != self.subject.build);
        if lost || fault == Fault::NotDone {
            self.subject = stands;
            return Turn::Goes;
        }
        if change.after != self.subject || change.opened.is_some() || !change.audit.is_empty() {
            self.subject = world.commit(&self.subject, change);
        }
        self.operation = self.subject.operation.as_ref().map(|operation| operation.id());
        if fault == Fault::DoneUnheard {
            // It decides once more on what it finds.
            self.subject = world.subject(self.operation, self.pushed.as_ref());
            return Turn::Goes;
        }
        self.observed.clear();
        // What only tells people, or comes after the end, makes no difference to anything else: it takes no turn of its
        // own.
        let aside = |effect: &Effect| effect.is_notification() || matches!(effect, Effect::RestoreFamily(_));
        let owed = pending_effects(now, &self.subject, self.holder);
        let (told, owed): (Vec<_>, Vec<_>) = owed.into_iter().partition(aside);
        for effect in &told {
            self.carry_out(world, effect, Fault::None);
        }
        self.owed = owed;
        if self.owed.is_empty() && self.outcomes.is_empty() { Turn::Done } else { Turn::Goes }
    }
}

fn version(subject: &Subject) -> Option<u64> {
    subject.operation.as_ref().map(|operation| operation.version)
}
