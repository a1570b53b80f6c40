//! Environment commands of people: freeze, thaw, release the hold, reset the watermark.

use jiff::Timestamp;

use super::{AuditEntry, Transition};
use crate::audit::{Actor, Kind};
use crate::one_line::reason;
use crate::records::{Environment, Freeze};
use crate::refusal::Refusal;

/// A person's command for an environment. No command prevents rollbacks: a freeze and a hold stop
/// only promotions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvironmentCommand {
    pub action: EnvironmentAction,
    pub reason: Option<String>,
    pub actor: Actor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvironmentAction {
    /// Prevents promotions from beginning until a thaw.
    Freeze,
    Thaw,
    /// Allows promotions again after a rollback or a failed release.
    ReleaseHold,
    /// Resets a watermark that lies in the future to the current time, so that new pushes count as
    /// later.
    ResetWatermark,
}

pub(super) fn carry_out(transition: &mut Transition, order: &EnvironmentCommand) -> Result<(), Refusal> {
    let since = transition.now;
    transition.change.after.policy().ok_or(Refusal::NoSuchEnvironment)?;
    let environment = &mut transition.change.after.environment;
    let why = order.reason.as_deref().and_then(reason);
    let (from, to) = match order.action {
        EnvironmentAction::Freeze => {
            if let Some(freeze) = &environment.freeze {
                return Err(Refusal::Frozen { since: freeze.since, reason: freeze.reason.clone() });
            }
            let reason = why.clone().ok_or(Refusal::ReasonNeeded)?;
            environment.freeze = Some(Freeze { since, reason, by: order.actor.clone() });
            ("open".to_owned(), "frozen".to_owned())
        }
        EnvironmentAction::Thaw => {
            environment.freeze.take().ok_or(Refusal::NotFrozen)?;
            ("frozen".to_owned(), "open".to_owned())
        }
        EnvironmentAction::ReleaseHold => {
            environment.hold.take().ok_or(Refusal::NotHeld)?;
            ("held".to_owned(), "open".to_owned())
        }
        EnvironmentAction::ResetWatermark => {
            why.as_ref().ok_or(Refusal::ReasonNeeded)?;
            reset(environment, since)?
        }
    };
    transition.audit(AuditEntry {
        kind: Kind::Environment,
        id: None,
        digest: None,
        from: Some(from),
        to,
        reason: why,
        actor: order.actor.clone(),
    });
    Ok(())
}

/// Resets the watermark, and the time of the newest push, to the current time if they lie in the
/// future. Never resets them to an earlier time, because an old push could then replace a newer
/// pin.
fn reset(environment: &mut Environment, now: Timestamp) -> Result<(String, String), Refusal> {
    let Environment { watermark, latest, .. } = environment;
    let at = watermark.as_ref().map(|mark| mark.at);
    let marks = watermark.iter_mut().chain(latest.iter_mut().map(|latest| &mut latest.occurrence));
    let mut ahead: Vec<_> = marks.filter(|mark| mark.at > now).collect();
    let from = ahead.iter().map(|mark| mark.at).max().ok_or(Refusal::WatermarkNotAhead { at })?;
    // Event times have no fractions of a second.
    let to = Timestamp::from_second(now.as_second()).unwrap_or(now);
    for mark in &mut ahead {
        mark.at = to;
    }
    Ok((format!("watermark {from}"), format!("watermark {to}")))
}
