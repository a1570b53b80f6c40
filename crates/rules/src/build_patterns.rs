//! The patterns of pushed tags that count as builds: the `builds` setting of an application's file.

use crate::image::ImageTag;
use crate::pattern::Pattern;

/// The patterns that decide which pushed tags are builds. The order of the patterns has no effect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildPatterns {
    pub include: Vec<Pattern>,
    /// The patterns that follow a `!` in the file.
    pub exclude: Vec<Pattern>,
}

impl BuildPatterns {
    /// Returns whether the tag is a build: an include pattern matches it, and no exclude pattern
    /// does.
    pub fn matches(&self, tag: &ImageTag) -> bool {
        self.pattern_of(tag).is_some()
    }

    /// Returns the include pattern that makes the tag a build. None if the tag is not a build.
    pub fn pattern_of(&self, tag: &ImageTag) -> Option<&Pattern> {
        let tag = tag.as_str();
        let include = self.include.iter().find(|pattern| pattern.matches(tag))?;
        (!self.exclude.iter().any(|pattern| pattern.matches(tag))).then_some(include)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn patterns(list: &[&str]) -> BuildPatterns {
        let mut patterns = BuildPatterns::default();
        for text in list {
            match text.strip_prefix('!') {
                Some(text) => patterns.exclude.push(Pattern::parse(text).unwrap()),
                None => patterns.include.push(Pattern::parse(text).unwrap()),
            }
        }
        patterns
    }

    fn builds<'a>(list: &[&str], tags: &[&'a str]) -> Vec<&'a str> {
        let patterns = patterns(list);
        tags.iter().copied().filter(|tag| patterns.matches(&ImageTag::parse(tag).unwrap())).collect()
    }

    #[test]
    fn tag_that_matches_an_exclude_pattern_is_no_build() {
        let tags = ["main", "main-amd64", "main-arm64", "main-1a2b3c4", "v1", "v1-arm64"];
        assert_eq!(builds(&["main", "main-*", "!main-amd64"], &tags), ["main", "main-arm64", "main-1a2b3c4"]);
        assert_eq!(builds(&["main*", "v*", "!*-a??64"], &tags), ["main", "main-1a2b3c4", "v1"]);
        assert_eq!(builds(&["!main-*", "*"], &tags), ["main", "v1", "v1-arm64"], "the order does not matter");
        assert_eq!(builds(&["main-*", "!main-*"], &tags), [""; 0], "an exclusion wins");
    }

    proptest! {
        #[test]
        fn order_of_patterns_does_not_change_the_builds(
            list in proptest::collection::vec("!?[ab*?]{1,4}", 1..6),
            tag in "[ab]{1,6}",
        ) {
            let list: Vec<&str> = list.iter().map(String::as_str).collect();
            let backwards: Vec<&str> = list.iter().rev().copied().collect();
            let tag = ImageTag::parse(&tag).unwrap();
            let expected = list.iter().any(|one| !one.starts_with('!') && patterns(&[one]).matches(&tag))
                && !list.iter().filter_map(|one| one.strip_prefix('!')).any(|one| patterns(&[one]).matches(&tag));
            prop_assert_eq!(patterns(&list).matches(&tag), expected);
            prop_assert_eq!(patterns(&backwards).matches(&tag), expected);
        }
    }
}
