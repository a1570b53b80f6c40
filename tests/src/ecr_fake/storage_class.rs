//! UpdateImageStorageClass archives and restores images.
//! <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_UpdateImageStorageClass.html>

use jiff::SignedDuration;
use serde_json::json;

use super::image_id::{Id, image_not_found};
use super::images::{Digest, StorageStatus};
use super::world::EcrWorld;
use crate::fake::input::{Answer, Input, Refused};

/// The duration of a restore. ECR restores an image within 20 minutes. The fake always takes 20
/// minutes.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/archive_restore_image.html>
const RESTORE: SignedDuration = SignedDuration::from_mins(20);

impl EcrWorld {
    pub(super) fn update_image_storage_class(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["registryId", "repositoryName", "imageId", "targetStorageClass"])?;
        let account = self.account.clone();
        let repository = self.of(input)?;
        let name = repository.name.clone();
        let Some(id) = input.get("imageId").map(Id::read).transpose()? else {
            return Err(Refused::parameter("imageId cannot be empty."));
        };
        input.needed("targetStorageClass")?;
        let archive = input.one_of("targetStorageClass", &["STANDARD", "ARCHIVE"])? == Some("ARCHIVE");
        let digest = id.find(repository).map_err(|failure| match failure.code {
            "ImageNotFound" | "ImageTagDoesNotMatchDigest" => image_not_found(id.value, &name, &account),
            _ => Refused::parameter(failure.reason),
        })?;
        let status = if archive { self.archive(&name, &digest)? } else { self.restore(&name, &digest)? };
        let mut named = json!({ "imageDigest": &*digest });
        if let Some(tag) = id.tag {
            named["imageTag"] = tag.into();
        }
        Ok(json!({
            "registryId": account,
            "repositoryName": name,
            "imageId": named,
            "imageStatus": status.name(),
        }))
    }

    /// Archives an image. ECR refuses to archive a child of an active image index. Assumption: when
    /// ECR archives an image index, the children remain active.
    pub(super) fn archive(&mut self, name: &str, digest: &Digest) -> Result<StorageStatus, Refused> {
        let now = self.clock.stamp();
        let repository = self.repositories.get_mut(name).expect("the caller has found the repository");
        let parents = repository.parents.get(digest).into_iter().flatten();
        let active = |parent: &&Digest| {
            repository.images.get(&***parent).is_some_and(|image| image.status != StorageStatus::Archived)
        };
        if let Some(parent) = { parents }.find(active) {
            return Err(not_supported(format!("the image is referenced by the manifest list {parent}")));
        }
        // Assumption: ECR archives only active images.
        if repository.images[digest].status != StorageStatus::Active {
            return Err(not_supported(format!("the image is {}", repository.images[digest].status.name())));
        }
        repository.set_status(digest, StorageStatus::Archived);
        repository.images.get_mut(digest).expect("the image was found above").archived_at = Some(now);
        self.tell_of_storage_class(name, digest, "ARCHIVE");
        Ok(StorageStatus::Archived)
    }

    fn restore(&mut self, name: &str, digest: &Digest) -> Result<StorageStatus, Refused> {
        let at = self.clock.stamp() + RESTORE;
        let repository = self.repositories.get_mut(name).expect("the caller has found the repository");
        if repository.images[digest].status != StorageStatus::Archived {
            return Err(not_supported(format!("the image is {}", repository.images[digest].status.name())));
        }
        repository.set_status(digest, StorageStatus::Activating);
        repository.images.get_mut(digest).expect("the image was found above").active_from = Some(at);
        self.restoring.push((name.to_owned(), Digest::clone(digest)));
        Ok(StorageStatus::Activating)
    }

    pub(super) fn time_passes(&mut self, time: SignedDuration) {
        self.clock.time_passes(time);
        let now = self.clock.now();
        let mut done = Vec::new();
        let repositories = &mut self.repositories;
        self.restoring.retain(|(name, digest)| {
            let Some(repository) = repositories.get_mut(name) else { return false };
            let Some(image) = repository.images.get_mut(digest) else { return false };
            let due = image.active_from.is_none_or(|at| at <= now);
            if due {
                image.activated_at = image.active_from.take();
                repository.set_status(digest, StorageStatus::Active);
                done.push((name.clone(), Digest::clone(digest)));
            }
            !due
        });
        for (name, digest) in done {
            self.tell_of_storage_class(&name, &digest, "STANDARD");
        }
    }
}

fn not_supported(why: String) -> Refused {
    let message = format!("The requested image storage class update is not supported: {why}");
    Refused::new(400, "ImageStorageClassUpdateNotSupportedException", message)
}
