//! Carries out a plan. Each image is first marked for deletion, so that no promotion or rollback
//! can begin to use the image. After that, the image is checked once more. If the image differs
//! from the plan, the image is kept.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use jiff::Timestamp;
use serde::Serialize;
use stablepin_aws::ecr::{FoundImage, ImageId, ImageStatus, Manifest, PER_DELETE, StorageClass, Untag};
use stablepin_reconciler::clock::now;
use stablepin_retention_rules::plan::{Fate, Plan, Planned};
use stablepin_retention_rules::run::{Applied, RunProgress};
use stablepin_rules::image::{ImageDigest, ImageTag};

use crate::RetentionError;
use crate::image_outcome::{ImageOutcome, Outcomes};
use crate::repository_work::RepositoryWork;

/// The most marks that a run writes at the same time.
const MARKS_AT_ONCE: usize = 16;

/// The most images that a run archives at the same time. ECR archives one image per call and
/// documents no limit.
const ARCHIVED_AT_ONCE: usize = 4;

/// The most times that a run checks and removes the same images. The run repeats both steps if ECR
/// fails after the check. The pauses are 1, 2, 4 … seconds.
const MOST_LOOKS: u32 = 7;

/// The result of carrying out a plan: complete, or interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completion {
    Complete,
    /// The invocation ran out of time. The next invocation continues.
    Partial,
}

/// The manifest of an image, saved before ECR deletes the image. A push of this manifest restores
/// the image while its layers exist.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Kept<'a> {
    image_digest: &'a ImageDigest,
    image_tags: &'a [ImageTag],
    image_manifest_media_type: &'a str,
    image_manifest: &'a str,
}

/// A plan and its progress.
pub(crate) struct Apply<'a> {
    work: &'a RepositoryWork<'a>,
    /// The images that the run has not removed yet, by wave, as the fresh plan lists them.
    waves: BTreeMap<u16, Vec<&'a Planned>>,
    untag: Vec<(&'a ImageDigest, &'a ImageTag)>,
    /// The time when the inventory of the fresh plan was read.
    planned_at: Timestamp,
    pub(crate) outcomes: Outcomes,
}

impl<'a> Apply<'a> {
    /// Combines the saved plan with a fresh plan. An image is removed only if both plans remove it
    /// and its tags have not changed. `before` contains the earlier outcomes of this run.
    /// `begun` means that an earlier invocation may have removed images without recording it. A
    /// missing image then counts as deleted.
    pub(crate) fn new(
        work: &'a RepositoryWork<'a>,
        saved: &'a Plan,
        fresh: &'a Plan,
        before: Outcomes,
        begun: bool,
    ) -> Self {
        let now: HashMap<&ImageDigest, &Planned> =
            fresh.images.iter().map(|one| (&one.digest, one)).collect();
        let mut apply =
            Self { work, waves: BTreeMap::new(), untag: Vec::new(), planned_at: fresh.at, outcomes: before };
        for one in &saved.images {
            let skipped = |why: &str| ImageOutcome::Skipped { why: why.to_owned() };
            let outcome = match (&one.fate, now.get(&one.digest)) {
                (Fate::Keep, _) => continue,
                (Fate::Untag { untag }, Some(Planned { fate: Fate::Untag { untag: still }, .. })) => {
                    let still = untag.iter().filter(|tag| still.contains(tag));
                    apply.untag.extend(still.map(|tag| (&one.digest, tag)));
                    continue;
                }
                // The tag no longer exists, or something needs the tag now. The next plan decides.
                (Fate::Untag { .. }, _) => continue,
                (Fate::Delete { .. } | Fate::Archive { .. }, _) if apply.is_done(&one.digest) => continue,
                (Fate::Delete { .. }, None) if begun => ImageOutcome::Deleted,
                (Fate::Delete { .. } | Fate::Archive { .. }, None) => skipped("no longer exists"),
                (Fate::Delete { .. }, Some(still @ Planned { fate: Fate::Delete { wave }, .. }))
                // Archiving instead of the planned deletion is allowed, since archiving removes
                // less.
                | (
                    Fate::Delete { .. } | Fate::Archive { .. },
                    Some(still @ Planned { fate: Fate::Archive { wave }, .. }),
                )
                    if still.tags == one.tags =>
                {
                    apply.waves.entry(*wave).or_default().push(still);
                    continue;
                }
                (_, Some(fresh)) if begun && fresh.rule.is_archived() && !one.rule.is_archived() => {
                    ImageOutcome::Archived
                }
                (Fate::Delete { .. } | Fate::Archive { .. }, Some(fresh)) if fresh.tags != one.tags => {
                    skipped("its tags have changed")
                }
                (Fate::Delete { .. } | Fate::Archive { .. }, Some(fresh)) => skipped(&fresh.why),
            };
            apply.outcomes.insert(one.digest.clone(), outcome);
        }
        apply
    }

    /// Returns whether the image needs no further attempt. Skipped and refused images get another
    /// attempt, since the obstacle may no longer exist.
    fn is_done(&self, digest: &ImageDigest) -> bool {
        matches!(self.outcomes.get(digest), Some(ImageOutcome::Deleted | ImageOutcome::Archived))
    }

    pub(crate) async fn carry_out(&mut self) -> Result<Completion, RetentionError> {
        let waves = std::mem::take(&mut self.waves);
        for (wave, images) in waves {
            for (number, part) in images.chunks(PER_DELETE).enumerate() {
                if self.work.deadline.is_near() {
                    return Ok(Completion::Partial);
                }
                self.remove_part(part, &format!("{wave:05}-{number:05}")).await?;
                self.work.save_progress(&RunProgress::Applying(self.applied())).await?;
            }
        }
        for (digest, tag) in std::mem::take(&mut self.untag) {
            if self.work.deadline.is_near() {
                return Ok(Completion::Partial);
            }
            self.untag(digest, tag).await?;
        }
        Ok(Completion::Complete)
    }

    /// Counts the outcomes by kind.
    pub(crate) fn applied(&self) -> Applied {
        let mut applied = Applied::default();
        for outcome in self.outcomes.values() {
            match outcome {
                ImageOutcome::Deleted => applied.deleted += 1,
                ImageOutcome::Archived => applied.archived += 1,
                ImageOutcome::Untagged { tags } => applied.untagged += tags.len() as u64,
                ImageOutcome::Restored => applied.restored += 1,
                ImageOutcome::Skipped { .. } => applied.skipped += 1,
                ImageOutcome::Refused { code, .. } => *applied.errors.entry(code.clone()).or_default() += 1,
            }
        }
        applied
    }

    /// Removes up to 100 images of one wave, which ECR may delete in any order.
    async fn remove_part(&mut self, part: &[&'a Planned], name: &str) -> Result<(), RetentionError> {
        let clients = self.work.clients;
        let application = &self.work.run.application;
        let (run, at) = (self.work.run.id, now());
        let mut goes = Vec::with_capacity(part.len());
        for one in part {
            // ECR does not protect signatures. So a signature is not deleted while the signed image
            // is kept.
            match one.after.iter().find(|above| !self.is_done(above)) {
                None => goes.push(*one),
                Some(above) => self.skip(&one.digest, &format!("it belongs to {above}, which is kept")),
            }
        }
        let attempts = stream::iter(goes).map(|one| async move {
            Ok::<_, RetentionError>((
                one,
                clients.table.mark_for_deletion(application, &one.digest, run, at).await?,
            ))
        });
        let attempts: Vec<(&'a Planned, bool)> =
            attempts.buffer_unordered(MARKS_AT_ONCE).try_collect().await?;
        let mut marked: BTreeMap<&'a ImageDigest, &'a Planned> = BTreeMap::new();
        for (one, is_marked) in attempts {
            if is_marked {
                marked.insert(&one.digest, one);
            } else {
                self.skip(&one.digest, "a promotion or a rollback needs it, or another run works on it");
            }
        }

        let digests: Vec<&ImageDigest> = marked.keys().copied().collect();
        let done = self.remove_marked(marked, name).await;
        if done.as_ref().is_err_and(RetentionError::is_a_refusal) {
            // ECR will refuse again until a person acts. The marks are cleared now, so that
            // operations can use these images in the meantime.
            for digest in digests {
                clients.table.was_deleted(application, digest).await?;
            }
        }
        done
    }

    /// Removes images that are marked for deletion. While an image is marked, no operation can
    /// begin to use it.
    async fn remove_marked(
        &mut self,
        mut marked: BTreeMap<&'a ImageDigest, &'a Planned>,
        name: &str,
    ) -> Result<(), RetentionError> {
        let clients = self.work.clients;
        let application = &self.work.run.application;
        let digests: Vec<ImageDigest> = marked.keys().map(|digest| (*digest).clone()).collect();
        for (digest, code) in self.keep_manifests(&marked, &digests, name).await? {
            let Some(one) = marked.get(&digest) else { continue };
            // ECR does not return manifests of archived images. The run that archived the image
            // saved its manifest.
            if one.rule.is_archived() || code == "ImageNotFound" {
                continue;
            }
            marked.remove(&digest);
            let why = "its manifest could not be read and saved".to_owned();
            self.outcomes.insert(digest.clone(), ImageOutcome::Refused { code, why });
            clients.table.unmark(application, &digest).await?;
        }

        // If ECR fails, the loop repeats the check together with the removal, because the check may
        // be out of date.
        for look in 1..=MOST_LOOKS {
            match self.check_and_remove(&mut marked, look > 1).await {
                Ok(()) => break,
                Err(RetentionError::Ecr(error)) if error.is_retryable() && look < MOST_LOOKS => {
                    tokio::time::sleep(Duration::from_secs(1 << (look - 1))).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Describes the images once more, and deletes or archives the images that match the plan.
    /// Removes each image with an outcome from `marked`. If `after_an_attempt` is set, a missing
    /// image counts as deleted: an earlier attempt deleted the image, though ECR returned an error.
    async fn check_and_remove(
        &mut self,
        marked: &mut BTreeMap<&'a ImageDigest, &'a Planned>,
        after_an_attempt: bool,
    ) -> Result<(), RetentionError> {
        let clients = self.work.clients;
        let application = &self.work.run.application;
        let digests: Vec<ImageDigest> = marked.keys().map(|digest| (*digest).clone()).collect();
        let found = clients.ecr.describe_some(self.work.repository, &digests).await?;
        let found: BTreeMap<&ImageDigest, &FoundImage> = found.iter().map(|one| (&one.digest, one)).collect();
        let (mut delete, mut archive) = (Vec::new(), Vec::new());
        for digest in &digests {
            let Some(one) = marked.get(digest).copied() else { continue };
            match (found.get(digest), &one.fate) {
                (None, fate) => {
                    marked.remove(digest);
                    match fate {
                        Fate::Delete { .. } if after_an_attempt => {
                            self.outcomes.insert(digest.clone(), ImageOutcome::Deleted);
                        }
                        _ => self.skip(digest, "no longer exists"),
                    }
                    clients.table.was_deleted(application, digest).await?;
                }
                (Some(there), _) if !self.is_as_planned(one, there) => {
                    marked.remove(digest);
                    self.skip(digest, "its tags or its state changed");
                    clients.table.unmark(application, digest).await?;
                }
                (Some(_), Fate::Archive { .. }) => archive.push(digest.clone()),
                (Some(_), Fate::Delete { .. } | Fate::Keep | Fate::Untag { .. }) => {
                    delete.push(digest.clone())
                }
            }
        }
        self.delete(&delete).await?;
        marked.retain(|digest, _| !delete.contains(digest));
        self.archive(archive, marked).await
    }

    /// Returns whether the image still matches the plan. An image that was tagged, pushed, archived
    /// or restored in the meantime does not match.
    fn is_as_planned(&self, planned: &Planned, there: &FoundImage) -> bool {
        let tags: BTreeSet<&ImageTag> = there.tags.iter().collect();
        let archived = there.status == ImageStatus::Archived;
        let is_newer = |at: Option<Timestamp>| at.is_some_and(|at| at > self.planned_at);
        there.odd.is_none()
            && tags == planned.tags.iter().collect()
            && there.status != ImageStatus::Activating
            && archived == planned.rule.is_archived()
            && !is_newer(there.pushed_at)
            && !is_newer(there.activated_at)
    }

    fn skip(&mut self, digest: &ImageDigest, why: &str) {
        self.outcomes.insert(digest.clone(), ImageOutcome::Skipped { why: why.to_owned() });
    }

    /// Saves the manifests. Returns the images without a manifest, each with ECR's error code.
    async fn keep_manifests(
        &self,
        marked: &BTreeMap<&ImageDigest, &Planned>,
        digests: &[ImageDigest],
        name: &str,
    ) -> Result<Vec<(ImageDigest, String)>, RetentionError> {
        if digests.is_empty() {
            return Ok(Vec::new());
        }
        let (manifests, refused) = self.manifests(digests).await?;
        let kept = |manifest: &'_ Manifest| -> Option<serde_json::Value> {
            let kept = Kept {
                image_digest: &manifest.digest,
                image_tags: marked.get(&manifest.digest).map_or(&[], |one| one.tags.as_slice()),
                image_manifest_media_type: &manifest.media_type,
                image_manifest: &manifest.bytes,
            };
            serde_json::to_value(kept).ok()
        };
        let kept: Vec<_> = manifests.iter().filter_map(kept).collect();
        if !kept.is_empty() {
            // Each attempt uses a new key, so that it does not overwrite the manifests of an
            // earlier attempt.
            let at = now().as_millisecond();
            self.work.put(&format!("manifests/{name}-{at}.json"), &kept).await?;
        }
        Ok(refused)
    }

    /// Reads the manifests. If ECR refuses the whole call because of one image, reads each manifest
    /// with its own call.
    async fn manifests(
        &self,
        digests: &[ImageDigest],
    ) -> Result<(Vec<Manifest>, Vec<(ImageDigest, String)>), RetentionError> {
        let (ecr, repository) = (&self.work.clients.ecr, self.work.repository);
        match ecr.manifests(repository, digests).await {
            Err(error) if !error.is_retryable() => {}
            all => return Ok(all?),
        }
        let (mut manifests, mut refused) = (Vec::new(), Vec::new());
        for digest in digests {
            match ecr.manifests(repository, std::slice::from_ref(digest)).await {
                Ok((one, none)) => {
                    manifests.extend(one);
                    refused.extend(none);
                }
                Err(error) if error.is_retryable() => return Err(error.into()),
                Err(_) => refused.push((digest.clone(), "Unreadable".to_owned())),
            }
        }
        Ok((manifests, refused))
    }

    async fn delete(&mut self, digests: &[ImageDigest]) -> Result<(), RetentionError> {
        let clients = self.work.clients;
        let application = &self.work.run.application;
        let done = clients.without_retries.delete(self.work.repository, digests).await?;
        let mut failed: BTreeMap<ImageDigest, ImageOutcome> = BTreeMap::new();
        for failure in done.failures {
            let Some(digest) = failure.digest else { continue };
            failed.insert(digest, ImageOutcome::Refused { code: failure.code, why: failure.reason });
        }
        let mut outcomes = Vec::new();
        for digest in digests {
            let outcome = match failed.remove(digest) {
                _ if done.digests.contains(digest) => ImageOutcome::Deleted,
                // Another caller or an earlier attempt of this run has already deleted the image.
                Some(ImageOutcome::Refused { code, .. }) if code == "ImageNotFound" => ImageOutcome::Deleted,
                Some(refused) => refused,
                None => ImageOutcome::Refused {
                    code: "Unanswered".to_owned(),
                    why: "ECR did not say whether it was deleted".to_owned(),
                },
            };
            outcomes.push((digest.clone(), outcome));
        }
        // While an image is marked, no new build of the image appears.
        let builds = &clients.table.known_builds(application, digests).await?;
        let settled = stream::iter(outcomes).map(|(digest, outcome)| async move {
            match outcome {
                ImageOutcome::Deleted if builds.contains(&digest) => {
                    clients.table.was_deleted(application, &digest).await?;
                }
                _ => clients.table.unmark(application, &digest).await?,
            }
            Ok::<_, RetentionError>((digest, outcome))
        });
        let settled: Vec<_> = settled.buffer_unordered(MARKS_AT_ONCE).try_collect().await?;
        self.outcomes.extend(settled);
        Ok(())
    }

    /// Archives images. An image remains in `marked` if the next attempt may archive it.
    async fn archive(
        &mut self,
        digests: Vec<ImageDigest>,
        marked: &mut BTreeMap<&'a ImageDigest, &'a Planned>,
    ) -> Result<(), RetentionError> {
        let (clients, repository) = (self.work.clients, self.work.repository);
        let application = &self.work.run.application;
        let archived = stream::iter(digests).map(|digest| async move {
            let archived =
                clients.without_retries.set_storage_class(repository, &digest, StorageClass::Archive).await;
            let outcome = match archived {
                Ok(()) => ImageOutcome::Archived,
                Err(error) => match error.of_one_image() {
                    Some(code) => ImageOutcome::Refused { code: code.to_owned(), why: error.to_string() },
                    None => return Ok(Err(error.into())),
                },
            };
            clients.table.unmark(application, &digest).await?;
            Ok::<_, RetentionError>(Ok((digest, outcome)))
        });
        let archived: Vec<_> = archived.buffer_unordered(ARCHIVED_AT_ONCE).try_collect().await?;
        let mut failed = None;
        for one in archived {
            match one {
                Ok((digest, outcome)) => {
                    marked.remove(&digest);
                    self.outcomes.insert(digest, outcome);
                }
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Removes a tag and keeps its image. If other callers remove the other tags at the same
    /// moment, ECR deletes the image. In this case, the run pushes the image again with this tag.
    /// This is safe, because only Stablepin moves this tag.
    async fn untag(&mut self, digest: &ImageDigest, tag: &ImageTag) -> Result<(), RetentionError> {
        let (ecr, repository) = (&self.work.clients.ecr, self.work.repository);
        let manifest = ecr.image(repository, &[ImageId::from(digest)]).await?.pop();
        if self.work.clients.without_retries.untag(repository, tag, digest).await? != Untag::Untagged {
            return Ok(());
        }
        let untagged =
            self.outcomes.entry(digest.clone()).or_insert(ImageOutcome::Untagged { tags: Vec::new() });
        if let ImageOutcome::Untagged { tags } = untagged {
            tags.push(tag.clone());
        }
        let is_there = !ecr.describe_some(repository, std::slice::from_ref(digest)).await?.is_empty();
        if let (false, Some(manifest)) = (is_there, manifest) {
            tracing::error!(
                repository.name = %repository,
                "{tag} was the last tag of {digest} after all: restoring the image"
            );
            ecr.put_tag(repository, &manifest, tag).await?;
        }
        Ok(())
    }
}
