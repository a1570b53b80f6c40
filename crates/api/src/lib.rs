//! The responses of the HTTP API, for the Lambda functions that send them and for programs that
//! read them.
//!
//! Names, states and other values are the same as in the rules. A record is never a response: each
//! response lists its fields, so that a new field of a record stays internal until a response lists
//! the field. `docs/api/answers.md` describes every field.

/// Defines a response and its conversion from a record. A field without an expression gets the
/// value of the record's field with the same name.
macro_rules! answer {
    ($(#[$meta:meta])* $name:ident of $record:ident: $source:ty {
        $($(#[$doc:meta])* $member:ident: $type:ty $(= $value:expr)?,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub struct $name {
            $($(#[$doc])* pub $member: $type,)*
        }

        impl From<&$source> for $name {
            fn from($record: &$source) -> Self {
                Self { $($member: answer!(@value $record $member $($value)?),)* }
            }
        }
    };
    (@value $record:ident $member:ident) => { $record.$member.clone() };
    (@value $record:ident $member:ident $value:expr) => { $value };
}

mod application;
mod audit;
mod build;
mod check;
mod environment;
mod ignored_push;
mod pin;
mod promotion;
mod retention;
mod rollback;
mod rollout;
mod stack;

pub use application::{ApplicationAnswer, ApplicationPage, ChangedApplication, SubscriptionAnswer};
pub use audit::{AuditAnswer, AuditPage};
pub use build::{BuildAnswer, BuildPage, NamedBuild, PipelineRunAnswer};
pub use check::{CheckAnswer, RecordedAnswer, ReportedCheck, ReportedPromotion};
pub use environment::{
    CurrentAnswer, DeviationAnswer, EnvironmentAnswer, FreezeAnswer, HoldAnswer, LatestPushAnswer,
    LiveDriftAnswer, SlotAnswer, WatermarkAnswer,
};
pub use ignored_push::{IgnoredPushAnswer, IgnoredPushes};
pub use pin::{PinAnswer, PinPage, TagTakenAnswer, WhyTaken};
pub use promotion::{
    DecidedPromotion, DecisionStatus, PromotionAnswer, PromotionPage, RefusedBuildTagAnswer,
    RefusedMailAnswer, RequestedPromotion, StepAnswer, VoteAnswer,
};
pub use retention::{
    ImageAction, ImageAnswer, ImagePage, RepositoryRunAnswer, RunAnswer, RunPage, StoredDocument,
};
pub use rollback::{
    BackupAnswer, RollbackAnswer, RollbackPage, RollbackPlan, RollbackService, StartedRollback, TargetAnswer,
};
pub use rollout::{
    BakeAnswer, BeforeAnswer, PauseAnswer, RolloutAnswer, ServiceAnswer, ServiceProgress, StartedAnswer,
};
pub use stack::{ConsoleLinkAnswer, FindingAnswer, HealthAnswer, HealthStatus};

#[cfg(test)]
mod tests;
