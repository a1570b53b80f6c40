//! CloudTrail attribution: records which principal pushed a build or changed one of Stablepin's
//! tags. CloudTrail reports an API call minutes later, or never.

use std::collections::BTreeSet;

use stablepin_aws::dynamodb::{Key, OperationKey, TableError};
use stablepin_rules::application::Application;
use stablepin_rules::caller::{Caller, new_pusher};
use stablepin_rules::event_time::place;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::ApplicationName;
use stablepin_rules::records::Work;
use stablepin_rules::transition::Input;

use crate::clock::now;
use crate::open_promotions::open_promotions;
use crate::{Clients, Deadline, ReconcileError, Source, reconcile};

/// An API call that put a tag on a digest, as CloudTrail reported it.
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

/// The number of newest repairs that [`take`] searches for a moved tag.
const REPAIRS: i32 = 20;

/// Records the caller of a reported API call. Returns the number of promotions and repairs in which
/// the caller is new. Promotions and repairs that open afterwards read the caller from the table.
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
    // The caller counts as a pusher of the build only if the tag is a build tag.
    let is_build = configured.repository == *repository && configured.builds.matches(tag);
    if is_build {
        // Two additions at the same time may exceed the limit. Code that reads the list cuts it to
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
            let operation = OperationKey::of(&operation);
            let key = Key { application: application.clone(), environment, operation };
            attribute(clients, key, caller, deadline).await?;
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
    for (key, promotion) in open_promotions(clients, application, &BTreeSet::from([digest.clone()])).await? {
        if !promotion.pushers.contains(&caller.arn) {
            attribute(clients, key, caller, deadline).await?;
            count += 1;
        }
    }
    Ok(count)
}

/// Records the build's pushers in a promotion that has just opened. If CloudTrail reports a pusher
/// during the opening, the promotion has read the list of pushers too early, and [`take`] cannot
/// find the promotion yet.
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
    key: Key,
    caller: &Caller,
    deadline: Deadline,
) -> Result<(), AttributionError> {
    reconcile(clients, Source::Operation(key), vec![Input::Attributed(caller.clone())], deadline).await?;
    Ok(())
}
