//! The commit that an image was built from. Stablepin reads the commit from the image's label or
//! tag. The pusher writes the label and the tag, so the commit is a hint. Text that is not clearly
//! a commit is ignored.

use serde::{Deserialize, Serialize};

use crate::build_tag::BuildTag;
use crate::commit8::Commit8;
use crate::image::{ImageDigest, ImageTag};
use crate::name::InvalidName;

/// A Git commit: 7 to 40 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Commit(String);

impl Commit {
    /// Parses a commit. Accepts upper-case digits and makes them lower-case.
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

    /// Returns the first 8 digits. For a commit of 7 digits, returns all 7.
    pub fn commit8(&self) -> Commit8 {
        Commit8(self.0[..self.0.len().min(8)].to_owned())
    }

    /// Returns whether all digits are 0, which is Git's "no commit". Pipelines write zeros when
    /// they know no commit.
    fn is_null(&self) -> bool {
        self.0.bytes().all(|b| b == b'0')
    }
}

text_type!(Commit);

/// A build's commit, and where it was found. As JSON: `{"source": "tag", "commit": "047b82e"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", content = "commit", rename_all = "snake_case")]
pub enum Origin {
    /// The commit comes from the image's `org.opencontainers.image.revision` label.
    Label(Commit),
    /// The commit comes from the pushed tag.
    Tag(Commit),
    /// The first 8 digits of the image's own digest, because no commit is known.
    Digest(Commit8),
}

impl Origin {
    /// Returns the digits for the build tag.
    pub fn commit8(&self) -> Commit8 {
        match self {
            Self::Label(commit) | Self::Tag(commit) => commit.commit8(),
            Self::Digest(digits) => digits.clone(),
        }
    }

    /// Returns the commit, if one is known.
    pub fn commit(&self) -> Option<&Commit> {
        match self {
            Self::Label(commit) | Self::Tag(commit) => Some(commit),
            Self::Digest(_) => None,
        }
    }
}

/// Finds the commit of an image in its revision label or else in the pushed tag. The label may be
/// any text. If no commit is found, the result contains the first digits of the digest.
/// <https://github.com/opencontainers/image-spec/blob/main/annotations.md#pre-defined-annotation-keys>
pub fn commit_of(revision_label: Option<&str>, tag: &ImageTag, digest: &ImageDigest) -> Origin {
    if let Some(commit) = revision_label.and_then(|label| Commit::parse(label.trim()).ok())
        && !commit.is_null()
    {
        return Origin::Label(commit);
    }
    let stand_in = Commit8::of_digest(digest);
    match commit_in_tag(tag) {
        // The tag ends with the digest's digits, like the build tag of an unknown commit.
        Some(commit) if commit.commit8() == stand_in => Origin::Digest(stand_in),
        Some(commit) if !commit.is_null() => Origin::Tag(commit),
        _ => Origin::Digest(stand_in),
    }
}

/// Finds the commit in a tag. Forms that always name a commit are 40 hexadecimal digits,
/// `sha-0471234`, `v1.4-14-g2414721` (from `git describe`), and build tags.
///
/// In other tags, such as `main-047b82e`, a commit needs both a letter and a digit, because dates
/// (`main-20250717`), run numbers (`build-16234567890`) and words (`main-defaced`) are hexadecimal
/// too. The rule misses short commits that have only digits, about one in 25. A missed commit is
/// better than a wrong commit.
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
    let is_marked_as_commit = before == "sha" || before.ends_with("-sha");
    let mixed = last.bytes().any(|b| b.is_ascii_digit()) && last.bytes().any(|b| b.is_ascii_alphabetic());
    if is_marked_as_commit || mixed || last.len() == 40 { Commit::parse(last).ok() } else { None }
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
            Origin::Label(commit) => panic!("no label was given, but the origin is {commit}"),
        }
    }

    #[test]
    fn revision_label_overrides_commit_in_tag() {
        let tag = ImageTag::parse("main-a1b2c3d").unwrap();
        for (label, commit) in
            [(FULL, FULL), (" 047b82e\n", "047b82e"), ("047B82E5", "047b82e5"), ("1234567", "1234567")]
        {
            let origin = commit_of(Some(label), &tag, &digest());
            assert_eq!(origin, Origin::Label(Commit::parse(commit).unwrap()), "{label:?}");
        }
    }

    #[test]
    fn revision_label_without_a_valid_commit_is_ignored() {
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
    fn commit_is_found_in_common_tag_forms() {
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
    fn words_and_dates_in_tags_do_not_count_as_commits() {
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
    fn build_tag_that_ends_with_digest_digits_has_no_commit() {
        let tag = ImageTag::parse("production-20250717-143052-5eed5eed").unwrap();
        assert_eq!(commit_of(None, &tag, &digest()), Origin::Digest(Commit8::parse("5eed5eed").unwrap()));
    }

    #[test]
    fn origin_round_trips_through_json() {
        let origin = commit_of(None, &ImageTag::parse("main-047b82e").unwrap(), &digest());
        let json = serde_json::to_string(&origin).unwrap();
        assert_eq!(json, r#"{"source":"tag","commit":"047b82e"}"#);
        assert_eq!(serde_json::from_str::<Origin>(&json).unwrap(), origin);
        assert!(serde_json::from_str::<Origin>(r#"{"source":"tag","commit":"main"}"#).is_err());
    }

    proptest! {
        #[test]
        fn any_label_and_tag_give_a_valid_commit8(
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
        fn commit_in_label_overrides_any_tag(
            commit in "[0-9a-f]{6}[1-9a-f][0-9a-f]{0,33}",
            tag in "[a-z0-9][a-z0-9-]{0,40}",
        ) {
            let origin = commit_of(Some(&commit), &ImageTag::parse(&tag).unwrap(), &digest());
            prop_assert_eq!(origin, Origin::Label(Commit::parse(&commit).unwrap()));
        }
    }
}
