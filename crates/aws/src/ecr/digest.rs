//! Computes digests of bytes, and parses digests in responses.

use sha2::{Digest, Sha256};
use stablepin_rules::image::ImageDigest;

/// The digest of these bytes.
pub fn sha256(bytes: &[u8]) -> ImageDigest {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        text.push_str(&format!("{byte:02x}"));
    }
    ImageDigest::parse(&text).expect("32 bytes are 64 lower-case hexadecimal digits")
}

pub(super) fn digest(text: Option<&str>) -> Option<ImageDigest> {
    text.and_then(|text| ImageDigest::parse(text).ok())
}
