//! Applications, and the subscriptions of their approvers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use stablepin_rules::application::{Difference, MailAddress};
use stablepin_rules::name::{ApplicationName, ApproverName};
use stablepin_rules::subscription_status::SubscriptionStatus;

/// A page of the applications' names, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationPage {
    pub applications: Vec<ApplicationName>,
    pub next: Option<String>,
}

/// The stored file of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationAnswer {
    pub name: ApplicationName,
    /// The version of the file: 1, 2, 3 …
    pub version: u64,
    pub at: Timestamp,
    /// The ARN of the principal that put the file.
    pub by: String,
    pub text: String,
}

/// The result of a request to store an application's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedApplication {
    pub name: ApplicationName,
    /// The version of the stored file. A dry run does not change the version.
    pub version: u64,
    pub changes: Vec<Difference>,
}

/// An approver's subscription to mails with links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionAnswer {
    pub approver: ApproverName,
    pub mail: MailAddress,
    pub state: SubscriptionStatus,
    /// The topic to which the address is subscribed.
    pub topic: Option<String>,
    /// The next step that the approver or the administrator must take.
    pub next: Option<String>,
}
