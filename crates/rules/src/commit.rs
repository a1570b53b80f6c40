//! Which commit an image was built from, as far as its label and its tag tell. Both are written by whoever
//! pushed, so they are read as hints: anything that is not plainly a commit is passed over.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::build_tag::BuildTag;
use crate::image::{ImageDigest, ImageTag};
use crate::name::InvalidName;

/// A Git commit: 7 to 40 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Commit(String);

impl Commit {
    /// Accepts upper-case digits, and keeps them in lower case.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if (7..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(InvalidName {
                what: "commit",
                found: text.to_owned(),
                expected: "use 7 to 40 hexadecimal digits",
            })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 8 digits; all 7 of a commit that was shortened to 7.
    pub fn commit8(&self) -> Commit8 {
        Commit8(self.0[..self.0.len().min(8)].to_owned())
    }

    /// Git's "no commit", which pipelines write when they do not know better.
    fn is_null(&self) -> bool {
        self.0.bytes().all(|b| b == b'0')
    }
}

/// What a build tag says of the commit: 8 lower-case hexadecimal digits, or the 7 that Git itself shortens
/// to. A seventh digit is never padded: the eighth would be invented, and could name another commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Commit8(String);

impl Commit8 {
    /// Lower case only: a build tag has one spelling.
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

    /// A digest's first 8 digits, which stand in where no commit is known.
    pub fn of_digest(digest: &ImageDigest) -> Self {
        Self(digest.hex()[..8].to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text_type {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
text_type!(Commit);
text_type!(Commit8);

/// Where a build's commit was read from. In JSON `{"source": "tag", "commit": "047b82e"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", content = "commit", rename_all = "snake_case")]
pub enum Origin {
    /// The image's `org.opencontainers.image.revision` label.
    Label(Commit),
    /// The pushed tag.
    Tag(Commit),
    /// Nothing named a commit: these are the first 8 digits of the image's own digest.
    Digest(Commit8),
}

impl Origin {
    /// What the build tag carries.
    pub fn commit8(&self) -> Commit8 {
        match self {
            Self::Label(commit) | Self::Tag(commit) => commit.commit8(),
            Self::Digest(digits) => digits.clone(),
        }
    }

    /// The commit, where one is known.
    pub fn commit(&self) -> Option<&Commit> {
        match self {
            Self::Label(commit) | Self::Tag(commit) => Some(commit),
            Self::Digest(_) => None,
        }
    }
}

/// The commit that an image was built from: from its revision label, else from the pushed tag, else none, and
/// the digest's first digits stand in. Total: the label may be any text.
/// <https://github.com/opencontainers/image-spec/blob/main/annotations.md#pre-defined-annotation-keys>
pub fn commit_of(revision_label: Option<&str>, tag: &ImageTag, digest: &ImageDigest) -> Origin {
    if let Some(commit) = revision_label.and_then(|label| Commit::parse(label.trim()).ok())
        && !commit.is_null()
    {
        return Origin::Label(commit);
    }
    let stand_in = Commit8::of_digest(digest);
    match commit_in_tag(tag) {
        // A build tag that was pushed again: its last part stood in for a commit the first time, too.
        Some(commit) if commit.commit8() == stand_in => Origin::Digest(stand_in),
        Some(commit) if !commit.is_null() => Origin::Tag(commit),
        _ => Origin::Digest(stand_in),
    }
}

/// The commit that a tag names: `{40 digits}`, `main-047b82e`, `sha-0471234`, `v1.4-14-g2414721` (as
/// `git describe` writes it), or a build tag.
///
/// Elsewhere a part must have both a letter and a digit, because dates (`main-20250717`), run numbers
/// (`build-16234567890`) and words (`main-defaced`) are hexadecimal too. One short commit in 25 is all
/// digits; it is passed over, because a wrong commit is worse than none.
fn commit_in_tag(tag: &ImageTag) -> Option<Commit> {
    let text = tag.as_str();
    if let Ok(build) = BuildTag::parse(text) {
        return Commit::parse(build.commit8().as_str()).ok();
    }
    let (before, last) = text.rsplit_once('-').unwrap_or(("", text));
    if !before.is_empty()
        && let Some(commit) = last.strip_prefix('g').and_then(|hex| Commit::parse(hex).ok())
    {
        return Some(commit);
    }
    let said_to_be = before == "sha" || before.ends_with("-sha");
    let mixed = last.bytes().any(|b| b.is_ascii_digit()) && last.bytes().any(|b| b.is_ascii_alphabetic());
    if said_to_be || mixed || last.len() == 40 { Commit::parse(last).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FULL: &str = "047b82e5c1a94e0f6d3b2a1908f7e6d5c4b3a291";

    fn digest() -> ImageDigest {
        ImageDigest::parse(&format!("sha256:{}", "5eed".repeat(16))).unwrap()
    }

    fn from_tag(tag: &str) -> Option<String> {
        match commit_of(None, &ImageTag::parse(tag).unwrap(), &digest()) {
            Origin::Tag(commit) => Some(commit.to_string()),
            Origin::Digest(digits) => {
                assert_eq!(digits.as_str(), "5eed5eed");
                None
            }
            Origin::Label(commit) => panic!("no label was given, yet it said {commit}"),
        }
    }

    #[test]
    fn the_label_comes_first() {
        let tag = ImageTag::parse("main-a1b2c3d").unwrap();
        for (label, commit) in
            [(FULL, FULL), (" 047b82e\n", "047b82e"), ("047B82E5", "047b82e5"), ("1234567", "1234567")]
        {
            let origin = commit_of(Some(label), &tag, &digest());
            assert_eq!(origin, Origin::Label(Commit::parse(commit).unwrap()), "{label:?}");
        }
    }

    #[test]
    fn a_label_that_is_no_commit_is_passed_over() {
        let tag = ImageTag::parse("main-a1b2c3d").unwrap();
        let long = "a1".repeat(150);
        let null = "0".repeat(40);
        for label in [
            "",
            " ",
            "main",
            "047b82",
            "047b82e\n047b82e",
            "047b82e\r\nX-Header: 1",
            "047b82e-dirty",
            "０４７ｂ８２ｅ",
            "é47b82e",
            "\u{0}47b82e",
            &long,
            &null,
        ] {
            let origin = commit_of(Some(label), &tag, &digest());
            assert_eq!(origin, Origin::Tag(Commit::parse("a1b2c3d").unwrap()), "{label:?}");
        }
    }

    #[test]
    fn commits_in_tags() {
        for (tag, commit) in [
            (FULL, FULL),
            ("main-047b82e", "047b82e"),
            ("a1b2c3d", "a1b2c3d"),
            ("main-047B82E5", "047b82e5"),
            ("sha-1234567", "1234567"),
            ("pr-7-sha-20250717", "20250717"),
            ("v1.4-14-g2414721", "2414721"),
            ("production-20250717-143052-a1b2c3d4", "a1b2c3d4"),
            ("production-20250717-143052-12345678", "12345678"),
        ] {
            assert_eq!(from_tag(tag).as_deref(), Some(commit), "{tag}");
        }
    }

    #[test]
    fn what_only_looks_like_a_commit() {
        for tag in [
            "latest",
            "main",
            "v1.2.3",
            "main-20250717",
            "20250717",
            "build-16234567890",
            "main-defaced",
            "effaced",
            "main-a1b2c3",
            "prod-rollback-20250717-143052",
            "prod-stable-000042",
            "main-5eed5eed",
            "g2414721",
            "sha-0000000",
            &format!("{FULL}a"),
        ] {
            assert_eq!(from_tag(tag), None, "{tag}");
        }
    }

    #[test]
    fn a_build_tag_whose_commit_was_the_digest_stays_without_a_commit() {
        let tag = ImageTag::parse("production-20250717-143052-5eed5eed").unwrap();
        assert_eq!(commit_of(None, &tag, &digest()), Origin::Digest(Commit8::parse("5eed5eed").unwrap()));
    }

    #[test]
    fn origins_in_json() {
        let origin = commit_of(None, &ImageTag::parse("main-047b82e").unwrap(), &digest());
        let json = serde_json::to_string(&origin).unwrap();
        assert_eq!(json, r#"{"source":"tag","commit":"047b82e"}"#);
        assert_eq!(serde_json::from_str::<Origin>(&json).unwrap(), origin);
        assert!(serde_json::from_str::<Origin>(r#"{"source":"tag","commit":"main"}"#).is_err());
    }

    proptest! {
        #[test]
        fn any_label_and_any_tag_give_digits_that_fit_a_build_tag(
            label in proptest::option::of("\\PC{0,300}|[0-9a-fA-F\\s]{0,60}|[\\x00-\\x7f]{0,60}"),
            tag in "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|[a-z]{1,5}-[0-9a-f]{6,41}",
        ) {
            let origin = commit_of(label.as_deref(), &ImageTag::parse(&tag).unwrap(), &digest());
            let short = origin.commit8();
            prop_assert_eq!(Commit8::parse(short.as_str()), Ok(short.clone()));
            if let Some(commit) = origin.commit() {
                prop_assert!(commit.as_str().starts_with(short.as_str()));
                prop_assert_eq!(Commit::parse(commit.as_str()), Ok(commit.clone()));
            }
        }

        #[test]
        fn a_commit_in_a_label_is_found_whatever_the_tag(
            commit in "[0-9a-f]{6}[1-9a-f][0-9a-f]{0,33}",
            tag in "[a-z0-9][a-z0-9-]{0,40}",
        ) {
            let origin = commit_of(Some(&commit), &ImageTag::parse(&tag).unwrap(), &digest());
            prop_assert_eq!(origin, Origin::Label(Commit::parse(&commit).unwrap()));
        }
    }
}
