//! What a person orders of an environment: freeze it, thaw it, release its hold.

use super::{Draft, Entry};
use crate::audit::{Actor, Kind};
use crate::one_line::reason;
use crate::records::Freeze;
use crate::refusal::Refusal;

/// A person's order. Rollbacks work whatever is ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub wish: Wish,
    pub reason: Option<String>,
    pub actor: Actor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// No promotion begins.
    Freeze,
    Thaw,
    /// Automation may go on after a rollback or a failure.
    ReleaseHold,
}

pub(super) fn carry_out(draft: &mut Draft, order: &Order) -> Result<(), Refusal> {
    let since = draft.now;
    draft.change.after.policy().ok_or(Refusal::NoSuchEnvironment)?;
    let environment = &mut draft.change.after.environment;
    let why = order.reason.as_deref().and_then(reason);
    let (from, to) = match order.wish {
        Wish::Freeze => {
            if let Some(freeze) = &environment.freeze {
                return Err(Refusal::Frozen { since: freeze.since, reason: freeze.reason.clone() });
            }
            let reason = why.clone().ok_or(Refusal::ReasonNeeded)?;
            environment.freeze = Some(Freeze { since, reason, by: order.actor.clone() });
            ("open", "frozen")
        }
        Wish::Thaw => {
            environment.freeze.take().ok_or(Refusal::NotFrozen)?;
            ("frozen", "open")
        }
        Wish::ReleaseHold => {
            environment.hold.take().ok_or(Refusal::NotHeld)?;
            ("held", "open")
        }
    };
    draft.audit(Entry {
        kind: Kind::Environment,
        id: None,
        digest: None,
        from: Some(from.to_owned()),
        to: to.to_owned(),
        reason: why,
        actor: order.actor.clone(),
    });
    Ok(())
}
