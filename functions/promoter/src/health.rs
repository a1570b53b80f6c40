//! Once an hour: who is subscribed to the topics of secret links, and who is not. SNS ends a subscription by a click
//! or by itself, and tells nobody.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use stablepin_aws::dynamodb::{About, TableError};
use stablepin_aws::sns::{Sns, SnsError};
use stablepin_core::application::Application;
use stablepin_core::name::ApplicationName;
use stablepin_core::reach::{Reach, Subscription, wrong};
use stablepin_driver::clock::now;
use stablepin_driver::errors::chain;
use stablepin_driver::{Doors, Topics, mail};

#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    #[error("who is subscribed could not be read, or told")]
    Sns(#[from] SnsError),
    #[error("what was found could not be read or written")]
    Table(#[from] TableError),
}

/// Of the topics: subscribers that are not as they should be, and what could not be looked at. Answers how many that are.
pub(crate) async fn topics(doors: &Doors) -> Result<usize, HealthError> {
    let Some(post) = &doors.post else { return Ok(0) };
    let Topics { sns, arns } = &post.topics;
    let mut findings = BTreeSet::new();
    for topic in arns {
        match sns.subscriptions(topic).await {
            Ok(subscriptions) => findings.extend(of(sns, &subscriptions).await),
            Err(error) => {
                tracing::error!(topic.arn = topic, "{}", chain(&error));
                findings.insert(format!("the subscribers of {topic} could not be read"));
            }
        }
    }
    tell(doors, &About::Topics, None, &findings).await?;
    Ok(findings.len())
}

async fn of(sns: &Sns, subscriptions: &[Subscription]) -> Vec<String> {
    let mut findings = Vec::new();
    // A few at a time: SNS takes few of these in a second.
    for some in subscriptions.chunks(5) {
        findings.extend(join_all(some.iter().map(|one| look(sns, one))).await.into_iter().flatten());
    }
    findings
}

async fn look(sns: &Sns, subscription: &Subscription) -> Option<String> {
    // Not confirmed, it gets nothing.
    let arn = subscription.arn.as_ref()?;
    match sns.attributes_of(arn).await {
        Ok(attributes) => wrong(subscription, &attributes?),
        Err(error) => {
            tracing::error!(subscription.arn = arn, "{}", chain(&error));
            Some(format!("{arn} could not be read: whose links it gets is not known"))
        }
    }
}

/// Of one application: approvers whom no mail reaches.
pub(crate) async fn approvers(doors: &Doors, application: &Application) -> Result<(), HealthError> {
    let Some(post) = &doors.post else { return Ok(()) };
    let asked = |name| {
        let of = |one: &stablepin_core::application::Environment| {
            one.approval.required > 0 && one.approval.approvers.contains(name)
        };
        application.environments.iter().any(of)
    };
    let subscriptions = post.topics.subscriptions().await?;
    let missing = application.approvers.iter().filter(|one| asked(&one.name)).filter_map(|one| {
        let reach = Reach::of(&one.mail, &subscriptions);
        (reach != Reach::Confirmed).then(|| format!("{} {}", one.name, reach.words()))
    });
    let about = About::Approvers(application.name.clone());
    tell(doors, &about, Some(&application.name), &missing.collect()).await
}

/// So many findings are kept and told: whoever may subscribe can subscribe any number of queues.
const MOST_FINDINGS: usize = 100;

fn bounded(findings: &BTreeSet<String>) -> BTreeSet<String> {
    let mut kept: BTreeSet<String> = findings.iter().take(MOST_FINDINGS).cloned().collect();
    if findings.len() > kept.len() {
        // Last, as they are sorted by their words.
        kept.insert(format!("…and {} more", findings.len() - MOST_FINDINGS));
    }
    kept
}

/// Whatever has changed since it was last told.
async fn tell(
    doors: &Doors,
    about: &About,
    application: Option<&ApplicationName>,
    findings: &BTreeSet<String>,
) -> Result<(), HealthError> {
    let findings = &bounded(findings);
    let before = doors.table.health(about).await?.map(|before| before.findings).unwrap_or_default();
    if before == *findings {
        return Ok(());
    }
    // Before it is written: told twice is better than never.
    if let Some(verify) = &doors.verify {
        let list: Vec<String> = findings.iter().cloned().collect();
        let told = mail::health(application, &list);
        let chat = told.chat.to_string();
        verify.sns.notify(&verify.topic_arn, &told.mail.subject, &chat, &told.mail.body).await?;
    }
    doors.table.put_health(about, findings, now()).await?;
    Ok(())
}
