//! Repositories with their settings and images.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::images::{Digest, StorageStatus, StoredImage};
use super::mutability::TagMutability;
use super::world::EcrWorld;
use crate::fake::clock::{epoch, mixed};
use crate::fake::input::{Answer, Input, Refused};
use crate::fake::pages::{Page, page};

/// The bytes of a layer or configuration.
#[derive(Clone)]
pub(super) struct Layer {
    pub(super) size: u64,
    /// The content. A layer that a test has described only by its size has none.
    pub(super) bytes: Option<Arc<[u8]>>,
    /// The number of images that name this layer.
    pub(super) images: u32,
    /// The number of those images that are not archived.
    pub(super) not_archived: u32,
}

#[derive(Clone)]
pub(super) struct Repository {
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) uri: String,
    pub(super) created_at: Timestamp,
    pub(super) mutability: TagMutability,
    pub(super) policy: Option<String>,
    pub(super) lifecycle: Option<String>,
    pub(super) images: HashMap<Digest, StoredImage>,
    pub(super) tags: HashMap<Arc<str>, Digest>,
    pub(super) layers: HashMap<Digest, Layer>,
    /// The indexes that contain a manifest.
    pub(super) parents: HashMap<Digest, BTreeSet<Digest>>,
    /// The referrers of a subject, even if the subject does not exist.
    pub(super) referrers: HashMap<String, BTreeSet<Digest>>,
    /// The order of lists, which follows neither time nor name.
    order: BTreeSet<ListPosition>,
    seed: u64,
}

/// The position of an image in lists.
pub(super) type ListPosition = (u64, Digest);

impl Repository {
    /// Returns the position of a digest. It stays valid after the image is deleted.
    pub(super) fn place(&self, digest: &Digest) -> ListPosition {
        let number = digest.get(7..23).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        (mixed(number.unwrap_or_default() ^ self.seed), Arc::clone(digest))
    }

    /// Returns images from a position on, in the order of lists.
    pub(super) fn listed(&self, from: Bound<&ListPosition>) -> impl Iterator<Item = &StoredImage> {
        self.order.range((from, Bound::Unbounded)).filter_map(|(_, digest)| self.images.get(digest))
    }

    pub(super) fn shuffle(&mut self, seed: u64) {
        self.seed = seed;
        self.order = self.images.keys().map(|digest| self.place(digest)).collect();
    }

    /// Adds an image. Its layers and children must exist.
    pub(super) fn add(&mut self, image: StoredImage) {
        let digest = Arc::clone(&image.digest);
        for blob in &image.blobs {
            if let Some(layer) = self.layers.get_mut(blob) {
                layer.images += 1;
                layer.not_archived += u32::from(image.status != StorageStatus::Archived);
            }
        }
        for child in &image.children {
            self.parents.entry(Arc::clone(child)).or_default().insert(Arc::clone(&digest));
        }
        if let Some(subject) = &image.subject {
            self.referrers.entry(subject.clone()).or_default().insert(Arc::clone(&digest));
        }
        for tag in &image.tags {
            self.tags.insert(Arc::clone(tag), Arc::clone(&digest));
        }
        self.order.insert(self.place(&digest));
        self.images.insert(digest, image);
    }

    /// Removes an image and all its tags. Its referrers stay.
    /// Assumption: layers that no other image has are removed at once.
    pub(super) fn remove(&mut self, digest: &Digest) -> Option<StoredImage> {
        let image = self.images.remove(digest)?;
        self.order.remove(&self.place(digest));
        for tag in &image.tags {
            self.tags.remove(tag);
        }
        for child in &image.children {
            if let Some(parents) = self.parents.get_mut(child) {
                parents.remove(digest);
                if parents.is_empty() {
                    self.parents.remove(child);
                }
            }
        }
        if let Some(all) = image.subject.as_ref().and_then(|subject| self.referrers.get_mut(subject)) {
            all.remove(digest);
        }
        for blob in &image.blobs {
            let Some(layer) = self.layers.get_mut(blob) else { continue };
            layer.images -= 1;
            layer.not_archived -= u32::from(image.status != StorageStatus::Archived);
            if layer.images == 0 {
                self.layers.remove(blob);
            }
        }
        Some(image)
    }

    /// Puts a tag on an existing image. The image that loses the tag stays, even without tags.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-retag.html>
    pub(super) fn tag(&mut self, tag: &str, digest: &Digest) {
        let tag: Arc<str> = Arc::from(tag);
        self.untag(&tag);
        if let Some(image) = self.images.get_mut(digest) {
            image.tags.insert(Arc::clone(&tag));
            self.tags.insert(tag, Arc::clone(digest));
        }
    }

    /// Removes a tag. The image stays.
    pub(super) fn untag(&mut self, tag: &str) -> Option<Digest> {
        let digest = self.tags.remove(tag)?;
        if let Some(image) = self.images.get_mut(&digest) {
            image.tags.remove(tag);
        }
        Some(digest)
    }

    pub(super) fn set_status(&mut self, digest: &Digest, status: StorageStatus) {
        let Some(image) = self.images.get_mut(digest) else { return };
        let (was, is) = (image.status == StorageStatus::Archived, status == StorageStatus::Archived);
        image.status = status;
        for blob in &image.blobs {
            if let Some(layer) = self.layers.get_mut(blob) {
                layer.not_archived = layer.not_archived + u32::from(was) - u32::from(is);
            }
        }
    }

    /// Whether an index of this repository names the digest.
    pub(super) fn is_child(&self, digest: &Digest) -> bool {
        self.parents.contains_key(digest)
    }

    fn described(&self, account: &str) -> Value {
        let mut shown = json!({
            "repositoryArn": self.arn,
            "registryId": account,
            "repositoryName": self.name,
            "repositoryUri": self.uri,
            "createdAt": epoch(self.created_at),
            "imageTagMutability": self.mutability.name(),
            "imageScanningConfiguration": { "scanOnPush": false },
            "encryptionConfiguration": { "encryptionType": "AES256" },
        });
        // Assumption: the member is left out if there are no filters.
        if !self.mutability.filters().is_empty() {
            shown["imageTagMutabilityExclusionFilters"] = self.mutability.described();
        }
        shown
    }
}

/// The page sizes of the list of repositories. `NAMES` is the most names in one call.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeRepositories.html>
const PAGE: Page = Page { default: 100, greatest: 1000 };
const NAMES: usize = 100;

impl EcrWorld {
    pub(super) fn create(&mut self, name: &str, mutability: TagMutability) -> &mut Repository {
        let repository = Repository {
            name: name.to_owned(),
            arn: format!("arn:aws:ecr:{}:{}:repository/{name}", self.region, self.account),
            uri: format!("{}.dkr.ecr.{}.amazonaws.com/{name}", self.account, self.region),
            created_at: self.clock.stamp(),
            mutability,
            policy: None,
            lifecycle: None,
            images: HashMap::new(),
            tags: HashMap::new(),
            layers: HashMap::new(),
            parents: HashMap::new(),
            referrers: HashMap::new(),
            order: BTreeSet::new(),
            seed: self.seed,
        };
        self.repositories.insert(name.to_owned(), repository);
        self.repositories.get_mut(name).expect("the repository was just inserted")
    }

    /// Returns the repository that a request names. The request may also name the registry.
    pub(super) fn of<'w>(&'w mut self, input: &Input<'_>) -> Result<&'w mut Repository, Refused> {
        let name = input.needed("repositoryName")?;
        let registry = self.registry(input)?.to_owned();
        match self.repositories.get_mut(name) {
            Some(repository) if registry == self.account => Ok(repository),
            _ => Err(repository_not_found(name, &registry)),
        }
    }

    fn registry<'a>(&'a self, input: &Input<'a>) -> Result<&'a str, Refused> {
        Ok(input.text("registryId")?.unwrap_or(&self.account))
    }

    /// Creates a repository.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html>
    pub(super) fn create_repository(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&[
            "registryId",
            "repositoryName",
            "imageTagMutability",
            "imageTagMutabilityExclusionFilters",
        ])?;
        let name = input.needed("repositoryName")?;
        if !is_repository_name(name) {
            return Err(Refused::parameter(format!("Invalid parameter at 'repositoryName': {name}")));
        }
        let mutability = TagMutability::read(input)?;
        if self.repositories.contains_key(name) {
            let registry = &self.account;
            let message = format!(
                "The repository with name '{name}' already exists in the registry with id '{registry}'"
            );
            return Err(Refused::new(400, "RepositoryAlreadyExistsException", message));
        }
        let account = self.account.clone();
        Ok(json!({ "repository": self.create(name, mutability).described(&account) }))
    }

    /// Deletes a repository. A repository with images needs `force`.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DeleteRepository.html>
    pub(super) fn delete_repository(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["registryId", "repositoryName", "force"])?;
        let force = input.flag("force")?;
        let account = self.account.clone();
        let repository = self.of(input)?;
        if !force && !repository.images.is_empty() {
            let message = format!("The repository with name '{}' still contains images", repository.name);
            return Err(Refused::new(400, "RepositoryNotEmptyException", message));
        }
        let (name, shown) = (repository.name.clone(), repository.described(&account));
        // No event is documented for the images of a deleted repository.
        self.repositories.remove(&name);
        Ok(json!({ "repository": shown }))
    }

    /// Lists repositories by name. The documentation promises no order.
    pub(super) fn describe_repositories(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["registryId", "repositoryNames", "nextToken", "maxResults"])?;
        let account = self.account.clone();
        let names = input.texts("repositoryNames")?;
        if input.get("repositoryNames").is_some() {
            if input.get("nextToken").is_some() || input.get("maxResults").is_some() {
                return Err(Refused::parameter("repositoryNames cannot be used with pages."));
            }
            if names.is_empty() || names.len() > NAMES {
                return Err(Refused::parameter(format!("repositoryNames must have 1 to {NAMES} items.")));
            }
        }
        let registry = self.registry(input)?.to_owned();
        if registry != self.account {
            let name = names.first().copied().unwrap_or_default();
            return Err(repository_not_found(name, &registry));
        }
        if names.is_empty() {
            let all = self.repositories.values().map(|one| one.described(&account)).collect();
            return page(input, "repositories", all, &PAGE);
        }
        let one = |name: &&str| match self.repositories.get(*name) {
            Some(repository) => Ok(repository.described(&account)),
            None => Err(repository_not_found(name, &account)),
        };
        let found = names.iter().map(one).collect::<Result<Vec<_>, _>>()?;
        Ok(json!({ "repositories": found }))
    }

    /// Changes the tag mutability of a repository.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImageTagMutability.html>
    pub(super) fn put_image_tag_mutability(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&[
            "registryId",
            "repositoryName",
            "imageTagMutability",
            "imageTagMutabilityExclusionFilters",
        ])?;
        input.needed("imageTagMutability")?;
        let mutability = TagMutability::read(input)?;
        let account = self.account.clone();
        let repository = self.of(input)?;
        repository.mutability = mutability;
        let shown = repository.described(&account);
        let mut answer = json!({
            "registryId": account,
            "repositoryName": repository.name,
            "imageTagMutability": shown["imageTagMutability"],
        });
        if let Some(filters) = shown.get("imageTagMutabilityExclusionFilters") {
            answer["imageTagMutabilityExclusionFilters"] = filters.clone();
        }
        Ok(answer)
    }

    /// Returns the policy of the registry.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetRegistryPolicy.html>
    pub(super) fn get_registry_policy(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&[])?;
        match &self.policy {
            Some(policy) => Ok(json!({ "registryId": self.account, "policyText": policy })),
            None => {
                let message =
                    format!("Registry policy does not exist in the registry with id '{}'", self.account);
                Err(Refused::new(400, "RegistryPolicyNotFoundException", message))
            }
        }
    }

    /// Returns the policy of a repository.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetRepositoryPolicy.html>
    pub(super) fn get_repository_policy(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["registryId", "repositoryName"])?;
        let account = self.account.clone();
        let repository = self.of(input)?;
        let name = &repository.name;
        match &repository.policy {
            Some(policy) => {
                Ok(json!({ "registryId": account, "repositoryName": name, "policyText": policy }))
            }
            None => {
                let message = format!(
                    "Repository policy does not exist for the repository with name '{name}' in the registry with id '{account}'"
                );
                Err(Refused::new(400, "RepositoryPolicyNotFoundException", message))
            }
        }
    }

    /// Returns the lifecycle policy of a repository.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetLifecyclePolicy.html>
    pub(super) fn get_lifecycle_policy(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["registryId", "repositoryName"])?;
        let account = self.account.clone();
        let repository = self.of(input)?;
        let name = &repository.name;
        match &repository.lifecycle {
            Some(policy) => {
                Ok(json!({ "registryId": account, "repositoryName": name, "lifecyclePolicyText": policy }))
            }
            None => {
                let message = format!(
                    "Lifecycle policy does not exist for the repository with name '{name}' in the registry with id '{account}'"
                );
                Err(Refused::new(400, "LifecyclePolicyNotFoundException", message))
            }
        }
    }
}

pub(super) fn repository_not_found(name: &str, registry: &str) -> Refused {
    let message =
        format!("The repository with name '{name}' does not exist in the registry with id '{registry}'");
    Refused::new(400, "RepositoryNotFoundException", message)
}

/// Whether the name matches `(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*` and
/// has 2 to 256 characters.
fn is_repository_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let word = |word: &str| !word.is_empty() && word.bytes().all(plain);
    (2..=256).contains(&name.len()) && name.split(['/', '.', '_', '-']).all(word)
}
