//! A repository with numbered images.

use serde_json::{Value, json};
use stablepin_aws::ecr::Ecr;
use stablepin_oci::OCI_MANIFEST;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};

use crate::wire::{Answer, Wire, ok};

pub(super) fn web() -> RepositoryName {
    RepositoryName::parse("prod/web").unwrap()
}

pub(super) fn tag(text: &str) -> ImageTag {
    ImageTag::parse(text).unwrap()
}

pub(super) fn digest(number: usize) -> ImageDigest {
    ImageDigest::parse(&format!("sha256:{number:064x}")).unwrap()
}

pub(super) fn digests(count: usize) -> Vec<ImageDigest> {
    (0..count).map(digest).collect()
}

pub(super) fn image(number: usize) -> Value {
    json!({"imageDigest": digest(number).as_str(), "imageManifestMediaType": OCI_MANIFEST, "imageStatus": "ACTIVE"})
}

pub(super) fn images(numbers: impl IntoIterator<Item = usize>) -> Answer {
    ok(json!({"imageDetails": numbers.into_iter().map(image).collect::<Vec<_>>()}))
}

pub(super) fn client(wire: &Wire) -> Ecr {
    Ecr::patient(&wire.session())
}

pub(super) fn with(member: &str, value: Value) -> Value {
    let mut image = image(1);
    image[member] = value;
    image
}
