//! Sends mails to approvers. Publishes each mail to the topic with the approver's subscription. An
//! address gets no more mails per second than SNS allows.

use std::time::Duration;

use futures_util::future::join_all;
use stablepin_aws::call::CallError;
use stablepin_aws::dynamodb::TableError;
use stablepin_rules::application::Approver;
use stablepin_rules::name::ApproverName;
use stablepin_rules::subscription_status::Subscription;

use crate::clock::now;
use crate::{Clients, Topics};
use stablepin_messages::Mail;

#[derive(Debug, Clone)]
pub struct ApprovalMailer {
    pub topics: Topics,
    /// The scheme and host of links, without a final slash. Configuration sets them, never a
    /// request.
    pub url: String,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ApprovalMailerError {
    #[error("{approver} already gets as many mails a second as SNS allows: this mail follows later")]
    Busy { approver: ApproverName },
    #[error(transparent)]
    Table(#[from] TableError),
}

/// The number of seconds that a mail waits for its turn. If its turn does not arrive within this
/// time, a later attempt sends the mail.
const SECONDS: u32 = 5;

impl ApprovalMailer {
    /// Sends the mail to the topic to which the approver's address is subscribed. If no such topic
    /// is known, sends the mail to all topics, and one success is enough. The mail may contain a
    /// link that can vote, so no log and no error contains the mail.
    pub(crate) async fn send(&self, approver: &Approver, mail: &Mail) -> Result<(), CallError> {
        let Topics { sns, arns } = &self.topics;
        let publish = |topic: &String| {
            let topic = topic.clone();
            async move { sns.publish(&topic, &mail.subject, &mail.body, approver).await }
        };
        if let [topic] = &arns[..] {
            return publish(topic).await.map(drop);
        }
        let lists = join_all(arns.iter().map(|topic| sns.subscriptions(topic))).await;
        let has = |list: &Result<Vec<Subscription>, CallError>| {
            list.as_ref().is_ok_and(|list| list.iter().any(|one| one.is_of(&approver.mail)))
        };
        let own = arns.iter().zip(&lists).filter(|(_, list)| has(list)).map(|(topic, _)| topic);
        let own: Vec<&String> = own.collect();
        let topics = if own.is_empty() { arns.iter().collect() } else { own };
        let mut failed = None;
        let mut taken = false;
        for answer in join_all(topics.into_iter().map(publish)).await {
            match answer {
                Ok(_) => taken = true,
                // If one topic refuses the mail and another topic returns a retryable error, the
                // retryable error counts, so that a later attempt sends the mail.
                Err(error) if failed.as_ref().is_none_or(CallError::is_refusal) => failed = Some(error),
                Err(_) => {}
            }
        }
        match failed.filter(|_| !taken) {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }
}

/// Waits until the approver may get the next mail.
pub(crate) async fn wait_for_turn(clients: &Clients, approver: &Approver) -> Result<(), ApprovalMailerError> {
    for _ in 0..SECONDS {
        let at = now();
        if clients.table.may_mail(&approver.mail, at).await? {
            return Ok(());
        }
        let past = u64::try_from(at.subsec_nanosecond()).unwrap_or_default();
        tokio::time::sleep(Duration::from_secs(1).saturating_sub(Duration::from_nanos(past))).await;
    }
    Err(ApprovalMailerError::Busy { approver: approver.name.clone() })
}
