//! Once an hour: who is subscribed to the topics of secret links, and who is not. SNS ends a subscription by a click
//! or by itself, and tells nobody.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use stablepin_aws::dynamodb::{About, TableError};
use stablepin_aws::sns::SnsError;
use stablepin_core::application::Application;
use stablepin_core::name::ApplicationName;
use stablepin_core::reach::{Reach, Subscription, gets_others};
use stablepin_driver::clock::now;
use stablepin_driver::{Doors, Post, mail};

#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    #[error("who is subscribed could not be read, or told")]
    Sns(#[from] SnsError),
    #[error("what was found could not be read or written")]
    Table(#[from] TableError),
}

/// Of the topics: whoever gets the links of others. Answers how many there are.
pub(crate) async fn topics(doors: &Doors) -> Result<usize, HealthError> {
    let Some(post) = &doors.post else { return Ok(0) };
    let subscriptions = post.subscriptions().await?;
    // A few at a time: SNS takes few of these in a second.
    let mut findings = BTreeSet::new();
    for some in subscriptions.chunks(5) {
        let found = try_join_all(some.iter().map(|one| nosy(post, one))).await?;
        findings.extend(found.into_iter().flatten());
    }
    tell(doors, &About::Topics, None, &findings).await?;
    Ok(findings.len())
}

async fn nosy(post: &Post, subscription: &Subscription) -> Result<Option<String>, SnsError> {
    // Not confirmed, it gets nothing.
    let Some(arn) = &subscription.arn else { return Ok(None) };
    let filter = post.sns.filter_of(arn).await?;
    Ok(filter.and_then(|filter| gets_others(subscription, filter.policy.as_deref(), filter.scope.as_deref())))
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
    let subscriptions = post.subscriptions().await?;
    let missing = application.approvers.iter().filter(|one| asked(&one.name)).filter_map(|one| {
        let reach = Reach::of(&one.mail, &subscriptions);
        (reach != Reach::Confirmed).then(|| format!("{} ({}) {}", one.name, one.mail, reach.words()))
    });
    let about = About::Approvers(application.name.clone());
    tell(doors, &about, Some(&application.name), &missing.collect()).await
}

/// Whatever has changed since it was last told.
async fn tell(
    doors: &Doors,
    about: &About,
    application: Option<&ApplicationName>,
    findings: &BTreeSet<String>,
) -> Result<(), HealthError> {
    let before = doors.table.health(about).await?.map(|before| before.findings).unwrap_or_default();
    if before == *findings {
        return Ok(());
    }
    for finding in findings {
        tracing::warn!(application.name = application.map(ToString::to_string), "{finding}");
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
