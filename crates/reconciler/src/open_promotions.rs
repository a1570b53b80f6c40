//! Finds promotions of an image, in all environments of an application.

use std::collections::BTreeSet;

use stablepin_aws::dynamodb::{Key, OperationKey, TableError};
use stablepin_rules::image::ImageDigest;
use stablepin_rules::name::ApplicationName;
use stablepin_rules::records::{Promotion, Work};

use crate::Clients;

/// The most promotions that one read returns.
const PER_READ: i32 = 100;
/// The most reads of one search for open promotions. The newest promotions are read first, and each
/// promotion expires, so an open promotion is not expected behind 1,000 newer ones.
const MOST_READS: usize = 10;

/// Returns the open promotions of these images in every environment, newest first.
pub(crate) async fn open_promotions(
    clients: &Clients,
    application: &ApplicationName,
    digests: &BTreeSet<ImageDigest>,
) -> Result<Vec<(Key, Promotion)>, TableError> {
    let mut promotions = newest_promotions(clients, application, digests, MOST_READS).await?;
    promotions.retain(|(_, promotion)| !promotion.state.is_terminal());
    Ok(promotions)
}

/// Returns those of the application's newest promotions that promote one of these images.
pub(crate) async fn newest_promotions(
    clients: &Clients,
    application: &ApplicationName,
    digests: &BTreeSet<ImageDigest>,
    reads: usize,
) -> Result<Vec<(Key, Promotion)>, TableError> {
    let (mut found, mut after) = (Vec::new(), None);
    for _ in 0..reads {
        let page = clients.table.promotions(application, PER_READ, after).await?;
        for (environment, operation) in page.items {
            let id = OperationKey::of(&operation);
            let Work::Promotion(promotion) = operation.work else { continue };
            if digests.contains(&promotion.digest) {
                let key = Key { application: application.clone(), environment, operation: id };
                found.push((key, promotion));
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(found)
}
