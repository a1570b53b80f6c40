//! Helpers that open promotions, pin builds, and return the state of an operation.

use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{PromotionState, RollbackState, Verdict};

use crate::world::World;

pub(crate) const ONE: &str = "required = 1, approvers = [\"lead\"]";

pub(crate) const TWO: &str = "required = 2";

/// Opens a promotion, and sends the mails that request approval.
pub(crate) fn asked(world: &mut World, at: i64, n: u8) -> OperationId {
    let id = world.push(at, n).unwrap();
    world.settle();
    id
}

pub(crate) fn pinned(world: &mut World, at: i64, n: u8) -> OperationId {
    let id = asked(world, at, n);
    world.vote(id, "lead", Verdict::Approve).unwrap();
    world.settle();
    id
}

pub(crate) fn state(world: &World, id: OperationId) -> PromotionState {
    world.subject(Some(id), None).promotion().unwrap().state
}

pub(crate) fn rollback_state(world: &World, id: OperationId) -> RollbackState {
    world.subject(Some(id), None).rollback().unwrap().state
}
