//! Copies a promotion's image to the environment's own repository: the same bytes, with all child
//! images, signatures, SBOMs and attestations.
//!
//! The copy needs no state of its own. Each try compares both repositories, and sends only what the
//! target does not have. The target's tag comes last, after the comparison of both repositories.

mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use futures_util::{StreamExt, stream};
use stablepin_aws::ecr::{Ecr, EcrError, ImageStatus, Manifest, PutTag};
use stablepin_oci as oci;
use stablepin_rules::application::EnvironmentPolicy;
use stablepin_rules::effect::Outcome;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::records::{CopyProgress, Subject};

use self::tree::Tree;
use crate::Clients;
use crate::errors::chain;

/// The number of layers that are on their way at the same time. Each of them needs memory for one
/// part of 10 MiB, and for its text form in the request.
const AT_A_TIME: usize = 3;

/// The number of manifests that one call reads back. A manifest has at most 4 MB.
const PROVED_AT_A_TIME: usize = 4;

/// The reason why a try failed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Ecr(#[from] EcrError),
    #[error("{digest} is not in {repository} any more: push it again")]
    Gone { repository: RepositoryName, digest: ImageDigest },
    #[error("{digest}: {problem}")]
    NotCopyable { digest: ImageDigest, problem: String },
    #[error("{repository} does not give {digest} back after the copy ({code})")]
    NotThere { repository: RepositoryName, digest: ImageDigest, code: String },
    #[error("the tag {tag} of {repository} is on another image, and must not move: delete it there")]
    TagTaken { repository: RepositoryName, tag: ImageTag },
}

impl CopyError {
    fn is_refusal(&self) -> bool {
        match self {
            Self::Ecr(error) => error.is_refusal(),
            // ECR may still restore an image that was archived.
            Self::NotThere { .. } => false,
            Self::Gone { .. } | Self::NotCopyable { .. } | Self::TagTaken { .. } => true,
        }
    }
}

/// The progress of a copy. The reconcile reads it while the copy goes on.
#[derive(Debug, Default)]
pub struct Meter {
    layers: AtomicU32,
    layers_done: AtomicU32,
    bytes: AtomicU64,
    bytes_done: AtomicU64,
}

impl Meter {
    /// Begins with the layers that the target has already, and with those that it lacks.
    fn begin(&self, done: &[oci::Descriptor], missing: &[oci::Descriptor]) {
        let bytes =
            |layers: &[oci::Descriptor]| layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add);
        let (bytes_done, bytes_missing) = (bytes(done), bytes(missing));
        self.layers.store(count(done.len() + missing.len()), Ordering::Relaxed);
        self.bytes.store(bytes_done.saturating_add(bytes_missing), Ordering::Relaxed);
        self.layers_done.store(count(done.len()), Ordering::Relaxed);
        self.bytes_done.store(bytes_done, Ordering::Relaxed);
    }

    fn add_layer(&self) {
        self.layers_done.fetch_add(1, Ordering::Relaxed);
    }

    fn add_bytes(&self, bytes: u64) {
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn read(&self) -> CopyProgress {
        CopyProgress {
            layers: self.layers.load(Ordering::Relaxed),
            layers_done: self.layers_done.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            bytes_done: self.bytes_done.load(Ordering::Relaxed),
        }
    }
}

pub(super) async fn copy(
    clients: &Clients,
    subject: &Subject,
    policy: &EnvironmentPolicy,
    meter: &Meter,
) -> Outcome {
    let (Some(promotion), Some(ecr)) = (subject.promotion(), &clients.copier) else {
        return Outcome::Problem("this function cannot copy images".to_owned());
    };
    let build = &promotion.build;
    let copier = Copier::new((ecr, &build.repository), (ecr, &policy.repository), meter);
    let (done, to) = (copier.image(&build.digest, &build.build_tag.tag()).await, policy.repository.clone());
    match done {
        Ok(()) => Outcome::Copied { to, progress: meter.read() },
        Err(error) => {
            let (problem, is_refusal) = (chain(&error), error.is_refusal());
            Outcome::CopyFailed { to, progress: meter.read(), problem, is_refusal }
        }
    }
}

/// Copies images between two repositories, which may be in different registries.
pub struct Copier<'a> {
    source: &'a Ecr,
    from: &'a RepositoryName,
    target: &'a Ecr,
    to: &'a RepositoryName,
    meter: &'a Meter,
}

impl<'a> Copier<'a> {
    /// Creates the copier. Each repository comes with the client of its registry.
    pub fn new(
        (source, from): (&'a Ecr, &'a RepositoryName),
        (target, to): (&'a Ecr, &'a RepositoryName),
        meter: &'a Meter,
    ) -> Self {
        Self { source, from, target, to, meter }
    }

    /// Copies the image, and then puts the tag on the copy.
    pub async fn image(&self, digest: &ImageDigest, tag: &ImageTag) -> Result<(), CopyError> {
        let tree = Tree::read(self.source, self.from, digest).await?;
        let manifests: Vec<ImageDigest> = tree.manifests.iter().map(|one| one.digest.clone()).collect();
        let there = self.target.describe_some(self.to, &manifests).await?;
        // ECR restores an archived image that is put again.
        let active = there.into_iter().filter(|image| image.status == ImageStatus::Active);
        let there: BTreeSet<ImageDigest> = active.map(|image| image.digest).collect();
        let missing: Vec<&Manifest> =
            tree.manifests.iter().filter(|one| !there.contains(&one.digest)).collect();
        self.layers(&tree.manifests).await?;
        // Each image index comes after its children, and each referrer after its subject.
        for manifest in missing {
            self.target.put_untagged(self.to, manifest).await?;
        }
        self.prove(&tree).await?;
        for (tag, digest) in &tree.tags {
            match self.tag(&tree, digest, tag).await {
                // The repository has another signature of its own.
                Err(CopyError::TagTaken { .. }) => {
                    tracing::warn!(image.tag = %tag, "the tag {tag} is on another image and stays there");
                }
                done => done?,
            }
        }
        self.tag(&tree, digest, tag).await
    }

    /// Copies the layers of these manifests that the target does not have.
    async fn layers(&self, manifests: &[Manifest]) -> Result<(), CopyError> {
        let mut layers = BTreeMap::new();
        for manifest in manifests {
            for blob in blobs(manifest)? {
                layers.insert(blob.digest.clone(), blob);
            }
        }
        let elsewhere: BTreeSet<ImageDigest> =
            layers.values().filter(|blob| !blob.is_distributed()).map(|blob| blob.digest.clone()).collect();
        if !elsewhere.is_empty() {
            // Registries need not store such layers. A layer that the source stores is copied.
            let kept = self.source.stored_layers(self.from, &elsewhere).await?;
            layers.retain(|digest, blob| blob.is_distributed() || kept.contains_key(digest));
        }
        let stored = self.target.stored_layers(self.to, &layers.keys().cloned().collect()).await?;
        let (done, missing): (Vec<_>, Vec<_>) =
            layers.into_values().partition(|layer| stored.contains_key(&layer.digest));
        self.meter.begin(&done, &missing);
        let has_failed = AtomicBool::new(false);
        let copies = self.mounted(missing).await.into_iter().map(|layer| self.layer(layer, &has_failed));
        // After a failure, the transfers in progress continue, so that their bytes need not be sent
        // again. No new transfer starts.
        let mut copies = stream::iter(copies).buffer_unordered(AT_A_TIME);
        let mut failed = None;
        while let Some(result) = copies.next().await {
            if let Err(error) = result {
                failed = failed.or(Some(error));
                has_failed.store(true, Ordering::Relaxed);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Mounts these layers as far as ECR mounts them. Returns the layers that must be sent.
    async fn mounted(&self, layers: Vec<oci::Descriptor>) -> Vec<oci::Descriptor> {
        if layers.is_empty() {
            return layers;
        }
        let access = match self.target.registry_access().await {
            Ok(access) => access,
            Err(error) => {
                tracing::warn!("layers are sent instead of mounted: {}", chain(&error));
                return layers;
            }
        };
        let mut layers = layers.into_iter();
        let mut left = Vec::new();
        for layer in layers.by_ref() {
            let mounted = self.target.mount(&access, self.from, self.to, &layer.digest).await;
            if let Err(error) = &mounted {
                tracing::warn!("a layer was not mounted, so it is sent: {}", chain(error));
            }
            if mounted.is_ok_and(|is_mounted| is_mounted) {
                self.meter.add_layer();
                self.meter.add_bytes(layer.size);
            } else {
                // ECR mounts either all layers of the repository or none.
                left.push(layer);
                break;
            }
        }
        left.extend(layers);
        left
    }

    /// Copies a layer, unless the transfer of another layer has failed.
    async fn layer(&self, layer: oci::Descriptor, has_failed: &AtomicBool) -> Result<(), CopyError> {
        if has_failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let arrived = |bytes| self.meter.add_bytes(bytes);
        self.source.copy_layer(self.from, self.target, self.to, &layer, arrived).await?;
        self.meter.add_layer();
        Ok(())
    }

    /// Proves that the target has every manifest, and with the same bytes.
    async fn prove(&self, tree: &Tree) -> Result<(), CopyError> {
        for part in tree.manifests.chunks(PROVED_AT_A_TIME) {
            let digests: Vec<ImageDigest> = part.iter().map(|one| one.digest.clone()).collect();
            // The client checks that the bytes of each manifest hash to its digest.
            let (_, missing) = self.target.manifests(self.to, &digests).await?;
            if let Some((digest, code)) = missing.into_iter().next() {
                return Err(CopyError::NotThere { repository: self.to.clone(), digest, code });
            }
        }
        Ok(())
    }

    async fn tag(&self, tree: &Tree, digest: &ImageDigest, tag: &ImageTag) -> Result<(), CopyError> {
        let Some(manifest) = tree.manifests.iter().find(|one| one.digest == *digest) else { return Ok(()) };
        let taken = || CopyError::TagTaken { repository: self.to.clone(), tag: tag.clone() };
        // ECR would move the tag in a mutable repository.
        match self.target.describe(self.to, tag).await? {
            Some(on) if on.digest == *digest => return Ok(()),
            Some(_) => return Err(taken()),
            None => {}
        }
        match self.target.put_tag(self.to, manifest, tag).await? {
            PutTag::Put | PutTag::AlreadyThere => Ok(()),
            PutTag::PointsElsewhere => Err(taken()),
        }
    }
}

/// Returns the configuration and the layers of a manifest.
fn blobs(manifest: &Manifest) -> Result<Vec<oci::Descriptor>, CopyError> {
    Ok(match tree::parsed(manifest)? {
        oci::Manifest::Image(image) => std::iter::once(image.config).chain(image.layers).collect(),
        oci::Manifest::Index(_) => Vec::new(),
    })
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
