//! Tag mutability: whether a repository allows a client to put an existing tag on another image.

use crate::image::ImageTag;
use crate::pattern::Pattern;

/// A repository's tag mutability, with its exclusion filters.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mutability {
    Mutable,
    Immutable,
    /// Mutable, except for tags that match a filter.
    MutableExcept(Vec<Pattern>),
    /// Immutable, except for tags that match a filter.
    ImmutableExcept(Vec<Pattern>),
}

impl Mutability {
    /// Returns whether a client can put the existing tag on another image. If this is impossible
    /// for the stable tag, each pin gets its own tag.
    pub fn can_move(&self, tag: &ImageTag) -> bool {
        let excluded = |filters: &[Pattern]| filters.iter().any(|filter| filter.matches(tag.as_str()));
        match self {
            Self::Mutable => true,
            Self::Immutable => false,
            Self::MutableExcept(filters) => !excluded(filters),
            Self::ImmutableExcept(filters) => excluded(filters),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filters(patterns: &[&str]) -> Vec<Pattern> {
        patterns.iter().map(|pattern| Pattern::parse(pattern).unwrap()).collect()
    }

    #[test]
    fn mutability_decides_whether_a_tag_can_change_its_image() {
        let stable = ImageTag::parse("prod-stable").unwrap();
        for (mutability, moves) in [
            (Mutability::Mutable, true),
            (Mutability::Immutable, false),
            (Mutability::MutableExcept(filters(&["v*"])), true),
            (Mutability::MutableExcept(filters(&["v*", "*-stable"])), false),
            (Mutability::ImmutableExcept(filters(&["*-stable", "latest"])), true),
            (Mutability::ImmutableExcept(filters(&["latest"])), false),
            (Mutability::MutableExcept(vec![]), true),
            (Mutability::ImmutableExcept(vec![]), false),
        ] {
            assert_eq!(mutability.can_move(&stable), moves, "{mutability:?}");
        }
    }

    proptest! {
        #[test]
        fn mutable_except_is_the_opposite_of_immutable_except(
            patterns in prop::collection::vec("[a-z*.-]{1,8}", 0..=5),
            tag in "[a-z][a-z.-]{0,10}",
        ) {
            let filters: Vec<_> = patterns.iter().map(|pattern| Pattern::parse(pattern).unwrap()).collect();
            let tag = ImageTag::parse(&tag).unwrap();
            prop_assert_ne!(
                Mutability::MutableExcept(filters.clone()).can_move(&tag),
                Mutability::ImmutableExcept(filters).can_move(&tag)
            );
        }
    }
}
