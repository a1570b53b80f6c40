//! Restores the images that a run has archived.

use std::collections::BTreeMap;

use stablepin_aws::ecr::{ImageStatus, StorageClass};
use stablepin_retention_rules::run::{Applied, RunId, RunProgress};
use stablepin_rules::image::ImageDigest;

use crate::RetentionError;
use crate::document::document;
use crate::image_outcome::{ImageOutcome, Noted, Outcomes};
use crate::repository_work::RepositoryWork;

/// Restores the archived images, or returns `None` if there is not enough time. Skips images that
/// are already restored.
pub(crate) async fn undo(
    work: &RepositoryWork<'_>,
    of: RunId,
) -> Result<Option<RunProgress>, RetentionError> {
    let undone = work.clients.table.run(&work.run.application, of).await?;
    let stored = undone.and_then(|run| run.repositories.get(work.repository)?.report.clone());
    let Some(stored) = stored else {
        let problem = format!("run {of} has no report of this repository: there is nothing to undo");
        return Ok(Some(RunProgress::Failed { problem }));
    };
    let noted: Noted = document(&work.clients.bucket, &stored).await?;
    let archived = noted.outcomes.into_iter().filter(|(_, outcome)| *outcome == ImageOutcome::Archived);
    let archived: Vec<ImageDigest> = archived.map(|(digest, _)| digest).collect();
    let ecr = &work.clients.ecr;
    let found = ecr.describe_some(work.repository, &archived).await?;
    let status: BTreeMap<&ImageDigest, ImageStatus> =
        found.iter().map(|one| (&one.digest, one.status)).collect();
    let mut outcomes = Outcomes::new();
    let mut is_whole = true;
    for digest in archived {
        if work.deadline.is_near() {
            is_whole = false;
            break;
        }
        let outcome = match status.get(&digest) {
            Some(ImageStatus::Active | ImageStatus::Activating) => ImageOutcome::Restored,
            Some(ImageStatus::Archived) => {
                match ecr.set_storage_class(work.repository, &digest, StorageClass::Standard).await {
                    Ok(()) => ImageOutcome::Restored,
                    Err(error) => match error.of_one_image() {
                        Some(code) => ImageOutcome::Refused { code: code.to_owned(), why: error.to_string() },
                        None => return Err(error.into()),
                    },
                }
            }
            None => ImageOutcome::Refused {
                code: "ImageNotFound".to_owned(),
                why: "it was deleted since".to_owned(),
            },
        };
        outcomes.insert(digest, outcome);
    }
    let mut applied = Applied { freed_is_exact: true, ..Applied::default() };
    for outcome in outcomes.values() {
        match outcome {
            ImageOutcome::Refused { code, .. } => *applied.errors.entry(code.clone()).or_default() += 1,
            _ => applied.restored += 1,
        }
    }
    applied.report = Some(work.put_report(&outcomes).await?);
    if is_whole {
        return Ok(Some(RunProgress::Done(applied)));
    }
    work.save_progress(&RunProgress::Applying(applied)).await?;
    Ok(None)
}
