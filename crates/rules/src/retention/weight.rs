//! What deleting images frees: the layers that nothing keeps any more.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::image::ImageDigest;
use crate::manifest::Manifest;

/// What is stored for one image: its configuration and its layers, each with its size in bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Blobs(Vec<(ImageDigest, u64)>);

impl Blobs {
    /// Of an index none: what it refers to has manifests of its own.
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

/// The bytes of those blobs of what goes that nothing of what stays has. Each counts once.
pub fn freed<'a>(
    goes: impl IntoIterator<Item = &'a Blobs>,
    stays: impl IntoIterator<Item = &'a Blobs>,
) -> u64 {
    let mut freed: HashMap<&ImageDigest, u64> =
        goes.into_iter().flat_map(|blobs| &blobs.0).map(|(digest, size)| (digest, *size)).collect();
    for (digest, _) in stays.into_iter().flat_map(|blobs| &blobs.0) {
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
    fn a_layer_is_freed_once_and_only_if_nothing_that_stays_has_it() {
        let goes = [blobs(&[('a', 10), ('b', 5), ('c', 1)]), blobs(&[('a', 10), ('d', 7)])];
        assert_eq!(freed(&goes, &[]), 23);
        assert_eq!(freed(&goes, &[blobs(&[('a', 10), ('e', 100)])]), 13);
        assert_eq!(freed(&[], &goes), 0);
        assert_eq!(freed(&[blobs(&[('a', u64::MAX), ('b', 1)])], &[]), u64::MAX);
    }
}
