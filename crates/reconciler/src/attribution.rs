//! CloudTrail attribution: who pushed a build, and who moved one of Stablepin's tags.
//! CloudTrail's event comes minutes after the call, or never.

use std::collections::BTreeSet;

use stablepin_aws::dynamodb::{Key, OperationKey, TableError};
use stablepin_rules::application::Application;
use stablepin_rules::caller::{Caller, new_pusher};
use stablepin_rules::event_time::place;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::records::{Operation, Work};
use stablepin_rules::transition::Input;

use crate::clock::now;
use crate::{Clients, Deadline, ReconcileError, Source, reconcile};

/// A tag that a caller put on a digest, as CloudTrail reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudTrailCall {
    pub repository: RepositoryName,
    pub tag: ImageTag,
    pub digest: ImageDigest,
    pub caller: Caller,
}

#[derive(Debug, thiserror::Error)]
pub enum AttributionError {
    #[error("the call could not be looked up")]
    Table(#[from] TableError),
    #[error("the call could not be recorded")]
    Reconcile(#[from] ReconcileError),
}

/// The most promotions that are searched for open ones, which are among the newest.
pub(crate) const PROMOTIONS: i32 = 100;
const REPAIRS: i32 = 20;

/// Records who put the tag, and returns how many promotions and repairs did not know it yet.
/// Operations that open later read the caller from the table.
pub async fn take(
    clients: &Clients,
    application: &ApplicationName,
    call: &CloudTrailCall,
    deadline: Deadline,
) -> Result<usize, AttributionError> {
    let CloudTrailCall { repository, tag, digest, caller } = call;
    let stored = clients.table.application(application).await?;
    let Some(configured) = stored.and_then(|stored| Application::parse(&stored.text, None).ok()) else {
        return Ok(0);
    };
    // A caller who puts another tag on a build has not pushed it.
    let is_build = configured.repository == *repository && configured.builds.matches(tag);
    if is_build {
        // Callers that are added at the same time may exceed the bound. Readers cut the list to it.
        if let Some(new) = new_pusher(&clients.table.pushers(application, digest).await?, &caller.arn) {
            clients.table.add_pusher(application, digest, new).await?;
        }
        return attribute_promotions(clients, application, digest, caller, deadline).await;
    }
    let caller = &Caller { at: place(now(), caller.at), ..caller.clone() };
    clients.table.put_caller(application, repository, tag, digest, caller).await?;
    let mut count = 0;
    for (environment, operation) in clients.table.repairs(application, REPAIRS).await? {
        let Work::Repair(repair) = &operation.work else { continue };
        let moved = repair.tag == *tag && repair.found.as_ref() == Some(digest) && repair.moved_by.is_none();
        if moved && caller.is_recent(repair.detected_at) {
            attribute(clients, application, environment, &operation, caller, deadline).await?;
            count += 1;
        }
    }
    Ok(count)
}

/// Attributes every open promotion of the digest to the caller, and returns how many are changed.
async fn attribute_promotions(
    clients: &Clients,
    application: &ApplicationName,
    digest: &ImageDigest,
    caller: &Caller,
    deadline: Deadline,
) -> Result<usize, AttributionError> {
    let mut count = 0;
    for (environment, operation) in clients.table.promotions(application, PROMOTIONS, None).await?.items {
        let Work::Promotion(promotion) = &operation.work else { continue };
        let news = promotion.digest == *digest
            && !promotion.state.is_terminal()
            && !promotion.pushers.contains(&caller.arn);
        if news {
            attribute(clients, application, environment, &operation, caller, deadline).await?;
            count += 1;
        }
    }
    Ok(count)
}

/// Attributes a new promotion to pushers that CloudTrail reported while it was being opened.
/// The attribution did not find the promotion yet, and the promotion did not know the pushers.
pub async fn catch_up(
    clients: &Clients,
    application: &ApplicationName,
    digest: &ImageDigest,
    known: &BTreeSet<String>,
    deadline: Deadline,
) -> Result<(), AttributionError> {
    for arn in clients.table.pushers(application, digest).await?.difference(known) {
        let caller = Caller { arn: arn.clone(), at: now() };
        attribute_promotions(clients, application, digest, &caller, deadline).await?;
    }
    Ok(())
}

async fn attribute(
    clients: &Clients,
    application: &ApplicationName,
    environment: EnvironmentName,
    operation: &Operation,
    caller: &Caller,
    deadline: Deadline,
) -> Result<(), AttributionError> {
    let key = Key { application: application.clone(), environment, operation: OperationKey::of(operation) };
    reconcile(clients, Source::Operation(key), vec![Input::Attributed(caller.clone())], deadline).await?;
    Ok(())
}
