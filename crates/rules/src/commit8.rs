//! The first eight digits of a commit, for build tags.

use serde::{Deserialize, Serialize};

use crate::image::ImageDigest;
use crate::name::InvalidName;

/// The commit part of a build tag: 8 lower-case hexadecimal digits, or the 7 digits of Git's short
/// form. Stablepin never adds an eighth digit to 7 digits, because the result could name another
/// commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Commit8(pub(crate) String);

impl Commit8 {
    /// Parses lower-case digits only, so that each build tag has exactly one spelling.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if (7..=8).contains(&text.len()) && text.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName {
                what: "short commit",
                found: text.to_owned(),
                expected: "use 7 or 8 lower-case hexadecimal digits",
            })
        }
    }

    /// Returns the first 8 digits of a digest, for builds with an unknown commit.
    pub fn of_digest(digest: &ImageDigest) -> Self {
        Self(digest.hex()[..8].to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text_type!(Commit8);
