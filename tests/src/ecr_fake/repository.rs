//! A repository with its settings, images and tags.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::images::{Digest, StorageStatus, StoredImage};
use super::mount::Encryption;
use super::mutability::TagMutability;
use super::new_image::NewImage;
use super::uploads::LayerUpload;
use crate::fake::clock::{epoch, mixed};

/// A layer or a configuration.
#[derive(Clone)]
pub(super) struct Layer {
    pub(super) size: u64,
    /// The content. `None` if a test has added the layer without bytes.
    pub(super) bytes: Option<Arc<[u8]>>,
    /// The number of images with this layer.
    pub(super) images: u32,
    /// The number of images with this layer that are not archived.
    pub(super) not_archived: u32,
}

#[derive(Clone)]
pub(super) struct StoredRepository {
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) uri: String,
    pub(super) created_at: Timestamp,
    pub(super) mutability: TagMutability,
    pub(super) encryption: Encryption,
    pub(super) policy: Option<String>,
    pub(super) lifecycle: Option<String>,
    pub(super) images: HashMap<Digest, StoredImage>,
    pub(super) tags: HashMap<Arc<str>, Digest>,
    pub(super) layers: HashMap<Digest, Layer>,
    /// The unfinished uploads of InitiateLayerUpload, by upload id.
    pub(super) uploads: HashMap<String, LayerUpload>,
    /// The digests of the layers that CompleteLayerUpload has added, in order.
    pub(super) completed: Vec<Digest>,
    /// The digests of the image indexes that contain a child, by the child's digest.
    pub(super) parents: HashMap<Digest, BTreeSet<Digest>>,
    /// The digests of the referrers of an image, by the image's digest. The image need not exist.
    pub(super) referrers: HashMap<String, BTreeSet<Digest>>,
    /// The positions of all images, in the order of lists. Push times and names do not affect the
    /// order.
    pub(super) order: BTreeSet<ListPosition>,
    pub(super) seed: u64,
    /// The failure codes of the images that BatchGetImage does not return.
    pub(super) unreadable: HashMap<Digest, &'static str>,
    /// The images that a pull-through cache fetches on the first pull, by their tags.
    pub(super) upstream: HashMap<Arc<str>, NewImage>,
    /// Whether the repository belongs to a pull-through cache.
    pub(super) is_cache: bool,
}

/// The position of an image in lists.
pub(super) type ListPosition = (u64, Digest);

impl StoredRepository {
    /// Returns the list position of an image. The position remains valid after the image's
    /// deletion.
    pub(super) fn place(&self, digest: &Digest) -> ListPosition {
        let number = digest.get(7..23).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        (mixed(number.unwrap_or_default() ^ self.seed), Arc::clone(digest))
    }

    /// Returns the images from a list position on, in the order of lists.
    pub(super) fn listed(&self, from: Bound<&ListPosition>) -> impl Iterator<Item = &StoredImage> {
        self.order.range((from, Bound::Unbounded)).filter_map(|(_, digest)| self.images.get(digest))
    }

    pub(super) fn shuffle(&mut self, seed: u64) {
        self.seed = seed;
        self.order = self.images.keys().map(|digest| self.place(digest)).collect();
    }

    /// Adds an image with its tags. The image's layers and children must exist.
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

    /// Removes an image and all its tags, but not its referrers. Assumption: ECR immediately
    /// removes layers that no other image has.
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

    /// Adds a layer that is not in any image yet. An existing layer stays, but gets the bytes if it
    /// has none.
    pub(super) fn add_layer(&mut self, digest: Digest, size: u64, bytes: Option<Arc<[u8]>>) {
        let new = Layer { size, bytes: None, images: 0, not_archived: 0 };
        let layer = self.layers.entry(digest).or_insert(new);
        layer.bytes = layer.bytes.take().or(bytes);
    }

    /// Points a tag to an existing image. The image that had the tag until now is kept, even if it
    /// has no other tag.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-retag.html>
    pub(super) fn tag(&mut self, tag: &str, digest: &Digest) {
        let tag: Arc<str> = Arc::from(tag);
        self.untag(&tag);
        if let Some(image) = self.images.get_mut(digest) {
            image.tags.insert(Arc::clone(&tag));
            self.tags.insert(tag, Arc::clone(digest));
        }
    }

    /// Removes a tag but keeps the image. Returns the image's digest.
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

    /// Returns whether an image index of this repository contains the digest.
    pub(super) fn is_child(&self, digest: &Digest) -> bool {
        self.parents.contains_key(digest)
    }

    pub(super) fn described(&self, account: &str) -> Value {
        let mut shown = json!({
            "repositoryArn": self.arn,
            "registryId": account,
            "repositoryName": self.name,
            "repositoryUri": self.uri,
            "createdAt": epoch(self.created_at),
            "imageTagMutability": self.mutability.name(),
            "imageScanningConfiguration": { "scanOnPush": false },
            "encryptionConfiguration": self.encryption.described(),
        });
        // Assumption: a response contains this field only if the repository has filters.
        if !self.mutability.filters().is_empty() {
            shown["imageTagMutabilityExclusionFilters"] = self.mutability.described();
        }
        shown
    }
}
