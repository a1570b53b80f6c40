//! CloudTrail attribution: records who pushed a build, and who moved one of Stablepin's tags.
//! CloudTrail reports a call minutes later, or never.

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

/// A call that put a tag on a digest, as CloudTrail reported the call.
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

/// The number of an application's newest promotions that are searched for open promotions.
pub(crate) const PROMOTIONS: i32 = 100;
/// The number of an application's newest repairs that are searched for a moved tag.
const REPAIRS: i32 = 20;

/// Records the caller, and returns the number of promotions and repairs that did not know the
/// caller yet. Operations that open later read the caller from the table.
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
    // A caller who puts another tag on a build has not pushed the build.
    let is_build = configured.repository == *repository && configured.builds.matches(tag);
    if is_build {
        // Two callers that are added at the same time may exceed the limit. Readers cut the list to
        // the limit.
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

/// Records the caller in every open promotion of the digest, and returns the number of changed
/// promotions.
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

/// Records pushers in a promotion that has just opened. If CloudTrail reports a pusher during the
/// opening, [`take`] does not find the promotion yet, and the promotion has already read its
/// pushers.
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
