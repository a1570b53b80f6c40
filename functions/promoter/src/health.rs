//! Once an hour: who is subscribed to the topics of secret links, and who is not. SNS ends a subscription by a click
//! or by itself, and tells nobody.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use stablepin_aws::dynamodb::{About, TableError};
use stablepin_aws::sns::{Sns, SnsError};
use stablepin_reconciler::clock::now;
use stablepin_reconciler::errors::chain;
use stablepin_reconciler::{Clients, Topics, mail};
use stablepin_rules::application::Application;
use stablepin_rules::name::ApplicationName;
use stablepin_rules::one_line::cut;
use stablepin_rules::subscription_status::{Subscription, SubscriptionStatus, unknown_subscriber, wrong};
use stablepin_rules::topic_policy::{TopicRoles, open_to_others};

#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    #[error("who is subscribed could not be read, or told")]
    Sns(#[from] SnsError),
    #[error("what was found could not be read or written")]
    Table(#[from] TableError),
}

/// The most findings that one record and one notice list. A topic takes millions of subscriptions, a record 400 KB.
const MOST_FINDINGS: usize = 100;

/// The most characters of a finding. A subscription's filter may name thousands of addresses.
const LONGEST_FINDING: usize = 1000;

/// Looks at the topics: whom their policies let subscribe and publish, and whether each subscriber is an approver who gets
/// the own links only. Returns how many findings there are, those about what could not be read included.
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
            Ok(subscriptions) => findings.extend(of(sns, &subscriptions, &approvers).await),
            Err(error) => {
                tracing::error!(topic.arn = topic, "{}", chain(&error));
                findings.insert(format!("the subscribers of {topic} could not be read"));
            }
        }
    }
    tell(clients, &About::Topics, None, &findings).await?;
    Ok(findings.len())
}

/// The addresses of all applications' approvers, in lower case. A file that this version cannot read has none: it asks
/// nobody.
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

async fn of(sns: &Sns, subscriptions: &[Subscription], approvers: &BTreeSet<String>) -> Vec<String> {
    let mut findings = Vec::new();
    // A few at a time: SNS takes few of these in a second.
    for some in subscriptions.chunks(5) {
        let looks = some.iter().map(|one| look(sns, one, approvers));
        findings.extend(join_all(looks).await.into_iter().flatten());
    }
    findings
}

async fn look(sns: &Sns, subscription: &Subscription, approvers: &BTreeSet<String>) -> Option<String> {
    let unknown = unknown_subscriber(subscription, approvers);
    // Not confirmed, it gets nothing yet.
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

/// Of one application: approvers whom no mail reaches.
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
    tell(clients, &about, Some(&application.name), &missing.collect()).await
}

/// The first of the findings, and how many more there are.
fn bounded(findings: &BTreeSet<String>) -> BTreeSet<String> {
    let mut kept: BTreeSet<String> = findings.iter().take(MOST_FINDINGS).cloned().map(shortened).collect();
    if findings.len() > MOST_FINDINGS {
        // Last, as they are sorted by their words.
        kept.insert(format!("… and {} more findings of this kind", findings.len() - MOST_FINDINGS));
    }
    kept
}

fn shortened(mut finding: String) -> String {
    cut(&mut finding, LONGEST_FINDING);
    finding
}

/// Whatever has changed since it was last told.
async fn tell(
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
    // Before it is written: told twice is better than never.
    if let Some(verify) = &clients.verify {
        let list: Vec<String> = findings.iter().cloned().collect();
        let told = mail::health(application, &list);
        let chat = told.chat.to_string();
        verify.sns.notify(&verify.topic_arn, &told.mail.subject, &chat, &told.mail.body).await?;
    }
    clients.table.put_health(about, findings, now()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_stay_within_their_bound() {
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
