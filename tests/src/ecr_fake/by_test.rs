//! The interface through which a test changes and inspects the fake, without HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::images::{Digest, PushedAt, StorageStatus, StoredImage};
use super::mount::Encryption;
use super::mutability::TagMutability;
use super::new_image::{LayerNames, NewImage};
use super::pause::{Pause, PausedCall};
use super::repository::{Layer, StoredRepository};
use super::throttle::TABLE;
use super::uploads::PartSizes;
use super::world::{EcrCall, EcrFault, EcrWorld, Every};
use crate::fake::buckets::Buckets;
use crate::fake::input::Refused;

/// A handle through which a test changes and inspects the fake.
#[derive(Clone)]
pub struct Ecr(Arc<Mutex<EcrWorld>>);

impl Ecr {
    pub(super) fn new(world: EcrWorld) -> Self {
        Self(Arc::new(Mutex::new(world)))
    }

    pub(super) fn world(&self) -> MutexGuard<'_, EcrWorld> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a repository without images.
    #[track_caller]
    pub fn creates(&self, name: &str, mutability: TagMutability) -> Repository {
        let mut world = self.world();
        assert!(!world.repositories.contains_key(name), "there is a repository {name}");
        world.create(name, mutability);
        Repository { ecr: self.clone(), name: name.to_owned() }
    }

    /// Returns an existing repository.
    #[track_caller]
    pub fn repository(&self, name: &str) -> Repository {
        assert!(self.world().repositories.contains_key(name), "there is no repository {name}");
        Repository { ecr: self.clone(), name: name.to_owned() }
    }

    /// Changes the order of lists. Stablepin's programs must not depend on the order, since ECR's
    /// documentation promises no order.
    pub fn shuffles(&self, seed: u64) {
        let mut world = self.world();
        world.seed = seed;
        world.repositories.values_mut().for_each(|repository| repository.shuffle(seed));
    }

    /// Limits pages of images to this size, even if a request asks for larger pages.
    pub fn has_pages_of(&self, images: usize) {
        self.world().greatest_page = Some(images);
    }

    /// Sets the sizes of layer parts in bytes. `least` is the minimum of all parts of a layer but
    /// the last. `greatest` is the maximum, and the `partSize` of InitiateLayerUpload.
    pub fn has_layer_parts_of(&self, least: usize, greatest: usize) {
        self.world().part_sizes = PartSizes { least, greatest };
    }

    /// Enables blob mounting in the account.
    pub fn mounts_blobs(&self) {
        self.world().mounts_blobs = true;
    }

    pub fn now(&self) -> Timestamp {
        self.world().clock.now()
    }

    pub fn time_passes(&self, time: SignedDuration) {
        self.world().time_passes(time);
    }

    /// Registers the principal that owns an access key.
    pub fn knows_key(&self, access_key: &str, principal_arn: &str) {
        self.world().principals.insert(access_key.to_owned(), principal_arn.to_owned());
    }

    /// Sets or removes the policy of the whole registry.
    pub fn has_registry_policy(&self, text: Option<&str>) {
        self.world().policy = text.map(str::to_owned);
    }

    /// Starts to throttle calls at ECR's documented rates, by the fake's clock.
    pub fn throttles(&self) {
        let mut world = self.world();
        world.buckets = Some(Buckets::full(TABLE, world.clock.now()));
    }

    /// Throttles each `number`-th call, counted over all operations. A throttled call has no
    /// effect.
    pub fn throttles_every(&self, number: usize) {
        self.world().every = Some(Every { number, count: 0 });
    }

    /// Lets one call of an operation fail with an error and without any effect. `number` 1 means
    /// the next call of the operation.
    pub fn fails(&self, operation: &str, number: usize, status: u16, kind: &str) {
        self.fault(operation, number, false, status, kind);
    }

    /// Lets one call and all later calls of an operation fail with an error. `number` 1 means that
    /// the next call is the first to fail.
    pub fn keeps_failing(&self, operation: &str, number: usize, status: u16, kind: &str) {
        self.fault(operation, number, true, status, kind);
    }

    fn fault(&self, operation: &str, number: usize, forever: bool, status: u16, kind: &str) {
        let refused = Refused::new(status, kind, "told by the test");
        let (operation, after) = (operation.to_owned(), number.saturating_sub(1));
        self.world().faults.push(EcrFault { operation, after, forever, refused });
    }

    /// Removes all faults and all throttling that the test has set up.
    pub fn is_well(&self) {
        let mut world = self.world();
        world.faults.clear();
        (world.every, world.buckets) = (None, None);
    }

    /// Pauses the next call of an operation, such as `BatchDeleteImage` or `PUT manifests`, before
    /// the call changes anything.
    pub fn pauses(&self, operation: &str) -> Pause {
        let waiting = PausedCall::default();
        self.world().pauses.push((operation.to_owned(), waiting.clone()));
        Pause(waiting)
    }

    pub(super) fn pause(&self, operation: &str, members: impl FnOnce() -> Value) {
        let due = {
            let mut world = self.world();
            let at = world.pauses.iter().position(|(paused, _)| paused == operation);
            at.map(|at| world.pauses.remove(at).1)
        };
        if let Some(waiting) = due {
            waiting.wait(members());
        }
    }

    /// Returns every call so far, in order. Refused calls are included.
    pub fn calls(&self) -> Vec<EcrCall> {
        self.world().calls.clone()
    }

    /// Returns the number of calls of an operation so far.
    pub fn count(&self, operation: &str) -> usize {
        self.world().calls.iter().filter(|call| call.operation == operation).count()
    }

    /// Returns the number of calls so far by operation.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for call in &self.world().calls {
            *counts.entry(call.operation.clone()).or_default() += 1;
        }
        counts
    }

    /// Deletes the record of the calls so far, for a test that counts only later calls.
    pub fn forgets_calls(&self) {
        self.world().calls.clear();
    }

    /// Returns the events for EventBridge since the last call of this method, in order.
    pub fn events(&self) -> Vec<Value> {
        std::mem::take(&mut self.world().events)
    }

    /// Returns one message for each unknown request since the last call of this method.
    pub fn surprises(&self) -> Vec<String> {
        std::mem::take(&mut self.world().surprises)
    }
}

/// A repository of the fake.
#[derive(Clone)]
pub struct Repository {
    pub(super) ecr: Ecr,
    name: String,
}

impl Repository {
    pub fn name(&self) -> &str {
        &self.name
    }

    #[track_caller]
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut StoredRepository) -> T) -> T {
        let mut world = self.ecr.world();
        let repository = world.repositories.get_mut(&self.name);
        act(repository.unwrap_or_else(|| panic!("there is no repository {}", self.name)))
    }

    #[track_caller]
    fn with_image<T>(&self, digest: &str, act: impl FnOnce(&mut StoredImage) -> T) -> T {
        self.with(|repository| {
            let image = repository.images.get_mut(digest);
            act(image.unwrap_or_else(|| panic!("there is no image {digest}")))
        })
    }

    /// Adds an image without a call or an event, as if the image had always existed. Returns the
    /// digest.
    #[track_caller]
    pub fn put(&self, image: NewImage) -> String {
        self.put_all([image]).remove(0)
    }

    /// Adds many images, up to a hundred thousand, without calls or events. Returns one digest for
    /// each `NewImage`. For an image index, this is the digest of the index itself, not of its
    /// children.
    #[track_caller]
    pub fn put_all(&self, images: impl IntoIterator<Item = NewImage>) -> Vec<String> {
        let now = self.ecr.now();
        self.with(|repository| {
            let mut names = LayerNames::new();
            let put = |image| repository.put_new(image, now, &mut names).to_string();
            images.into_iter().map(put).collect()
        })
    }

    #[track_caller]
    pub fn exists(&self, digest: &str) -> bool {
        self.with(|repository| repository.images.contains_key(digest))
    }

    /// Returns the number of images, including children, signatures and archived images.
    #[track_caller]
    pub fn count(&self) -> usize {
        self.with(|repository| repository.images.len())
    }

    /// Returns the digests of all images, sorted.
    #[track_caller]
    pub fn digests(&self) -> Vec<String> {
        let mut all: Vec<_> =
            self.with(|repository| repository.images.keys().map(ToString::to_string).collect());
        all.sort();
        all
    }

    /// Returns the digest to which a tag points.
    #[track_caller]
    pub fn tag(&self, tag: &str) -> Option<String> {
        self.with(|repository| repository.tags.get(tag).map(ToString::to_string))
    }

    /// Returns the tags that point to an image, sorted. A missing image has no tags.
    #[track_caller]
    pub fn tags(&self, digest: &str) -> Vec<String> {
        self.with(|repository| {
            let image = repository.images.get(digest);
            image.into_iter().flat_map(|image| &image.tags).map(ToString::to_string).collect()
        })
    }

    #[track_caller]
    pub fn status(&self, digest: &str) -> Option<StorageStatus> {
        self.with(|repository| repository.images.get(digest).map(|image| image.status))
    }

    /// Returns the bytes of an image's manifest.
    #[track_caller]
    pub fn manifest(&self, digest: &str) -> Option<String> {
        self.with(|repository| repository.images.get(digest).map(|image| image.bytes.to_string()))
    }

    /// Returns the digests of an image index's children.
    #[track_caller]
    pub fn children(&self, digest: &str) -> Vec<String> {
        self.with_image(digest, |image| image.children.iter().map(ToString::to_string).collect())
    }

    /// Returns the digests of an image's referrers, sorted. The image need not exist.
    #[track_caller]
    pub fn referrers(&self, digest: &str) -> Vec<String> {
        self.with(|repository| {
            let all = repository.referrers.get(digest);
            all.into_iter().flatten().map(ToString::to_string).collect()
        })
    }

    #[track_caller]
    pub fn pulled_at(&self, digest: &str) -> Option<Timestamp> {
        self.with_image(digest, |image| image.pulled_at)
    }

    /// Returns the total size of all layers and configurations in bytes. A layer of several images
    /// counts once.
    #[track_caller]
    pub fn layer_bytes(&self) -> u64 {
        self.with(|repository| repository.layers.values().map(|layer| layer.size).sum())
    }

    /// Returns the bytes of a layer or configuration. Returns `None` if the repository lacks the
    /// layer, or if a test has added the layer without bytes.
    #[track_caller]
    pub fn layer(&self, digest: &str) -> Option<Vec<u8>> {
        self.with(|repository| Some(repository.layers.get(digest)?.bytes.as_ref()?.to_vec()))
    }

    /// Returns the digests of the layers that CompleteLayerUpload has added, in order.
    #[track_caller]
    pub fn completed_layers(&self) -> Vec<String> {
        self.with(|repository| repository.completed.iter().map(ToString::to_string).collect())
    }

    /// Returns an image in the form of `DescribeImages`, without a call.
    #[track_caller]
    pub fn described(&self, digest: &str) -> Value {
        let account = self.ecr.world().account.clone();
        self.with_image(digest, |image| image.described(&account, &self.name))
    }

    /// Sets the push time that `DescribeImages` returns.
    #[track_caller]
    pub fn is_pushed_at(&self, digest: &str, at: PushedAt) -> &Self {
        self.with_image(digest, |image| image.pushed_at = at);
        self
    }

    #[track_caller]
    pub fn is_pulled_at(&self, digest: &str, at: Option<Timestamp>) -> &Self {
        self.with_image(digest, |image| image.pulled_at = at);
        self
    }

    /// Points a new or an existing tag to an image, as another user of ECR does. Ignores the
    /// repository's tag mutability.
    #[track_caller]
    pub fn is_tagged(&self, tag: &str, digest: &str) -> &Self {
        let digest = self.with_image(digest, |image| Digest::clone(&image.digest));
        self.with(|repository| repository.tag(tag, &digest));
        self.ecr.world().tell_of_push(&self.name, &digest, tag);
        self
    }

    /// Removes a tag, as another user of ECR does. The image is kept, even if it has no other tag.
    #[track_caller]
    pub fn is_untagged(&self, tag: &str) -> &Self {
        let digest = self.with(|repository| repository.untag(tag));
        let digest = digest.unwrap_or_else(|| panic!("there is no tag {tag}"));
        self.ecr.world().tell_of_delete(&self.name, &digest, tag);
        self
    }

    /// Deletes an image and all its tags, as another user of ECR does.
    #[track_caller]
    pub fn loses(&self, digest: &str) -> &Self {
        let image = self.with(|repository| repository.remove(&Digest::from(digest)));
        let image = image.unwrap_or_else(|| panic!("there is no image {digest}"));
        let mut world = self.ecr.world();
        if image.tags.is_empty() {
            world.tell_of_delete(&self.name, &image.digest, "");
        }
        image.tags.iter().for_each(|tag| world.tell_of_delete(&self.name, &image.digest, tag));
        drop(world);
        self
    }

    /// Removes a layer or configuration that an image still needs, as if ECR had lost it.
    #[track_caller]
    pub fn loses_blob(&self, digest: &str) -> &Self {
        self.with(|repository| repository.layers.remove(digest).expect("the blob exists"));
        self
    }

    /// Adds a layer without bytes, as ECR does when it replicates an image.
    #[track_caller]
    pub fn receives_blob(&self, digest: &str, size: u64) -> &Self {
        let layer = Layer { size, bytes: None, images: 1, not_archived: 1 };
        self.with(|repository| repository.layers.insert(Digest::from(digest), layer));
        self
    }

    /// Adds an image to the upstream registry of a pull-through cache. The repository gets the
    /// image when a client first pulls the tag.
    #[track_caller]
    pub fn caches_on_pull(&self, tag: &str, image: NewImage) -> &Self {
        self.with(|repository| {
            repository.is_cache = true;
            repository.upstream.insert(tag.into(), image);
        });
        self
    }

    /// Makes BatchGetImage report this failure code for an image, as ECR does while the
    /// repository's KMS key is disabled.
    #[track_caller]
    pub fn fails_to_read(&self, digest: &str, code: &'static str) -> &Self {
        self.with(|repository| repository.unreadable.insert(Digest::from(digest), code));
        self
    }

    #[track_caller]
    pub fn is_readable(&self, digest: &str) -> &Self {
        self.with(|repository| repository.unreadable.remove(digest));
        self
    }

    /// Replaces the manifest of an image, so that the manifest no longer matches its digest.
    #[track_caller]
    pub fn corrupts_manifest(&self, digest: &str, bytes: &str) -> &Self {
        self.with(|repository| {
            repository.images.get_mut(digest).expect("the image exists").bytes = bytes.into();
        });
        self
    }

    /// Replaces the bytes of a configuration, so that they no longer match its digest.
    #[track_caller]
    pub fn corrupts_blob(&self, digest: &str, bytes: &[u8]) -> &Self {
        self.with(|repository| {
            repository.layers.get_mut(digest).expect("the blob exists").bytes = Some(bytes.into());
        });
        self
    }

    /// Archives an image, as another user of ECR does.
    #[track_caller]
    pub fn is_archived(&self, digest: &str) -> &Self {
        let digest = self.with_image(digest, |image| Digest::clone(&image.digest));
        let archived = self.ecr.world().archive(&self.name, &digest);
        archived.unwrap_or_else(|refused| panic!("{}: {}", refused.kind, refused.message));
        self
    }

    /// Changes the repository's tag mutability, as another user of ECR does.
    #[track_caller]
    pub fn becomes(&self, mutability: TagMutability) -> &Self {
        self.with(|repository| repository.mutability = mutability);
        self
    }

    #[track_caller]
    pub fn is_encrypted_with(&self, encryption: Encryption) -> &Self {
        self.with(|repository| repository.encryption = encryption);
        self
    }

    #[track_caller]
    pub fn has_policy(&self, text: Option<&str>) -> &Self {
        self.with(|repository| repository.policy = text.map(str::to_owned));
        self
    }

    #[track_caller]
    pub fn has_lifecycle_policy(&self, text: Option<&str>) -> &Self {
        self.with(|repository| repository.lifecycle = text.map(str::to_owned));
        self
    }

    /// Deletes the repository and its images, as another user of ECR does.
    #[track_caller]
    pub fn is_deleted(&self) {
        self.ecr.world().repositories.remove(&self.name);
    }
}
