//! The digests in the text of a manifest that cannot be parsed.

use std::collections::BTreeSet;

use stablepin_rules::image::ImageDigest;

/// The most children that Stablepin reads from one image index. An image index for twelve platforms
/// with attestations has 24 children.
pub const MOST_CHILDREN: usize = 1000;

/// Returns every digest in the text. A manifest that cannot be parsed can refer only to these
/// digests. None if there are more than [`MOST_CHILDREN`], or if a `\u` escape may hide a digest.
pub fn mentioned(bytes: &str) -> Option<BTreeSet<ImageDigest>> {
    const BEGINS: &str = "sha256:";
    if bytes.contains("\\u") {
        return None;
    }
    let text = bytes.to_ascii_lowercase();
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices(BEGINS) {
        let digest = text.get(at..at + BEGINS.len() + 64).map(ImageDigest::parse);
        if let Some(Ok(digest)) = digest {
            found.insert(digest);
        }
        if found.len() > MOST_CHILDREN {
            return None;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_digest_in_an_unparsable_manifest_is_returned_once() {
        let digest = |n: usize| format!("sha256:{n:064x}");
        let of = |text: &str| {
            mentioned(text).map(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let text = format!("{{\"a\": \"{}\", \"b\": [\"{}\", \"{0}\"]", digest(2), digest(1).to_uppercase());
        assert_eq!(of(&text), Some(vec![digest(1), digest(2)]));
        assert_eq!(of("no manifest sha256:12 sha512:00 ä"), Some(vec![]));
        assert_eq!(of(&format!("sha256:{}", digest(3))), Some(vec![digest(3)]));
        assert_eq!(
            of(&format!("\\u0073ha256:{} {}", digest(1), digest(2))),
            None,
            "the escape may hide a digest"
        );
        let many: String = (0..=MOST_CHILDREN).map(digest).collect();
        assert_eq!(of(&many), None);
    }
}
