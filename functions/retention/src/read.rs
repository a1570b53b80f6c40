//! Reads the inventory of one repository: its images, and everything that may need these images.
//! The result is complete, or it is an error that names the failed read.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use stablepin_aws::dynamodb::{Mark, TableError};
use stablepin_aws::ecr::{EcrError, FoundImage, ImageStatus, ListedImages};
use stablepin_reconciler::clock::now;
use stablepin_retention_rules::inventory::{
    Image, Images, Inventory, Need, NeededName, Needer, Pinned, StorageState, Tag,
};
use stablepin_retention_rules::pullers::{external_accounts, pullers};
use stablepin_rules::application::Application;
use stablepin_rules::application::Source;
use stablepin_rules::image::{ImageDigest, ImageReference, ImageTag, RepositoryName};
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::sweep::KnownTag;

use crate::RetentionClients;
use crate::in_use::{Account, InUseError, TaskDefinitions, Used, in_use};
use crate::manifests::{KnownManifests, ManifestsError};

/// The number of newest revisions of each task definition family. These revisions count as in use.
const NEWEST: usize = 3;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the table's records of its images could not be read")]
    Table(#[from] TableError),
    #[error(transparent)]
    Ecr(#[from] EcrError),
    #[error(transparent)]
    Manifests(#[from] ManifestsError),
    #[error(transparent)]
    InUse(#[from] InUseError),
}

impl ReadError {
    /// Returns whether a later read may succeed. Otherwise, a person must act.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Table(error) => error.is_retryable(),
            Self::Ecr(error) => error.is_retryable(),
            Self::Manifests(error) => error.is_retryable(),
            Self::InUse(error) => error.is_retryable(),
        }
    }
}

/// The inventory of a repository, its warnings, and the accounts and AWS services that the run did
/// not read.
pub(crate) struct Read {
    pub(crate) inventory: Inventory,
    pub(crate) warnings: Vec<String>,
    /// The other accounts that may pull, unless the application waives them. Stablepin cannot read
    /// which images these accounts use.
    pub(crate) external_accounts: BTreeSet<String>,
    /// The AWS services, such as EventBridge, that this run did not read, because the application
    /// waives them.
    pub(crate) waived: BTreeSet<Source>,
}

/// Clears the marks of interrupted runs and the references of ended operations, then reads the
/// inventory. An operation that ends during the read still counts. No result is older than `since`.
pub(crate) async fn read(
    clients: &RetentionClients,
    application: &Application,
    repository: &RepositoryName,
    since: Timestamp,
    known: &mut KnownManifests,
    cache: &mut TaskDefinitions,
) -> Result<Read, ReadError> {
    let mut needs = needs_of_operations(clients, &application.name).await?;
    let ListedImages { images: found, unnamed } = clients.ecr.inventory(repository).await?;
    known.read_indexes(&clients.ecr, &clients.without_retries, repository, &found).await?;
    let unread = known.unread().map(|digest| format!("the index {digest}"));
    let unread: Vec<String> =
        unread.chain(unnamed.iter().map(|written| format!("the image {written:?}"))).collect();
    let tags = clients.table.tags_of(&application.name, repository).await?;
    needs.extend(needs_of_unanswered_pushes(application, &found, &tags));
    let tagged = clients.table.tagged_of(&application.name, repository).await?;
    let images: Vec<Image> = found.into_iter().map(|one| image(one, &tags, &tagged, known)).collect();

    let pins = clients.table.pins_of_all(&application.name).await?;
    for (name, environment) in clients.table.environments_of(&application.name).await? {
        if let Some(current) = environment.current {
            needs.push(Need { image: NeededName::Digest(current.digest), by: Needer::Current(name.clone()) });
        }
        if let Some(slot) = environment.slot {
            let by = Needer::Operation(format!("the rollout {} to {name}", slot.operation));
            needs.push(Need { image: NeededName::Digest(slot.digest), by });
        }
    }
    let waived = application.retention.waived_sources();
    let account =
        Account { ecs: &clients.ecs, lambda: &clients.lambda, sources: &clients.sources, waived: &waived };
    for used in in_use(account, NEWEST, since, now(), cache).await? {
        needs.extend(needs_of_workload(used, repository));
    }

    let mut warnings = Vec::new();
    let policy = clients.ecr.repository_policy(repository).await?;
    // The registry policy grants access in addition to the repository policy.
    // <https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry-permissions.html>
    let of_all = clients.ecr.registry_policy().await?;
    let anybody = || BTreeSet::from(["*".to_owned()]);
    let named = [policy, of_all].into_iter().flatten();
    let named =
        named.flat_map(|policy| pullers(&policy, &clients.account, repository).unwrap_or_else(anybody));
    let external_accounts = external_accounts(&named.collect(), &application.retention.waive);
    if !external_accounts.is_empty() {
        warnings.push(warning(&external_accounts));
    }
    if clients.ecr.lifecycle_policy(repository).await?.is_some() {
        warnings.push(
            "the repository has a lifecycle policy: ECR then deletes images that Stablepin keeps; remove it"
                .to_owned(),
        );
    }
    warnings.extend(unread.iter().map(|unread| {
        format!(
            "{unread} is not understood: it is kept, with every image that has no tag. Delete or restore it"
        )
    }));
    let is_here = |name: &EnvironmentName| {
        application.environment(name).is_none_or(|environment| environment.repository == *repository)
    };
    let pins_here: Vec<_> = pins.iter().filter(|(name, ..)| is_here(name)).cloned().collect();
    warnings.extend(absent_pins(&pins_here, &images));
    let pins = pins
        .into_iter()
        .map(|(environment, number, digest)| Pinned { environment, number, digest })
        .collect();
    let was_live = clients.table.was_live(&application.name).await?;
    let images = Images::new(images);
    let inventory = Inventory { repository: repository.clone(), images, pins, needs, was_live, unread };
    Ok(Read { inventory, warnings, external_accounts, waived })
}

/// Returns the warning that other accounts may pull although the application does not waive these
/// accounts.
pub(crate) fn warning(external_accounts: &BTreeSet<String>) -> String {
    let who: Vec<_> = external_accounts.iter().map(String::as_str).collect();
    format!(
        "the repository's policy, or the registry's, lets {} pull, and Stablepin cannot read what they use: \
         it deletes nothing. Protect their images yourself, and write them in retention.waive",
        who.join(", ")
    )
}

/// Lists the newest pins with a missing or archived image: no rollback can use such a pin.
fn absent_pins(pins: &[(EnvironmentName, PinNumber, ImageDigest)], images: &[Image]) -> Vec<String> {
    let mut newest: BTreeMap<&EnvironmentName, (PinNumber, &ImageDigest)> = BTreeMap::new();
    for (environment, number, digest) in pins {
        let there = newest.entry(environment).or_insert((*number, digest));
        *there = (*there).max((*number, digest));
    }
    let status = |digest: &ImageDigest| images.iter().find(|one| one.digest == *digest).map(|one| one.status);
    let wrong = newest.into_iter().filter_map(|(environment, (number, digest))| {
        let how = match status(digest) {
            Some(StorageState::Active | StorageState::Activating) => return None,
            Some(StorageState::Archived(_)) => "is archived: restore it, or no rollback to it is possible",
            None => "is not in the repository: no rollback to it is possible",
        };
        Some(format!("{digest}, pin {} of {environment}, {how}", number.get()))
    });
    wrong.collect()
}

/// Clears the marks of an earlier run that was interrupted or gave up. Returns all marks as they
/// were before this call.
///
/// The caller has the lock of the application's images, so no other run deletes images.
pub(crate) async fn clear_marks(
    clients: &RetentionClients,
    application: &ApplicationName,
) -> Result<Vec<Mark>, TableError> {
    let marks = clients.table.marks(application).await?;
    for mark in marks.iter().filter(|mark| mark.marked_by.is_some()) {
        clients.table.was_deleted(application, &mark.digest).await?;
    }
    Ok(marks)
}

/// Returns the images that open operations need. Clears the references of ended operations and the
/// marks of interrupted runs.
async fn needs_of_operations(
    clients: &RetentionClients,
    application: &ApplicationName,
) -> Result<Vec<Need>, TableError> {
    let marks = clear_marks(clients, application).await?;
    let operations: Vec<_> = marks.iter().flat_map(|mark| mark.needed_by.iter().copied()).collect();
    let ended = clients.table.ended(application, &operations).await?;
    let mut needs = Vec::new();
    for mark in marks {
        let (over, open): (BTreeSet<_>, BTreeSet<_>) =
            mark.needed_by.into_iter().partition(|operation| ended.contains(operation));
        clients.table.release(application, &mark.digest, &over).await?;
        needs.extend(open.into_iter().map(|operation| Need {
            image: NeededName::Digest(mark.digest.clone()),
            by: Needer::Operation(operation.to_string().to_lowercase().replace('#', " ")),
        }));
    }
    Ok(needs)
}

/// Returns the images of pushes that the tagger has not handled yet. The sweep will handle these
/// pushes, and will need their images then.
fn needs_of_unanswered_pushes(
    application: &Application,
    found: &[FoundImage],
    tags: &HashMap<ImageTag, KnownTag>,
) -> Vec<Need> {
    let is_open = |image: &FoundImage, tag: &ImageTag| {
        let Some(known) = tags.get(tag) else { return false };
        let told = known.unanswered.as_ref().is_some_and(|(digest, _)| *digest == image.digest);
        let elsewhere = known.followed.as_ref().is_some_and(|(digest, _)| *digest != image.digest);
        let is_build = application.builds.matches(tag);
        told || (elsewhere && is_build && !known.intents.contains(&image.digest))
    };
    let need = |image: &FoundImage, tag: &ImageTag| Need {
        image: NeededName::Digest(image.digest.clone()),
        by: Needer::Operation(format!("the push of {tag}, which is not handled yet,")),
    };
    let of = |image: &FoundImage| {
        let open = image.tags.iter().find(|tag| is_open(image, tag));
        open.map(|tag| need(image, tag))
    };
    found.iter().filter_map(of).collect()
}

fn image(
    found: FoundImage,
    tags: &HashMap<ImageTag, KnownTag>,
    tagged: &HashMap<ImageTag, (ImageDigest, Timestamp)>,
    known: &KnownManifests,
) -> Image {
    let ours = |tag: &ImageTag| tags.get(tag).is_some_and(|known| known.intents.contains(&found.digest));
    let tagged_at = |tag: &ImageTag| {
        let by_push = tags.get(tag).and_then(|known| known.pushed_at(&found.digest));
        let tagged = tagged.get(tag).filter(|(digest, _)| *digest == found.digest);
        by_push.max(tagged.map(|(_, at)| *at))
    };
    let read = |tag: &ImageTag| Tag { tag: tag.clone(), ours: ours(tag), tagged_at: tagged_at(tag) };
    Image {
        tags: found.tags.iter().map(read).collect(),
        pushed_at: found.pushed_at,
        activated_at: found.activated_at,
        status: match found.status {
            ImageStatus::Active => StorageState::Active,
            ImageStatus::Archived => StorageState::Archived(found.archived_at),
            ImageStatus::Activating => StorageState::Activating,
        },
        size_bytes: found.size_bytes,
        children: known.children(&found.digest).to_vec(),
        subject: found.subject,
        odd: found.odd.map(|odd| odd.0.into_boxed_str()).or_else(|| known.odd(&found.digest).map(Box::from)),
        digest: found.digest,
    }
}

/// Returns the images that a workload needs in this repository. Ignores the registry's host name,
/// since an unnecessary entry does no harm.
fn needs_of_workload(used: Used, repository: &RepositoryName) -> Vec<Need> {
    let mut named = Vec::new();
    let reference = used.image.as_deref().map(ImageReference::parse);
    if let Some(reference) = reference.filter(|reference| reference.path == repository.as_str()) {
        let digest = reference.digest.and_then(|digest| ImageDigest::parse(&digest).ok());
        let tag = match (reference.tag, &digest) {
            (Some(tag), _) => Some(tag),
            (None, Some(_)) => None,
            (None, None) => Some("latest".to_owned()),
        };
        named.extend(digest.map(NeededName::Digest));
        named.extend(tag.and_then(|tag| ImageTag::parse(&tag).ok()).map(NeededName::Tag));
    }
    // A digest means the same image in every registry.
    named.extend(used.digest.map(NeededName::Digest));
    named.dedup();
    named.into_iter().map(|image| Need { image, by: Needer::Workload(used.by.clone()) }).collect()
}

pub(crate) fn listed_digests(read: &Read) -> BTreeSet<&ImageDigest> {
    read.inventory.images.iter().map(|image| &image.digest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(image: &str, digest: Option<&str>) -> Vec<String> {
        let used = Used {
            by: "task 1".to_owned(),
            image: Some(image.to_owned()),
            digest: digest.map(|digest| ImageDigest::parse(digest).unwrap()),
        };
        let repository = RepositoryName::parse("prod/web").unwrap();
        let name = |need: Need| match need.image {
            NeededName::Digest(digest) => digest.hex()[..4].to_owned(),
            NeededName::Tag(tag) => tag.to_string(),
        };
        needs_of_workload(used, &repository).into_iter().map(name).collect()
    }

    #[test]
    fn workload_needs_its_named_and_its_resolved_image() {
        let digest = |letter: &str| format!("sha256:{}", letter.repeat(64));
        let host = "111122223333.dkr.ecr.eu-west-1.amazonaws.com";
        assert_eq!(needs(&format!("{host}/prod/web:v1"), None), ["v1"]);
        assert_eq!(needs(&format!("{host}/prod/web"), None), ["latest"]);
        assert_eq!(needs(&format!("{host}/prod/web:v1@{}", digest("a")), None), ["aaaa", "v1"]);
        assert_eq!(needs(&format!("{host}/prod/web@{}", digest("a")), Some(&digest("b"))), ["aaaa", "bbbb"]);
        assert_eq!(needs("localhost:5000/prod/web:v1", None), ["v1"]);
        assert_eq!(needs(&format!("{host}/other:v1"), None), Vec::<String>::new());
        assert_eq!(needs("nginx", Some(&digest("c"))), ["cccc"]);
    }
}
