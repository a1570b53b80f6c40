//! Tag drift: a person moved or deleted one of Stablepin's tags. Stablepin writes audit records and
//! puts the tag on the right digest again, because the table decides which digest has the tag.

use super::{AuditEntry, Transition};
use crate::audit::{Actor, Kind};
use crate::build_tag::current;
use crate::caller::Caller;
use crate::image::{ImageDigest, ImageTag};
use crate::operation_id::OperationId;
use crate::records::{Operation, Repair, TakenTag, Work};

/// The final state of a repair that Stablepin gave up without putting the tag.
const NOT_PUT: &str = "Not Put";

/// A tag of Stablepin, as ECR shows it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drifted {
    /// The id for a new repair, if this drift opens one.
    pub id: OperationId,
    pub tag: ImageTag,
    /// The digest that has the tag. None: the tag does not exist.
    pub found: Option<ImageDigest>,
    /// The principal that moved the tag, if known.
    pub by: Option<Caller>,
}

/// Opens a repair of the tag. The subject must not contain an operation. A tag that Stablepin has
/// not yet put cannot drift.
pub(super) fn open(transition: &mut Transition, drifted: &Drifted) {
    let now = transition.now;
    let Some(policy) = transition.change.after.policy() else { return };
    let of_live = drifted.tag == current(&policy.name);
    let mut refused = false;
    let environment = &mut transition.change.after.environment;
    let expected = if of_live {
        environment.current.as_ref().filter(|current| current.tagged).map(|current| current.digest.clone())
    } else {
        let taken = environment.tag_taken.as_ref();
        if taken.is_some_and(|taken| taken.explains(&drifted.tag, drifted.found.as_ref(), now)) {
            return; // People were already notified.
        }
        refused = taken.is_some_and(TakenTag::is_refused);
        let ours = |number| environment.applied == Some(number) || taken.is_some();
        let pin = environment.pin.as_ref().filter(|pin| ours(pin.number));
        // The tag now shows the pin, so the problem with the tag is solved.
        if let Some(pin) = pin.filter(|pin| drifted.found.as_ref() == Some(&pin.digest)) {
            (environment.applied, environment.tag_taken) = (Some(pin.number), None);
            return;
        }
        pin.map(|pin| pin.digest.clone())
    };
    let Some(expected) = expected.filter(|expected| Some(expected) != drifted.found.as_ref()) else { return };
    if of_live {
        if let Some(current) = &mut environment.current {
            (current.by, current.tagged) = (drifted.id, false);
        }
    } else {
        (environment.applied, environment.tag_taken) = (None, None);
    }
    let repair = Repair {
        id: drifted.id,
        tag: drifted.tag.clone(),
        found: drifted.found.clone(),
        detected_at: now,
        repaired_at: None,
        moved_by: drifted.by.clone(),
        refused,
    };
    transition.change.after.operation = Some(Operation::new(Work::Repair(repair), now));
    audit_drift(transition, Some(expected), "Detected");
}

pub(super) fn tick(transition: &mut Transition) {
    if transition.change.after.policy().is_none() {
        end(transition, "the environment was removed from the configuration");
    }
}

pub(super) fn settle(transition: &mut Transition) {
    let is_done =
        crate::pending_effects::remaining_effects(transition.now, &transition.change.after).is_empty();
    if is_done {
        let current = transition.change.after.environment.current.as_ref().filter(|current| !current.tagged);
        let not_put = |operation: &Operation| {
            operation.tag_taken.is_some() || current.is_some_and(|current| current.by == operation.id())
        };
        let not_put = transition.change.after.operation.as_ref().is_some_and(not_put);
        end(transition, if not_put { NOT_PUT } else { "Repaired" });
    }
}

/// Records the caller who moved the tag. CloudTrail may report the caller only after the repair.
pub(super) fn attribute(transition: &mut Transition, caller: &Caller) {
    let Some(repair) = repair(transition).filter(|repair| repair.moved_by.is_none()) else { return };
    repair.moved_by = Some(caller.clone());
    let digest = expected(transition);
    audit_drift(transition, digest, "Attributed");
}

/// Returns the digest that should have the drifted tag.
fn expected(transition: &mut Transition) -> Option<ImageDigest> {
    let tag = repair(transition)?.tag.clone();
    let subject = &transition.change.after;
    let environment = &subject.environment;
    if tag == current(&subject.name) {
        environment.current.as_ref().map(|current| current.digest.clone())
    } else {
        environment.pin.as_ref().map(|pin| pin.digest.clone())
    }
}

fn end(transition: &mut Transition, to: &str) {
    let now = transition.now;
    let Some(repair) = repair(transition).filter(|repair| repair.repaired_at.is_none()) else { return };
    repair.repaired_at = Some(now);
    let digest = expected(transition);
    audit_drift(transition, digest, to);
}

/// Writes an audit record with the digest that had the tag, and with `digest`: the digest that
/// should have the tag, or the pin's digest.
fn audit_drift(transition: &mut Transition, digest: Option<ImageDigest>, to: &str) {
    let problem = transition.change.after.operation.as_ref().and_then(|operation| operation.problem.clone());
    let why = problem.filter(|_| to == NOT_PUT).map(|why| format!(": {why}")).unwrap_or_default();
    let Some(repair) = repair(transition) else { return };
    let found = repair.found.as_ref().map_or("deleted".to_owned(), ImageDigest::to_string);
    let what = match &repair.found {
        _ if repair.refused => "was refused before, and Stablepin tries it again",
        Some(_) => "was moved by hand",
        None => "was deleted by hand",
    };
    let entry = AuditEntry {
        kind: Kind::Drift,
        id: Some(repair.id),
        digest,
        from: Some(found),
        to: to.to_owned(),
        reason: Some(match &repair.moved_by {
            None => format!("the tag {} {what}{why}", repair.tag),
            Some(caller) => {
                format!("the tag {} {what}, by {}, as CloudTrail recorded{why}", repair.tag, caller.arn)
            }
        }),
        actor: Actor::Stablepin,
    };
    transition.audit(entry);
}

fn repair(transition: &mut Transition) -> Option<&mut Repair> {
    match &mut transition.change.after.operation.as_mut()?.work {
        Work::Promotion(_) | Work::Rollback(_) | Work::LiveDrift(_) => None,
        Work::Repair(repair) => Some(repair),
    }
}
