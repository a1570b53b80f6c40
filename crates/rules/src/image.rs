//! The registry's names: digest, tag, repository, image reference.

use serde::{Deserialize, Serialize};

use crate::name::InvalidName;

/// An image digest: `sha256:` and 64 lower-case hexadecimal digits. Approvals, deployments, pins
/// and deployment checks all name an image by its digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageDigest(String);

impl ImageDigest {
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let valid =
            text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(is_lower_hex));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName {
                what: "image digest",
                found: text.to_owned(),
                expected: "use sha256: and 64 lower-case hexadecimal digits",
            })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the 64 hexadecimal digits.
    pub fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }

    /// Returns the first sixteen digits as a number. Sorting digests by this number agrees with
    /// sorting them as text.
    pub fn beginning(&self) -> u64 {
        u64::from_str_radix(&self.hex()[..16], 16).expect("hexadecimal digits were parsed")
    }
}

/// A tag of up to 128 characters that ECR and the registry protocol allow. A tag can later be put
/// on another image, so it never identifies an image.
/// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests>
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageTag(String);

impl ImageTag {
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let mut bytes = text.bytes();
        let valid = text.len() <= 128
            && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
            && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
        if valid {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName {
                what: "image tag",
                found: text.to_owned(),
                expected: "use 1 to 128 letters, digits, underscores, periods and hyphens, not beginning with a period or hyphen",
            })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether this tag belongs to a signature, attestation or SBOM. If a registry does not
    /// support the referrers API, clients use such tags: `sha256-` and 64 hexadecimal digits, often
    /// followed by `.sig`, `.att` or `.sbom`.
    /// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema>
    pub fn is_a_referrers(&self) -> bool {
        self.subject().is_some()
    }

    /// Returns the image that the signature, attestation or SBOM with this tag refers to.
    pub fn subject(&self) -> Option<ImageDigest> {
        let (hex, rest) = self.0.strip_prefix("sha256-")?.split_at_checked(64)?;
        let tagged = rest.is_empty() || rest.starts_with('.');
        ImageDigest::parse(&format!("sha256:{hex}")).ok().filter(|_| tagged)
    }
}

/// The name of an ECR repository, such as `web` or `prod/web`.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html>
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryName(String);

impl RepositoryName {
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let component = |part: &str| {
            let bytes = part.as_bytes();
            let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            edge(bytes.first())
                && edge(bytes.last())
                && bytes
                    .iter()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
        };
        if (2..=256).contains(&text.len()) && text.split('/').all(component) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName {
                what: "repository name",
                found: text.to_owned(),
                expected: "use 2 to 256 lower-case letters, digits, hyphens, underscores, periods and slashes, each part beginning and ending with a letter or digit",
            })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

text_type!(ImageDigest);
text_type!(ImageTag);
text_type!(RepositoryName);

/// An image name in a task definition: `host[:port]/path[:tag][@digest]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference {
    /// The registry's host and port. None for an image of the default registry, such as `nginx`.
    pub host: Option<String>,
    pub path: String,
    pub tag: Option<String>,
    pub digest: Option<String>,
}

impl ImageReference {
    /// Parses a reference. Accepts any text, because later checks compare each part exactly.
    pub fn parse(text: &str) -> Self {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.to_owned())),
            None => (text, None),
        };
        let (host, rest) = match name.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => {
                (Some(host.to_owned()), rest)
            }
            _ => (None, name),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag.to_owned())),
            _ => (rest, None),
        };
        Self { host, path: path.to_owned(), tag, digest }
    }

    /// Returns whether the reference names an image of the given ECR repository. ECR has several
    /// host names: plain, FIPS, dual-stack, and the host name of the China partition.
    /// <https://docs.aws.amazon.com/general/latest/gr/ecr.html>
    pub fn is_of(&self, account: &str, region: &str, repository: &RepositoryName) -> bool {
        let Some(host) = &self.host else { return false };
        let known = [
            format!("{account}.dkr.ecr.{region}.amazonaws.com"),
            format!("{account}.dkr.ecr-fips.{region}.amazonaws.com"),
            format!("{account}.dkr.ecr.{region}.amazonaws.com.cn"),
            format!("{account}.dkr-ecr.{region}.on.aws"),
            format!("{account}.dkr-ecr-fips.{region}.on.aws"),
        ];
        self.path == repository.as_str() && known.contains(host)
    }

    /// Returns the name of another image on the same host: `host/repository@sha256:…`.
    pub fn other(&self, repository: &RepositoryName, digest: &ImageDigest) -> String {
        match &self.host {
            Some(host) => format!("{host}/{repository}@{digest}"),
            None => format!("{repository}@{digest}"),
        }
    }
}

fn is_lower_hex(b: u8) -> bool {
    b.is_ascii_digit() || (b'a'..=b'f').contains(&b)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn image_reference_may_omit_its_tag_and_its_digest() {
        let digest = ImageDigest::parse(&format!("sha256:{}", "ab".repeat(32))).unwrap();
        for text in [
            "h.example:5000/a/b",
            "h.example:5000/a/b:t",
            "h.example:5000/a/b@sha256:x",
            "h.example:5000/a/b:t@sha256:x",
        ] {
            let reference = ImageReference::parse(text);
            assert_eq!(reference.host.as_deref(), Some("h.example:5000"), "{text}");
            assert_eq!(reference.path, "a/b", "{text}");
            let other = RepositoryName::parse("prod/b").unwrap();
            assert_eq!(reference.other(&other, &digest), format!("h.example:5000/prod/b@{digest}"), "{text}");
        }
        assert_eq!(ImageReference::parse("nginx:1").path, "nginx");
        assert_eq!(ImageReference::parse("library/nginx:1").host, None);
    }

    #[test]
    fn image_reference_matches_only_its_own_repository() {
        let web = RepositoryName::parse("web").unwrap();
        let ours = |text: &str| ImageReference::parse(text).is_of("111122223333", "eu-west-1", &web);
        assert!(ours("111122223333.dkr.ecr.eu-west-1.amazonaws.com/web:main"));
        assert!(ours("111122223333.dkr-ecr.eu-west-1.on.aws/web@sha256:x"));
        for other in [
            "111122223333.dkr.ecr.eu-west-1.amazonaws.com/web2:main",
            "111122223333.dkr.ecr.eu-west-1.amazonaws.com/a/web",
            "111122223333.dkr.ecr.us-east-1.amazonaws.com/web",
            "444455556666.dkr.ecr.eu-west-1.amazonaws.com/web",
            "111122223333.dkr.ecr.eu-west-1.amazonaws.com.evil.example/web",
            "web",
        ] {
            assert!(!ours(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn digests_sort_in_the_order_of_their_first_digits(
            one in "sha256:[0-9a-f]{64}", same in 0..=64_usize, other in "[0-9a-f]{64}"
        ) {
            let other = format!("{}{}", &one[.."sha256:".len() + same], &other[same..]);
            let mut two = [one, other].map(|text| ImageDigest::parse(&text).unwrap());
            two.sort();
            prop_assert!(two[0].beginning() <= two[1].beginning());
        }
    }
}
