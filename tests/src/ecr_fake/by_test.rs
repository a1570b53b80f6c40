//! What a test says and asks, beside the wire.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use xtask::registry::Registry;

use super::images::{Digest, PushedAt, StorageStatus, StoredImage};
use super::mutability::TagMutability;
use super::new_image::{LayerNames, NewImage};
use super::pause::{Pause, PausedCall};
use super::repositories::Repository as State;
use super::throttle::{EcrFault, Every, TABLE};
use super::wire;
use super::world::{EcrCall, EcrWorld};
use crate::fake::buckets::Buckets;
use crate::fake::input::Refused;
use crate::fake::server::Server;

/// The account that MiniStack is, so that names agree.
const ACCOUNT: &str = "000000000000";
const REGION: &str = "us-east-1";

/// The running fake. It ends when this is dropped; it then fails a test in which it was asked what it does not know.
pub struct EcrFake {
    ecr: Ecr,
    server: Server,
}

/// Everything that a test may say to the fake.
#[derive(Clone)]
pub struct Ecr(Arc<Mutex<EcrWorld>>);

impl EcrFake {
    /// On a free port, in the account and region of the local cloud.
    pub fn start() -> Self {
        Self::start_in(ACCOUNT, REGION)
    }

    pub fn start_in(account: &str, region: &str) -> Self {
        Self::serve(EcrWorld::new(account, region))
    }

    /// With a copy of a repository as it is now elsewhere, and nothing else. Its clock is no earlier than the other's.
    #[track_caller]
    pub fn with_copy_of(web: &Repository) -> (Self, Repository) {
        let copy = web.with(|repository| repository.clone());
        let mut world = EcrWorld::new(ACCOUNT, REGION);
        let ahead = web.ecr.now().duration_since(world.clock.now());
        world.clock.time_passes(ahead.max(SignedDuration::ZERO));
        world.repositories.insert(copy.name.clone(), copy);
        let ecr = Self::serve(world);
        let copy = ecr.repository(web.name());
        (ecr, copy)
    }

    fn serve(world: EcrWorld) -> Self {
        let ecr = Ecr(Arc::new(Mutex::new(world)));
        let asked = ecr.clone();
        Self { ecr, server: Server::start(move |request| wire::answer(&asked, request)) }
    }

    /// What `AWS_ENDPOINT_URL_ECR` is to be.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// For a proxy in front of it, and for pushes.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// To push images as a pipeline does.
    pub fn registry(&self) -> Registry {
        Registry::new(&self.server.address().to_string(), "AWS", "a token")
    }
}

impl Deref for EcrFake {
    type Target = Ecr;

    fn deref(&self) -> &Ecr {
        &self.ecr
    }
}

impl Drop for EcrFake {
    fn drop(&mut self) {
        let surprises = self.ecr.surprises();
        if !thread::panicking() {
            assert_eq!(surprises, Vec::<String>::new(), "the fake was asked what it does not know");
        }
    }
}

impl Ecr {
    pub(super) fn world(&self) -> MutexGuard<'_, EcrWorld> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new repository, without images.
    #[track_caller]
    pub fn creates(&self, name: &str, mutability: TagMutability) -> Repository {
        let mut world = self.world();
        assert!(!world.repositories.contains_key(name), "there is a repository {name}");
        world.create(name, mutability);
        Repository { ecr: self.clone(), name: name.to_owned() }
    }

    /// One that is there.
    #[track_caller]
    pub fn repository(&self, name: &str) -> Repository {
        assert!(self.world().repositories.contains_key(name), "there is no repository {name}");
        Repository { ecr: self.clone(), name: name.to_owned() }
    }

    /// Lists are in another order, from now on: none is promised.
    pub fn shuffles(&self, seed: u64) {
        let mut world = self.world();
        world.seed = seed;
        world.repositories.values_mut().for_each(|repository| repository.shuffle(seed));
    }

    /// No page of images has more than that, whatever a request wants.
    pub fn has_pages_of(&self, images: usize) {
        self.world().greatest_page = Some(images);
    }

    pub fn now(&self) -> Timestamp {
        self.world().clock.now()
    }

    pub fn time_passes(&self, time: SignedDuration) {
        self.world().time_passes(time);
    }

    /// Who calls with that access key.
    pub fn knows_key(&self, access_key: &str, principal_arn: &str) {
        self.world().principals.insert(access_key.to_owned(), principal_arn.to_owned());
    }

    /// The registry's own policy, of all repositories.
    pub fn has_registry_policy(&self, text: Option<&str>) {
        self.world().policy = text.map(str::to_owned);
    }

    /// From now on, as ECR does: by its own clock.
    pub fn throttles(&self) {
        let mut world = self.world();
        world.buckets = Some(Buckets::full(TABLE, world.clock.now()));
    }

    /// Each call of that number, whatever it is, is throttled and does nothing.
    pub fn throttles_every(&self, number: usize) {
        self.world().every = Some(Every { number, count: 0 });
    }

    /// The call of that number, from 1 and from now on, is answered with an error and does nothing.
    pub fn fails(&self, operation: &str, number: usize, status: u16, kind: &str) {
        self.fault(operation, number, false, status, kind);
    }

    /// And every one after it.
    pub fn keeps_failing(&self, operation: &str, number: usize, status: u16, kind: &str) {
        self.fault(operation, number, true, status, kind);
    }

    fn fault(&self, operation: &str, number: usize, forever: bool, status: u16, kind: &str) {
        let refused = Refused::new(status, kind, "told by the test");
        let (operation, after) = (operation.to_owned(), number.saturating_sub(1));
        self.world().faults.push(EcrFault { operation, after, forever, refused });
    }

    /// All goes well again.
    pub fn is_well(&self) {
        let mut world = self.world();
        world.faults.clear();
        (world.every, world.buckets) = (None, None);
    }

    /// The next call of an operation (`BatchDeleteImage`, `PUT manifests`) waits before it is carried out.
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

    /// Every call that came, in order, refused or not.
    pub fn calls(&self) -> Vec<EcrCall> {
        self.world().calls.clone()
    }

    /// How many calls of an operation came.
    pub fn count(&self, operation: &str) -> usize {
        self.world().calls.iter().filter(|call| call.operation == operation).count()
    }

    /// How many calls came, by operation.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for call in &self.world().calls {
            *counts.entry(call.operation.clone()).or_default() += 1;
        }
        counts
    }

    /// The calls so far are forgotten, for a test that counts only what follows.
    pub fn forgets_calls(&self) {
        self.world().calls.clear();
    }

    /// What ECR would have sent to EventBridge since the last time that this was asked, in order.
    pub fn events(&self) -> Vec<Value> {
        std::mem::take(&mut self.world().events)
    }

    /// What it was asked and does not know, since the last time that this was asked.
    pub fn surprises(&self) -> Vec<String> {
        std::mem::take(&mut self.world().surprises)
    }
}

/// One repository, and what happens to it.
#[derive(Clone)]
pub struct Repository {
    ecr: Ecr,
    name: String,
}

impl Repository {
    pub fn name(&self) -> &str {
        &self.name
    }

    #[track_caller]
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
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

    /// An image that is there from now on, as if it had been before: no call, no event. Its digest.
    #[track_caller]
    pub fn put(&self, image: NewImage) -> String {
        self.put_all([image]).remove(0)
    }

    /// The same for many, a hundred thousand too; their digests, of an index its own.
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

    /// How many images there are: children, signatures and archived ones too.
    #[track_caller]
    pub fn count(&self) -> usize {
        self.with(|repository| repository.images.len())
    }

    /// All of them, sorted.
    #[track_caller]
    pub fn digests(&self) -> Vec<String> {
        let mut all: Vec<_> =
            self.with(|repository| repository.images.keys().map(ToString::to_string).collect());
        all.sort();
        all
    }

    /// The digest that a tag is on.
    #[track_caller]
    pub fn tag(&self, tag: &str) -> Option<String> {
        self.with(|repository| repository.tags.get(tag).map(ToString::to_string))
    }

    /// The tags on an image, sorted; none if it is not there.
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

    /// The bytes.
    #[track_caller]
    pub fn manifest(&self, digest: &str) -> Option<String> {
        self.with(|repository| repository.images.get(digest).map(|image| image.bytes.to_string()))
    }

    /// The digests that an index names.
    #[track_caller]
    pub fn children(&self, digest: &str) -> Vec<String> {
        self.with_image(digest, |image| image.children.iter().map(ToString::to_string).collect())
    }

    #[track_caller]
    pub fn pulled_at(&self, digest: &str) -> Option<Timestamp> {
        self.with_image(digest, |image| image.pulled_at)
    }

    /// The bytes of all layers and configurations, each once.
    #[track_caller]
    pub fn layer_bytes(&self) -> u64 {
        self.with(|repository| repository.layers.values().map(|layer| layer.size).sum())
    }

    /// As `DescribeImages` would show it now; it is no call.
    #[track_caller]
    pub fn described(&self, digest: &str) -> Value {
        let account = self.ecr.world().account.clone();
        self.with_image(digest, |image| image.described(&account, &self.name))
    }

    /// From now on, DescribeImages says so.
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

    /// Somebody puts a tag on an image that is there, or moves it there, whatever the repository's setting.
    #[track_caller]
    pub fn is_tagged(&self, tag: &str, digest: &str) -> &Self {
        let digest = self.with_image(digest, |image| Digest::clone(&image.digest));
        self.with(|repository| repository.tag(tag, &digest));
        self.ecr.world().tell_of_push(&self.name, &digest, tag);
        self
    }

    /// Somebody takes a tag off. The image stays, even if it was the last one.
    #[track_caller]
    pub fn is_untagged(&self, tag: &str) -> &Self {
        let digest = self.with(|repository| repository.untag(tag));
        let digest = digest.unwrap_or_else(|| panic!("there is no tag {tag}"));
        self.ecr.world().tell_of_delete(&self.name, &digest, tag);
        self
    }

    /// Somebody deletes an image, with all its tags.
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

    /// Somebody sends an image to the archive.
    #[track_caller]
    pub fn is_archived(&self, digest: &str) -> &Self {
        let digest = self.with_image(digest, |image| Digest::clone(&image.digest));
        let archived = self.ecr.world().archive(&self.name, &digest);
        archived.unwrap_or_else(|refused| panic!("{}: {}", refused.kind, refused.message));
        self
    }

    /// Somebody changes which tags may move.
    #[track_caller]
    pub fn becomes(&self, mutability: TagMutability) -> &Self {
        self.with(|repository| repository.mutability = mutability);
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

    /// Somebody deletes it with all that is in it.
    #[track_caller]
    pub fn is_deleted(&self) {
        self.ecr.world().repositories.remove(&self.name);
    }
}
