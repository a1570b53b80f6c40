//! PutImage stores a manifest and points a tag to the manifest.
//! <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImage.html>

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use xtask::image::digest;

use super::image_id::is_tag;
use super::images::{Digest, PushedAt, StorageStatus, StoredImage};
use super::manifest::Parsed;
use super::repositories::repository_not_found;
use super::repository::StoredRepository;
use super::world::EcrWorld;
use crate::fake::input::{Answer, Input, Refused};

/// The maximum size of a manifest in bytes.
const MAX_MANIFEST: usize = 4_194_304;

/// The maximum number of tags of one image.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
const TAGS_PER_IMAGE: usize = 1000;
/// The maximum number of images in one repository.
const IMAGES_PER_REPOSITORY: usize = 100_000;

/// The input of a PutImage call, or of a push in the registry protocol.
pub(super) struct Put<'a> {
    pub(super) bytes: &'a str,
    pub(super) media_type: Option<&'a str>,
    pub(super) tag: Option<&'a str>,
    /// The digest that the client expects.
    pub(super) digest: Option<&'a str>,
}

impl EcrWorld {
    pub(super) fn put_image(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&[
            "registryId",
            "repositoryName",
            "imageManifest",
            "imageManifestMediaType",
            "imageTag",
            "imageDigest",
        ])?;
        let name = self.of(input)?.name.clone();
        let put = Put {
            bytes: input.needed("imageManifest")?,
            media_type: input.text("imageManifestMediaType")?,
            tag: input.text("imageTag")?,
            digest: input.text("imageDigest")?,
        };
        let digest = self.put(&name, &put)?;
        let image = &self.repositories[&name].images[&digest];
        let mut id = json!({ "imageDigest": &*digest });
        if let Some(tag) = put.tag {
            id["imageTag"] = tag.into();
        }
        Ok(json!({ "image": {
            "registryId": self.account,
            "repositoryName": name,
            "imageId": id,
            "imageManifest": put.bytes,
            "imageManifestMediaType": &*image.media_type,
        } }))
    }

    pub(super) fn put(&mut self, name: &str, put: &Put<'_>) -> Result<Digest, Refused> {
        let at = self.clock.stamp();
        let Some(repository) = self.repositories.get_mut(name) else {
            return Err(repository_not_found(name, &self.account));
        };
        let (image, missing) = read(repository, put)?;
        if let Some(refused) = already_there(repository, &image.digest, put.tag) {
            return Err(refused);
        }
        if let Some(refused) = missing {
            return Err(refused);
        }
        let digest = Arc::clone(&image.digest);
        let tags = repository.images.get(&digest).map_or(0, |image| image.tags.len());
        let is_new = !repository.images.contains_key(&digest);
        if tags >= TAGS_PER_IMAGE || (is_new && repository.images.len() >= IMAGES_PER_REPOSITORY) {
            let message = "The operation did not succeed because it would have exceeded a service limit";
            return Err(Refused::new(400, "LimitExceededException", message));
        }
        if is_new {
            repository.add(StoredImage { pushed_at: PushedAt::At(at), ..image });
        } else if repository.images[&digest].status == StorageStatus::Archived {
            // "The image can be restored as an active image by manually selecting it to be restored
            // or by re-pushing the image to the repository."
            // Assumption: the image is active immediately. It gets a new push time and no
            // activation time.
            // <https://docs.aws.amazon.com/AmazonECR/latest/userguide/archive-image.html>
            repository.set_status(&digest, StorageStatus::Active);
            repository.images.get_mut(&digest).expect("the image exists").pushed_at = PushedAt::At(at);
        }
        // A new tag does not change the push time of an existing image.
        // <https://github.com/aws/containers-roadmap/issues/2746>
        if let Some(tag) = put.tag {
            repository.tag(tag, &digest);
        }
        self.tell_of_push(name, &digest, put.tag.unwrap_or_default());
        Ok(digest)
    }
}

/// Returns the image to store. Also returns an error if the repository lacks a layer or a child of
/// the image.
fn read(repository: &StoredRepository, put: &Put<'_>) -> Result<(StoredImage, Option<Refused>), Refused> {
    if put.bytes.len() > MAX_MANIFEST {
        let message = format!("Invalid parameter at 'imageManifest': more than {MAX_MANIFEST} bytes");
        return Err(Refused::parameter(message));
    }
    if put.tag.is_some_and(|tag| !is_tag(tag)) {
        let message = "Invalid parameter at 'imageTag' failed to satisfy constraint: 'must be a valid tag'";
        return Err(Refused::parameter(message));
    }
    let parsed = Parsed::read(put.bytes, put.media_type).map_err(Refused::parameter)?;
    let computed = digest(put.bytes.as_bytes());
    if put.digest.is_some_and(|theirs| theirs != computed) {
        let message = format!("The digest of the image manifest is {computed}");
        return Err(Refused::new(400, "ImageDigestDoesNotMatchException", message));
    }
    let missing = lacks(repository, &parsed);
    Ok((image(repository, computed, put.bytes, parsed), missing))
}

/// Builds the image to store from its parsed manifest.
pub(super) fn image(
    repository: &StoredRepository,
    digest: String,
    bytes: &str,
    parsed: Parsed,
) -> StoredImage {
    // "If the image is a manifest list, this will be the max size of all manifests in the list."
    // <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageDetail.html>
    // Assumption: the size of an image is the total size of its configuration and layers.
    let of_children =
        parsed.children.iter().filter_map(|child| repository.images.get(child.as_str())).map(|one| one.size);
    let of_blobs = parsed.blobs.iter().map(|blob| blob.size).sum();
    let known =
        |digest: &String, known: Option<&Digest>| known.cloned().unwrap_or_else(|| digest.as_str().into());
    let child =
        |digest: &String| known(digest, repository.images.get_key_value(digest.as_str()).map(|(key, _)| key));
    // A layer counts once, even if the manifest contains the layer twice.
    let blobs: BTreeSet<&String> = parsed.blobs.iter().map(|blob| &blob.digest).collect();
    let blob = |digest: &&String| {
        known(digest, repository.layers.get_key_value(digest.as_str()).map(|(key, _)| key))
    };
    StoredImage {
        digest: digest.into(),
        bytes: bytes.into(),
        size: of_children.max().unwrap_or(of_blobs),
        children: parsed.children.iter().map(child).collect(),
        blobs: blobs.iter().map(blob).collect(),
        media_type: parsed.media_type.into(),
        artifact: parsed.artifact.map(Arc::from),
        annotations: parsed.annotations,
        subject: parsed.subject,
        tags: BTreeSet::new(),
        pushed_at: PushedAt::Nothing,
        pulled_at: None,
        status: StorageStatus::Active,
        archived_at: None,
        activated_at: None,
        active_from: None,
    }
}

fn lacks(repository: &StoredRepository, parsed: &Parsed) -> Option<Refused> {
    let layers: Vec<_> = parsed
        .blobs
        .iter()
        .map(|blob| blob.digest.as_str())
        .filter(|digest| !repository.layers.contains_key(*digest))
        .collect();
    if !layers.is_empty() {
        let message = format!("Layers with digests '{}' do not exist", Value::from(layers));
        return Some(Refused::new(400, "LayersNotFoundException", message));
    }
    let children: Vec<_> = parsed
        .children
        .iter()
        .map(String::as_str)
        .filter(|digest| !repository.images.contains_key(*digest))
        .collect();
    if !children.is_empty() {
        let children = Value::from(children);
        let message = format!("Images with digests '{children}' required for pushing image do not exist");
        return Some(Refused::new(400, "ReferencedImagesNotFoundException", message));
    }
    // Assumption: the image to which a referrer refers need not exist, as in the registry protocol.
    None
}

fn already_there(repository: &StoredRepository, digest: &Digest, tag: Option<&str>) -> Option<Refused> {
    let name = &repository.name;
    let there = repository.images.get(digest).filter(|image| image.status != StorageStatus::Archived);
    let tagged = tag.and_then(|tag| repository.tags.get(tag));
    // "The ImageTagAlreadyExistsException error is returned if you push an image with a tag that is
    // already in the repository". The fake applies this sentence even if the tag already points to
    // the same image. Assumption: ECR accepts a push that restores an archived image.
    // <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html>
    let elsewhere_or_here = tagged.is_some_and(|on| on != digest || there.is_some());
    if let Some(tag) = tag.filter(|tag| elsewhere_or_here && !repository.mutability.lets_move(tag)) {
        let message = format!(
            "The image tag '{tag}' already exists in the '{name}' repository and cannot be overwritten because the tag is immutable."
        );
        return Some(Refused::new(400, "ImageTagAlreadyExistsException", message));
    }
    // "The specified image has already been pushed, and there were no changes to the manifest or
    // image tag after the last push."
    if there.is_some() && (tag.is_none() || tagged == Some(digest)) {
        let tag = tag.unwrap_or("null");
        let message = format!(
            "Image with digest '{digest}' and tag '{tag}' already exists in the repository with name '{name}'"
        );
        return Some(Refused::new(400, "ImageAlreadyExistsException", message));
    }
    None
}
