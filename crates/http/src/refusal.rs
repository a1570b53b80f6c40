//! The problem document of each refusal.

use stablepin_rules::refusal::Refusal;

use crate::Problem;

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        let (status, kind, title) = match refusal {
            Refusal::NoSuchEnvironment => (404, "not-found", "Not found"),
            Refusal::ImageMarkedForDeletion { .. } => {
                (409, "image-marked-for-deletion", "The image is being deleted")
            }
            Refusal::UnknownLink => (404, "unknown-link", "The link is not known"),
            Refusal::LinkUsed { .. } => (409, "link-used", "The link was used"),
            Refusal::LinkExpired { .. } | Refusal::Expired { .. } => (410, "expired", "Expired"),
            Refusal::LinkReplaced { .. } => (410, "link-replaced", "There is a newer link"),
            Refusal::NotAnApprover { .. } => (403, "not-an-approver", "Not an approver"),
            Refusal::AlreadyDecided { .. } => (409, "already-decided", "Already decided"),
            Refusal::SharedSigner { .. } => (409, "shared-signer", "One signer has one vote"),
            Refusal::OwnRequest { .. } => (403, "own-request", "Somebody else must decide"),
            Refusal::RequesterUnknown => (403, "requester-unknown", "The pusher is not known"),
            Refusal::TooManyPushers => (403, "too-many-pushers", "Too many pushers"),
            Refusal::TooManyOpened { .. } => (409, "too-many-opened", "Too many promotions of one image"),
            Refusal::LinkBurnt => (410, "link-burnt", "The link no longer works"),
            Refusal::WrongCode => (422, "wrong-code", "A wrong code"),
            Refusal::NotTyped { .. } => (422, "not-typed", "The environment's name is missing"),
            Refusal::FactsChanged => (409, "facts-changed", "The page has changed meanwhile"),
            Refusal::NotPending { .. } => (409, "not-pending", "Nothing to decide"),
            Refusal::Superseded { .. } => (409, "superseded", "A later build was approved"),
            Refusal::NothingPinned => (409, "nothing-pinned", "No pin to roll back to"),
            Refusal::NoPrevious => (409, "no-previous", "No earlier pin to roll back to"),
            Refusal::UnknownPin { .. } => (422, "unknown-pin", "There is no such pin"),
            Refusal::NeverPinned { .. } => (422, "never-pinned", "Never verified here"),
            Refusal::AlreadyLive { .. } => (409, "already-live", "Already live"),
            Refusal::RollbackRunning { .. } => (409, "rollback-running", "Another rollback is running"),
            Refusal::PinMoved { .. } => (409, "pin-moved", "The pin moved meanwhile"),
            Refusal::Ambiguous { .. } => (422, "ambiguous", "It names more than one build"),
            Refusal::Frozen { .. } => (409, "frozen", "Frozen already"),
            Refusal::NotFrozen => (409, "not-frozen", "Not frozen"),
            Refusal::NotHeld => (409, "not-held", "Not held"),
            Refusal::WatermarkNotAhead { .. } => {
                (409, "watermark-not-ahead", "The watermark is not ahead of the clock")
            }
            Refusal::ReasonNeeded => (422, "reason-needed", "A reason is needed"),
            Refusal::UnknownService { .. } => (422, "unknown-service", "There is no such service"),
        };
        Self::new(status, kind, title, refusal.to_string())
    }
}
