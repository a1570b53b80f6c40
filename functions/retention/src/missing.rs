//! Checks after a run that every image and tag that the run had to keep still exists.

use std::collections::{BTreeMap, BTreeSet};

use stablepin_aws::ecr::ImageStatus;
use stablepin_retention_rules::inventory::StorageState;
use stablepin_retention_rules::plan::Plan;
use stablepin_rules::application::Application;
use stablepin_rules::image::{ImageDigest, ImageTag};

use crate::RetentionError;
use crate::read::Read;
use crate::repository_work::RepositoryWork;

impl RepositoryWork<'_> {
    /// Lists the images, pins and stable tags that the run had to keep, but that are missing now.
    /// An archived image counts as missing if ECR could deliver it before the run. An image that
    /// was missing before the run does not count.
    pub(crate) async fn missing(
        &self,
        application: &Application,
        plan: &Plan,
        read: &Read,
    ) -> Result<Vec<String>, RetentionError> {
        let could_be_pulled: BTreeSet<&ImageDigest> = read
            .inventory
            .images
            .iter()
            .filter(|image| !matches!(image.status, StorageState::Archived(_)))
            .map(|image| &image.digest)
            .collect();
        let found = self.clients.ecr.inventory(self.repository).await?;
        let there: BTreeMap<&ImageDigest, ImageStatus> =
            found.images.iter().map(|one| (&one.digest, one.status)).collect();
        let tags: BTreeMap<&ImageTag, &ImageDigest> =
            found.images.iter().flat_map(|image| image.tags.iter().map(|tag| (tag, &image.digest))).collect();
        let mut missing = BTreeSet::new();
        for one in plan.images.iter().filter(|one| one.rule.is_needed() && one.fate.wave().is_none()) {
            match there.get(&one.digest) {
                Some(ImageStatus::Archived) if could_be_pulled.contains(&one.digest) => {
                    missing.insert(format!("{} is archived ({})", one.digest, one.why));
                }
                Some(_) => {}
                None => drop(missing.insert(format!("{} ({})", one.digest, one.why))),
            }
        }
        for (name, environment) in self.clients.table.environments_of(&self.run.application).await? {
            let Some(pin) = environment.pin else { continue };
            match there.get(&pin.digest) {
                _ if !could_be_pulled.contains(&pin.digest) => {}
                Some(ImageStatus::Active | ImageStatus::Activating) => {}
                Some(ImageStatus::Archived) => {
                    missing.insert(format!("{}, the pin of {name}, is archived", pin.digest));
                }
                None => drop(missing.insert(format!("{}, the pin of {name}", pin.digest))),
            }
            // The stable tag may be missing while the promoter moves it to a new pin.
            let follows = environment.applied == Some(pin.number);
            let stable = application.environment(&name).map(|environment| &environment.stable_tag);
            if let Some(stable) = stable.filter(|_| follows)
                && !tags.contains_key(stable)
                && plan.images.iter().any(|one| one.tags.contains(stable))
            {
                missing.insert(format!("the tag {stable}"));
            }
        }
        Ok(missing.into_iter().collect())
    }
}
