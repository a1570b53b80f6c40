//! The manifests of an image: the image itself, its child images, and the signatures, SBOMs and
//! attestations of all of them.

use std::collections::{BTreeMap, BTreeSet};

use stablepin_aws::ecr::{Ecr, ImageId, Manifest};
use stablepin_oci as oci;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};

use super::CopyError;
use crate::errors::chain;

/// The most manifests of one copy. The validation has accepted far fewer, but anybody who may push
/// may add referrers.
const MOST_MANIFESTS: usize = 400;

/// The most bytes of all manifests of one copy, which are kept in memory.
const MOST_BYTES: usize = 32 * 1024 * 1024;

/// The ends of the tags with which Cosign marks the signatures, attestations and SBOMs of an image.
/// The tag without an end belongs to the registry protocol's fallback.
/// <https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>
/// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema>
const TAG_ENDS: [&str; 4] = ["", ".sig", ".att", ".sbom"];

pub(super) struct Tree {
    /// The manifests in the order in which ECR accepts them: children before their image index,
    /// and referrers after their subject.
    pub(super) manifests: Vec<Manifest>,
    /// The tags of the signatures that only a tag connects with their image.
    pub(super) tags: Vec<(ImageTag, ImageDigest)>,
}

pub(super) fn parsed(manifest: &Manifest) -> Result<oci::Manifest, CopyError> {
    manifest
        .parse()
        .map_err(|error| CopyError::NotCopyable { digest: manifest.digest.clone(), problem: chain(&error) })
}

/// The manifests that were read, and the manifests that still have to be read.
struct Reader<'a> {
    ecr: &'a Ecr,
    repository: &'a RepositoryName,
    read: BTreeMap<ImageDigest, Manifest>,
    /// The children of each image index.
    children: BTreeMap<ImageDigest, Vec<ImageDigest>>,
    bytes: usize,
}

impl Tree {
    pub(super) async fn read(
        ecr: &Ecr,
        repository: &RepositoryName,
        digest: &ImageDigest,
    ) -> Result<Self, CopyError> {
        let mut reader =
            Reader { ecr, repository, read: BTreeMap::new(), children: BTreeMap::new(), bytes: 0 };
        // First the image itself, then its referrers, then the referrers of the referrers, and so
        // on.
        let mut tags = Vec::new();
        let mut roots = vec![digest.clone()];
        let mut order = Vec::new();
        let mut placed = BTreeSet::new();
        while !roots.is_empty() {
            let new = reader.read_all(&roots).await?;
            roots.iter().for_each(|root| reader.place(root, &mut placed, &mut order));
            roots = reader.referrers(&new, &mut tags).await?;
            roots.retain(|root| !placed.contains(root));
        }
        let mut read = reader.read;
        Ok(Self { manifests: order.iter().filter_map(|digest| read.remove(digest)).collect(), tags })
    }
}

impl Reader<'_> {
    /// Reads these manifests and their children at every level. Returns the digests that were not
    /// read before.
    async fn read_all(&mut self, roots: &[ImageDigest]) -> Result<BTreeSet<ImageDigest>, CopyError> {
        let mut new = BTreeSet::new();
        let mut level: BTreeSet<ImageDigest> = roots.iter().cloned().collect();
        loop {
            level.retain(|digest| !self.read.contains_key(digest));
            if level.is_empty() {
                return Ok(new);
            }
            let wanted: Vec<ImageDigest> = std::mem::take(&mut level).into_iter().collect();
            for digest in wanted {
                let manifest =
                    self.ecr.image(self.repository, &[ImageId::Digest(digest.clone())]).await?.pop();
                let manifest = manifest.ok_or_else(|| CopyError::Gone {
                    repository: self.repository.clone(),
                    digest: digest.clone(),
                })?;
                self.add(manifest, &mut level)?;
                new.insert(digest);
            }
        }
    }

    fn add(&mut self, manifest: Manifest, level: &mut BTreeSet<ImageDigest>) -> Result<(), CopyError> {
        let digest = manifest.digest.clone();
        let not_copyable = |problem: String| CopyError::NotCopyable { digest: digest.clone(), problem };
        self.bytes += manifest.bytes.len();
        if self.read.len() >= MOST_MANIFESTS || self.bytes > MOST_BYTES {
            let problem = format!(
                "the image and its referrers have more than {MOST_MANIFESTS} manifests or {MOST_BYTES} bytes of manifests"
            );
            return Err(not_copyable(problem));
        }
        if let oci::Manifest::Index(index) = parsed(&manifest)? {
            let children =
                index.digests().ok_or_else(|| not_copyable("it has too many children".to_owned()))?;
            level.extend(children.iter().cloned());
            self.children.insert(digest.clone(), children.into_iter().collect());
        }
        self.read.insert(digest, manifest);
        Ok(())
    }

    /// Adds a manifest to the order, after its children.
    fn place(&self, root: &ImageDigest, placed: &mut BTreeSet<ImageDigest>, order: &mut Vec<ImageDigest>) {
        // An image index cannot contain itself, because its digest is the hash of its bytes.
        let mut stack = vec![(root, false)];
        while let Some((digest, is_after_children)) = stack.pop() {
            if is_after_children {
                order.push(digest.clone());
            } else if placed.insert(digest.clone()) {
                stack.push((digest, true));
                stack.extend(self.children.get(digest).into_iter().flatten().map(|child| (child, false)));
            }
        }
    }

    /// Lists the referrers of these manifests, and the images with Cosign's tags for them.
    async fn referrers(
        &self,
        subjects: &BTreeSet<ImageDigest>,
        tags: &mut Vec<(ImageTag, ImageDigest)>,
    ) -> Result<Vec<ImageDigest>, CopyError> {
        let mut referrers = Vec::new();
        for subject in subjects {
            referrers.extend(self.ecr.referrers(self.repository, subject).await?);
            let names = TAG_ENDS.map(|end| format!("sha256-{}{end}", subject.hex()));
            let ids: Vec<ImageId> =
                names.iter().filter_map(|name| ImageTag::parse(name).ok()).map(ImageId::Tag).collect();
            for found in self.ecr.image(self.repository, &ids).await? {
                // Anybody who may push can put such a tag on an image that nobody has approved.
                if found.parse().is_ok_and(|manifest| manifest.kind().is_image()) {
                    continue;
                }
                if let Some(tag) = found.tag {
                    tags.push((tag, found.digest.clone()));
                }
                referrers.push(found.digest);
            }
        }
        referrers.sort();
        referrers.dedup();
        Ok(referrers)
    }
}
