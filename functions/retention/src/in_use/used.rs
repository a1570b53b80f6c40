//! A use of an image.

use stablepin_rules::image::ImageDigest;

/// A use of an image by something in the account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Used {
    /// The user, in words: `task 0123… of service prod/web`.
    pub by: String,
    /// The reference as it is written. It may name another digest than `digest`: it may name an
    /// index, and `digest` the image of one platform. Both are used.
    pub image: Option<String>,
    /// The digest that the user resolved the reference to. `None` if it did not: then the
    /// reference's current image counts.
    pub digest: Option<ImageDigest>,
}
