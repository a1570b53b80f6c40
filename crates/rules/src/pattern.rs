//! Patterns for tags and ARNs. `*` matches any number of characters, including none. `?` matches
//! exactly one character. Like ECR's filters and IAM's resources, patterns have no escapes and no
//! character classes.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html>

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::InvalidName;

/// A pattern of 1 to 2048 visible ASCII characters. Matching is case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

impl Pattern {
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        if (1..=2048).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidName {
                what: "pattern",
                found: text.to_owned(),
                expected: "use 1 to 2048 characters without spaces; * stands for any run of characters, ? for one",
            })
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns true only if this pattern matches every text that the other pattern matches. The
    /// check applies this pattern to the text of the other pattern. A `?` could match a `*` there,
    /// so the result is false if this pattern has a `?` and the other pattern has a wildcard.
    pub fn covers(&self, other: &Self) -> bool {
        let sure = !self.0.contains('?') || !other.0.contains(['*', '?']);
        sure && self.matches(&other.0)
    }

    /// Returns whether the pattern matches the whole text.
    ///
    /// If the match fails, only the latest `*` is tried again with a longer match. An earlier `*`
    /// needs no retry, because the part of the pattern after it was found at the first possible
    /// place. The work is at most the text's length times the pattern's length.
    pub fn matches(&self, text: &str) -> bool {
        let mut pattern = self.0.chars();
        let mut text = text.chars();
        // The part of the pattern after the latest `*`, and the part of the text after that star's
        // match.
        let mut retry = None;
        loop {
            let mut next = pattern.clone();
            let expected = next.next();
            if expected == Some('*') {
                pattern = next;
                retry = Some((pattern.clone(), text.clone()));
                continue;
            }
            let mut rest = text.clone();
            let fits = match (expected, rest.next()) {
                (None, None) => return true,
                (Some(expected), Some(found)) => expected == '?' || expected == found,
                (None, Some(_)) | (Some(_), None) => false,
            };
            if fits {
                (pattern, text) = (next, rest);
                continue;
            }
            let Some((behind, taken)) = &mut retry else { return false };
            if taken.next().is_none() {
                return false;
            }
            (pattern, text) = (behind.clone(), taken.clone());
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = InvalidName;
    fn try_from(text: String) -> Result<Self, InvalidName> {
        Self::parse(&text)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(text)
    }

    #[test]
    fn star_matches_any_text_and_question_mark_one_character() {
        for (pattern, text) in [
            ("main", "main"),
            ("*", ""),
            ("*", "anything"),
            ("main-*", "main-"),
            ("main-*", "main-047b82e"),
            ("v*.*.*", "v1.22.333"),
            ("v?", "v1"),
            ("*-stable", "prod-stable-stable"),
            ("**a**", "a"),
            ("?", "é"),
            (
                "arn:aws:ecr:*:111122223333:repository/prod/*",
                "arn:aws:ecr:eu-west-1:111122223333:repository/prod/web",
            ),
        ] {
            assert!(matches(pattern, text), "{pattern} should match {text}");
        }
        for (pattern, text) in [
            ("main", "main2"),
            ("main", "Main"),
            ("main-*", "main"),
            ("v*.*.*", "v1.2"),
            ("v?", "v"),
            ("?", ""),
            ("*a", "ab"),
            ("[ab]", "a"),
            (r"\*", "*"),
        ] {
            assert!(!matches(pattern, text), "{pattern} should not match {text}");
        }
    }

    #[test]
    fn pattern_parser_refuses_invalid_patterns() {
        for bad in ["", "a b", "a\n", "é", "\u{0}", "a".repeat(2049).as_str()] {
            assert!(Pattern::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn pattern_with_many_stars_matches_in_bounded_time() {
        let pattern = Pattern::parse(&"*a".repeat(1000)).unwrap();
        assert!(!pattern.matches(&format!("{}b", "a".repeat(20_000))));
        assert!(pattern.matches(&"a".repeat(20_000)));
    }

    /// Matches a short text by a recursion that directly follows the definition of patterns.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            (Some((b'?', rest)), Some((_, text))) => naive(rest, text),
            (Some((a, rest)), Some((b, text))) if a == b => naive(rest, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn pattern_matcher_agrees_with_a_naive_matcher(pattern in "[ab*?]{1,10}", text in "[ab]{0,12}") {
            prop_assert_eq!(matches(&pattern, &text), naive(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn covering_pattern_matches_all_texts_of_the_covered_pattern(wide in "[ab*?]{1,4}", pattern in "[ab*?]{1,4}", text in "[ab]{0,6}") {
            let [wide, pattern] = [wide, pattern].map(|text| Pattern::parse(&text).unwrap());
            prop_assert!(!wide.covers(&pattern) || !pattern.matches(&text) || wide.matches(&text));
        }

        #[test]
        fn star_matches_any_text(pattern in "[!-~]{1,40}", text in any::<String>()) {
            let pattern = Pattern::parse(&pattern).unwrap();
            pattern.matches(&text);
            prop_assert!(Pattern::parse("*").unwrap().matches(&text));
        }
    }
}
