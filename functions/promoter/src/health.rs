//! The hourly check of the subscribers of the topics that carry secret links. A click in a mail can
//! end a subscription, and SNS can end a subscription itself. SNS sends no event when a
//! subscription ends.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use stablepin_aws::call::CallError;
use stablepin_aws::dynamodb::{About, TableError};
use stablepin_aws::sns::Sns;
use stablepin_reconciler::clock::now;
use stablepin_reconciler::errors::chain;
use stablepin_reconciler::{Clients, Topics};
use stablepin_rules::application::Application;
use stablepin_rules::name::ApplicationName;
use stablepin_rules::one_line::cut;
use stablepin_rules::subscription_status::{Subscription, SubscriptionStatus, unknown_subscriber, wrong};
use stablepin_rules::topic_policy::{TopicRoles, open_to_others};

#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    #[error("the subscriptions could not be read, or the findings not sent")]
    Sns(#[from] CallError),
    #[error("the findings could not be read or written")]
    Table(#[from] TableError),
}

/// The most findings in one record and one notice. A topic can have millions of subscriptions, but
/// DynamoDB limits a record to 400 KB.
const MOST_FINDINGS: usize = 100;

/// The most characters of one finding. A finding can list thousands of addresses from the filter of
/// a subscription.
const LONGEST_FINDING: usize = 1000;

/// Checks the access policy and the subscribers of each topic. Each subscriber must be an approver
/// who gets only their own links. Returns the number of findings. A failed read also counts as a
/// finding.
pub(crate) async fn topics(clients: &Clients, roles: &TopicRoles) -> Result<usize, HealthError> {
    let Some(approval_mailer) = &clients.approval_mailer else { return Ok(0) };
    let Topics { sns, arns } = &approval_mailer.topics;
    let approvers = all_approvers(clients).await?;
    let mut findings = BTreeSet::new();
    for topic in arns {
        match sns.topic_policy(topic).await {
            Ok(policy) => findings.extend(open_to_others(policy.as_deref(), topic, roles)),
            Err(error) => {
                tracing::error!(topic.arn = topic, "{}", chain(&error));
                findings.insert(format!(
                    "the policy of {topic} could not be read: who may subscribe or publish is not known"
                ));
            }
        }
        match sns.subscriptions(topic).await {
            Ok(subscriptions) => findings.extend(findings_of(sns, &subscriptions, &approvers).await),
            Err(error) => {
                tracing::error!(topic.arn = topic, "{}", chain(&error));
                findings.insert(format!("the subscribers of {topic} could not be read"));
            }
        }
    }
    notify_changes(clients, &About::Topics, None, &findings).await?;
    Ok(findings.len())
}

/// The lower-case addresses of the approvers of all applications. An application file that this
/// version cannot parse adds no address, since Stablepin requests no approval for such an
/// application.
async fn all_approvers(clients: &Clients) -> Result<BTreeSet<String>, TableError> {
    let (mut addresses, mut after) = (BTreeSet::new(), None);
    loop {
        let page = clients.table.applications(100, after).await?;
        for name in &page.items {
            let Some(stored) = clients.table.application(name).await? else { continue };
            let Ok(application) = Application::parse(&stored.text, None) else { continue };
            addresses.extend(application.approvers.iter().map(|one| one.mail.lower()));
        }
        after = page.next;
        if after.is_none() {
            return Ok(addresses);
        }
    }
}

async fn findings_of(sns: &Sns, subscriptions: &[Subscription], approvers: &BTreeSet<String>) -> Vec<String> {
    let mut findings = Vec::new();
    // Five calls at a time, because SNS limits these calls per second.
    for some in subscriptions.chunks(5) {
        let checks = some.iter().map(|one| check_subscription(sns, one, approvers));
        findings.extend(join_all(checks).await.into_iter().flatten());
    }
    findings
}

async fn check_subscription(
    sns: &Sns,
    subscription: &Subscription,
    approvers: &BTreeSet<String>,
) -> Option<String> {
    let unknown = unknown_subscriber(subscription, approvers);
    // SNS sends nothing to an unconfirmed subscription, so its attributes do not matter.
    let Some(arn) = subscription.arn.as_ref() else { return unknown };
    match sns.attributes_of(arn).await {
        Ok(Some(attributes)) => wrong(subscription, &attributes).or(unknown),
        Ok(None) => None,
        Err(error) => {
            tracing::error!(subscription.arn = arn, "{}", chain(&error));
            Some(format!("{arn} could not be read: whose links it gets is not known"))
        }
    }
}

/// Checks that mail reaches every approver of an environment that requires approvals.
pub(crate) async fn approvers(clients: &Clients, application: &Application) -> Result<(), HealthError> {
    let Some(approval_mailer) = &clients.approval_mailer else { return Ok(()) };
    let asked = |name| {
        let of = |one: &stablepin_rules::application::EnvironmentPolicy| {
            one.approval.required > 0 && one.approval.approvers.contains(name)
        };
        application.environments.iter().any(of)
    };
    let subscriptions = approval_mailer.topics.subscriptions().await?;
    let missing = application.approvers.iter().filter(|one| asked(&one.name)).filter_map(|one| {
        let reach = SubscriptionStatus::of(&one.mail, &subscriptions);
        (reach != SubscriptionStatus::Confirmed).then(|| format!("{} {}", one.name, reach.words()))
    });
    let about = About::Approvers(application.name.clone());
    notify_changes(clients, &about, Some(&application.name), &missing.collect()).await
}

/// Returns the first findings, and a line that counts the omitted findings.
fn bounded(findings: &BTreeSet<String>) -> BTreeSet<String> {
    let mut kept: BTreeSet<String> = findings.iter().take(MOST_FINDINGS).cloned().map(shortened).collect();
    if findings.len() > MOST_FINDINGS {
        // This line is the last entry, since the set is sorted by text.
        kept.insert(format!("… and {} more findings of this kind", findings.len() - MOST_FINDINGS));
    }
    kept
}

fn shortened(mut finding: String) -> String {
    cut(&mut finding, LONGEST_FINDING);
    finding
}

/// Sends the findings if they have changed since the last notice.
async fn notify_changes(
    clients: &Clients,
    about: &About,
    application: Option<&ApplicationName>,
    findings: &BTreeSet<String>,
) -> Result<(), HealthError> {
    let findings = &bounded(findings);
    let before = clients.table.health(about).await?.map(|before| before.findings).unwrap_or_default();
    if before == *findings {
        return Ok(());
    }
    // The notice is sent before the save: a repeated notice is better than a lost notice.
    if let Some(verify) = &clients.verify {
        let list: Vec<String> = findings.iter().cloned().collect();
        let notice = stablepin_messages::health(application, &list);
        let chat = notice.chat.to_string();
        verify.sns.notify(&verify.topic_arn, &notice.mail.subject, &chat, &notice.mail.body).await?;
    }
    clients.table.put_health(about, findings, now()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notice_limits_number_and_length_of_findings() {
        let findings = |count: usize| -> BTreeSet<String> {
            (0..count).map(|n| format!("the sqs subscriber {n:05}")).collect()
        };
        assert_eq!(bounded(&findings(MOST_FINDINGS)), findings(MOST_FINDINGS));
        let bounded = bounded(&findings(MOST_FINDINGS + 23));
        assert_eq!(bounded.len(), MOST_FINDINGS + 1);
        assert!(bounded.contains("… and 23 more findings of this kind"));
        let long = |length: usize| bounded_of(&"x".repeat(length));
        assert_eq!(long(LONGEST_FINDING), "x".repeat(LONGEST_FINDING));
        assert!(long(300_000).ends_with("x… (cut)") && long(300_000).chars().count() == LONGEST_FINDING);
    }

    fn bounded_of(finding: &str) -> String {
        bounded(&BTreeSet::from([finding.to_owned()])).pop_first().unwrap()
    }
}
