//! Refusals: the reasons why Stablepin did not carry out a request. A refused request changes
//! nothing. If the person can do something else instead, the text says so.

use jiff::Timestamp;

use crate::image::ImageDigest;
use crate::name::{ApproverName, EnvironmentName};
use crate::operation_id::OperationId;
use crate::pin_number::PinNumber;
use crate::records::PromotionState;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the environment is not in the application's configuration")]
    NoSuchEnvironment,

    #[error(
        "retention is deleting {digest} from the registry right now, so nothing was started: push the build \
         again, or roll back to another pin"
    )]
    ImageMarkedForDeletion { digest: ImageDigest },

    #[error(
        "{most} promotions of {digest} were opened, and retention has not yet checked which of them have \
         ended: decide or withdraw those that are open, and try again after its next run"
    )]
    TooManyOpened { digest: ImageDigest, most: usize },

    // Approvals and rejections.
    #[error("this link is not known")]
    UnknownLink,
    #[error("this link was used")]
    LinkUsed { at: Timestamp },
    #[error("this link expired on {}", minute(at))]
    LinkExpired { at: Timestamp },
    #[error("a newer link was mailed to {approver}: use that one")]
    LinkReplaced { approver: ApproverName },
    #[error("this environment no longer has {approver} as an approver")]
    NotAnApprover { approver: ApproverName },
    #[error("approver {approver} has already decided")]
    AlreadyDecided { approver: ApproverName },
    #[error(
        "{approver} and {other} can be the same signer, who has already decided, and one signer has one \
         vote: give each approver their own principals in the application's file"
    )]
    SharedSigner { approver: ApproverName, other: ApproverName },
    #[error(
        "approver {approver} requested this promotion or pushed the image, and four_eyes is on: somebody \
         else must decide"
    )]
    OwnRequest { approver: ApproverName },
    #[error(
        "it is not known who pushed this, and four_eyes is \"strict\": request the promotion by a signed \
         request, and let somebody else decide"
    )]
    RequesterUnknown,
    #[error(
        "too many principals pushed this image to tell whether the approver is one of them: build it again, \
         so that it has another digest, and push that"
    )]
    TooManyPushers,
    #[error("too many wrong codes were tried with this link, so it no longer works: look for a newer mail")]
    LinkBurnt,
    #[error("the code is in the mail, below the link: six letters and digits")]
    WrongCode,
    #[error("type the environment's name, {environment}, to decide")]
    NotTyped { environment: EnvironmentName },
    #[error("this page has changed since you opened it: review it again")]
    FactsChanged,
    #[error("the promotion is {}: {reason}", state.as_str())]
    NotPending { state: PromotionState, reason: String },
    #[error("the promotion expired on {}: push again, or request it again", minute(at))]
    Expired { at: Timestamp },
    #[error(
        "a later build was approved as pin {pin}, and a promotion never replaces it with an earlier push: \
         use a rollback"
    )]
    Superseded { pin: PinNumber },

    // Rollbacks.
    #[error("this environment has no pin to roll back to: approve a build first")]
    NothingPinned,
    #[error("every earlier pin is live already or was rolled back from: name a pin by its number")]
    NoPrevious,
    #[error("there is no pin {number} here: the newest is pin {newest}")]
    UnknownPin { number: PinNumber, newest: PinNumber },
    #[error("{to} was never pinned in this environment, so it was never verified here: promote it instead")]
    NeverPinned { to: String },
    #[error(
        "the pin moved from {from} to {to} while the rollback was prepared, and Stablepin changed nothing: \
         request it again"
    )]
    PinMoved { from: PinNumber, to: PinNumber },
    #[error("{to} names more than one build that was pinned here: {}", list(candidates))]
    Ambiguous { to: String, candidates: Vec<PinNumber> },
    #[error("{digest} (pin {pin}) is live already on every service that was named")]
    AlreadyLive { pin: PinNumber, digest: ImageDigest },
    #[error("rollback {id} is running: wait until it has ended, and request yours again")]
    RollbackRunning { id: OperationId },
    #[error("it has been frozen since {} ({reason})", minute(since))]
    Frozen { since: Timestamp, reason: String },
    #[error("it is not frozen")]
    NotFrozen,
    #[error("it is not held")]
    NotHeld,
    #[error(
        "{}: every new push is later, so nothing needs a reset",
        at.as_ref().map_or("there is no watermark yet".to_owned(), |at| format!("the watermark is {}", minute(at)))
    )]
    WatermarkNotAhead { at: Option<Timestamp> },
    #[error("write a reason: other people will want to know it")]
    ReasonNeeded,
    #[error("{service} is not a service of this environment: its services are {known}")]
    UnknownService { service: String, known: String },
}

fn list(pins: &[PinNumber]) -> String {
    let each: Vec<String> = pins.iter().map(|pin| format!("pin {pin}")).collect();
    format!("{}. Name one by its number", each.join(", "))
}

/// Formats a time for people, without seconds.
fn minute(at: &Timestamp) -> impl std::fmt::Display {
    at.strftime("%Y-%m-%d %H:%M UTC")
}
