//! Refusals: why Stablepin did not carry out a request. A refused request changes nothing. Each
//! text suggests what to do instead.

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
        "retention is deleting {digest} from the registry at this moment, and nothing was begun: push the build again, \
         or go back to another pin"
    )]
    ImageMarkedForDeletion { digest: ImageDigest },

    #[error(
        "{most} promotions of {digest} were opened, and retention has not seen yet which of them have ended: decide or withdraw \
         those that are open, and try again after its next run"
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
    #[error("this environment does not have {approver} among its approvers any more")]
    NotAnApprover { approver: ApproverName },
    #[error("approver {approver} has already decided")]
    AlreadyDecided { approver: ApproverName },
    #[error(
        "{approver} and {other} can be one signer, who has decided already, and one signer has one vote: give each approver \
         principals of their own in the application's file"
    )]
    SharedSigner { approver: ApproverName, other: ApproverName },
    #[error(
        "approver {approver} asked for this promotion or pushed it, and two pairs of eyes are wanted: somebody else must decide"
    )]
    OwnRequest { approver: ApproverName },
    #[error(
        "nobody knows who pushed this, and four_eyes is \"strict\": ask for the promotion by a signed request, and \
         somebody else decides"
    )]
    RequesterUnknown,
    #[error(
        "so many have pushed this image that nobody can be told not to be one of them: build it anew, so that it has another \
         digest, and push that"
    )]
    TooManyPushers,
    #[error(
        "too many wrong codes were tried with this link, so that it decides nothing any more: look for a newer mail"
    )]
    LinkBurnt,
    #[error("the code is the one that is printed in the mail, below the link: six letters and digits")]
    WrongCode,
    #[error("type the environment's name, {environment}, to decide")]
    NotTyped { environment: EnvironmentName },
    #[error("what this page shows has changed since it was opened: look at it again")]
    FactsChanged,
    #[error("the promotion is {}: {reason}", state.as_str())]
    NotPending { state: PromotionState, reason: String },
    #[error("the promotion expired on {}: push again, or ask for it again", minute(at))]
    Expired { at: Timestamp },
    #[error(
        "a later build was approved as pin {pin}, and the pin never goes back to an earlier push: use a rollback"
    )]
    Superseded { pin: PinNumber },

    // Rollbacks.
    #[error("nothing was ever pinned here, so there is nothing to go back to: approve a build first")]
    NothingPinned,
    #[error(
        "there is no earlier pin whose build is not live and was not rolled back from: name a pin by its number"
    )]
    NoPrevious,
    #[error("there is no pin {number} here: the newest is pin {newest}")]
    UnknownPin { number: PinNumber, newest: PinNumber },
    #[error("{to} was never pinned in this environment, so it was never verified here: promote it instead")]
    NeverPinned { to: String },
    #[error(
        "the pin moved from {from} to {to} while the rollback was prepared, and nothing was touched: ask again"
    )]
    PinMoved { from: PinNumber, to: PinNumber },
    #[error("{to} names more than one build that was pinned here: {}", list(candidates))]
    Ambiguous { to: String, candidates: Vec<PinNumber> },
    #[error("{digest} (pin {pin}) is live already on every service that was named")]
    AlreadyLive { pin: PinNumber, digest: ImageDigest },
    #[error("rollback {id} is running: follow it, and ask again when it has ended")]
    RollbackRunning { id: OperationId },
    #[error("it is frozen since {} ({reason})", minute(since))]
    Frozen { since: Timestamp, reason: String },
    #[error("it is not frozen")]
    NotFrozen,
    #[error("it is not held")]
    NotHeld,
    #[error(
        "{}: what is pushed from now on is later, and nothing has to be reset",
        at.as_ref().map_or("there is no watermark yet".to_owned(), |at| format!("the watermark is of {}", minute(at)))
    )]
    WatermarkNotAhead { at: Option<Timestamp> },
    #[error("say why: the reason is shown to everybody who wonders")]
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
