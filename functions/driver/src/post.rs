//! How approvers' mails go out: to every topic, of which each approver's mailbox is subscribed to one, and never more
//! of them in a second than SNS lets an address have.

use std::time::Duration;

use futures_util::future::try_join_all;
use stablepin_aws::dynamodb::TableError;
use stablepin_aws::sns::{Sns, SnsError};
use stablepin_core::application::Approver;
use stablepin_core::reach::Subscription;

use crate::Doors;
use crate::clock::now;
use crate::mail::Mail;

#[derive(Debug, Clone)]
pub struct Post {
    pub sns: Sns,
    /// SNS takes 200 filter policies a topic: whoever has more approvers has more topics.
    /// <https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html>
    pub topic_arns: Vec<String>,
    /// Where links lead: scheme and host, without a slash at the end. From configuration, never from a request.
    pub url: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum PostError {
    #[error("{mail} gets as many mails a second as SNS lets an address have: this one goes out later")]
    Busy { mail: String },
    #[error(transparent)]
    Sns(#[from] SnsError),
    #[error(transparent)]
    Table(#[from] TableError),
}

/// How many seconds a mail waits for its turn, before it is left to the next attempt.
const SECONDS: u32 = 5;

impl Post {
    /// Whoever is subscribed to any of the topics.
    pub async fn subscriptions(&self) -> Result<Vec<Subscription>, SnsError> {
        let lists = try_join_all(self.topic_arns.iter().map(|topic| self.sns.subscriptions(topic))).await?;
        Ok(lists.into_iter().flatten().collect())
    }

    /// The mail may hold a link that decides: it is in no log and in no error.
    pub(crate) async fn send(&self, approver: &Approver, mail: &Mail) -> Result<(), PostError> {
        let publish = |topic| self.sns.publish(topic, &mail.subject, &mail.body, approver);
        try_join_all(self.topic_arns.iter().map(|topic| publish(topic))).await?;
        Ok(())
    }
}

/// Waits until the approver may get one more mail.
pub(crate) async fn turn(doors: &Doors, approver: &Approver) -> Result<(), PostError> {
    for _ in 0..SECONDS {
        let at = now();
        if doors.table.may_mail(&approver.mail, at).await? {
            return Ok(());
        }
        let past = u64::try_from(at.subsec_nanosecond()).unwrap_or_default();
        tokio::time::sleep(Duration::from_secs(1).saturating_sub(Duration::from_nanos(past))).await;
    }
    Err(PostError::Busy { mail: approver.mail.to_string() })
}
