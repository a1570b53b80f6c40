//! The bytes that a deletion frees: the blobs that no remaining image uses.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use stablepin_oci::Manifest;
use stablepin_rules::image::ImageDigest;

/// The stored blobs of one image: its configuration and its layers, each with its size in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Blobs(Vec<(ImageDigest, u64)>);

impl Blobs {
    /// Returns the blobs of a manifest. An image index has none, because its images have their own
    /// manifests.
    pub fn of(manifest: &Manifest) -> Self {
        match manifest {
            Manifest::Index(_) => Self(Vec::new()),
            Manifest::Image(image) => {
                let blobs = std::iter::once(&image.config).chain(&image.layers);
                Self(blobs.map(|blob| (blob.digest.clone(), blob.size)).collect())
            }
        }
    }
}

/// Returns the size of all blobs that deleted images have and remaining images do not have. Each
/// blob counts once.
pub fn freed<'a>(
    deleted: impl IntoIterator<Item = &'a Blobs>,
    remaining: impl IntoIterator<Item = &'a Blobs>,
) -> u64 {
    let mut freed: HashMap<&ImageDigest, u64> =
        deleted.into_iter().flat_map(|blobs| &blobs.0).map(|(digest, size)| (digest, *size)).collect();
    for (digest, _) in remaining.into_iter().flat_map(|blobs| &blobs.0) {
        freed.remove(digest);
    }
    freed.values().fold(0, |sum, size| sum.saturating_add(*size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(letter: char) -> ImageDigest {
        ImageDigest::parse(&format!("sha256:{}", letter.to_string().repeat(64))).unwrap()
    }

    fn blobs(of: &[(char, u64)]) -> Blobs {
        Blobs(of.iter().map(|(letter, size)| (digest(*letter), *size)).collect())
    }

    #[test]
    fn deletion_frees_each_unshared_layer_once() {
        let deleted = [blobs(&[('a', 10), ('b', 5), ('c', 1)]), blobs(&[('a', 10), ('d', 7)])];
        assert_eq!(freed(&deleted, &[]), 23);
        assert_eq!(freed(&deleted, &[blobs(&[('a', 10), ('e', 100)])]), 13);
        assert_eq!(freed(&[], &deleted), 0);
        assert_eq!(freed(&[blobs(&[('a', u64::MAX), ('b', 1)])], &[]), u64::MAX);
    }
}
