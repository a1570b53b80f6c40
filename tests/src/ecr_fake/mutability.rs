//! The tag mutability of a repository.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html>

use serde_json::{Value, json};

use crate::fake::input::{Input, Refused, knows};

/// The setting that decides which existing tags a push may move to another image. A filter is a
/// pattern for tags, in which `*` matches any number of characters.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ImageTagMutabilityExclusionFilter.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagMutability {
    Mutable,
    Immutable,
    /// A push may change an existing tag only if the tag matches one of these filters.
    ImmutableExcept(Vec<String>),
    /// A push may change an existing tag unless the tag matches one of these filters.
    MutableExcept(Vec<String>),
}

const MODES: [&str; 4] = ["MUTABLE", "IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION", "MUTABLE_WITH_EXCLUSION"];

/// The maximum number of filters of a repository.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImageTagMutability.html>
const FILTERS: usize = 5;

impl TagMutability {
    /// Parses the mutability in a request.
    pub(super) fn read(input: &Input<'_>) -> Result<Self, Refused> {
        const MEMBER: &str = "imageTagMutabilityExclusionFilters";
        let mode = input.one_of("imageTagMutability", &MODES)?.unwrap_or("MUTABLE");
        let mut filters = Vec::new();
        for filter in input.list(MEMBER)? {
            let members =
                filter.as_object().ok_or_else(|| Refused::parameter(format!("{MEMBER}: no object")))?;
            knows(MEMBER, members, &["filterType", "filter"])?;
            let text = filter["filter"].as_str().unwrap_or_default();
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._*-".contains(&byte);
            if filter["filterType"] != "WILDCARD"
                || !(1..=128).contains(&text.len())
                || !text.bytes().all(letter)
            {
                return Err(Refused::parameter(format!("Invalid parameter at '{MEMBER}': {filter}")));
            }
            filters.push(text.to_owned());
        }
        // Assumption: ECR requires filters for a mode with exclusion, and refuses filters for other
        // modes.
        let excludes = mode.ends_with("_WITH_EXCLUSION");
        if excludes != (1..=FILTERS).contains(&filters.len()) || (!excludes && !filters.is_empty()) {
            return Err(Refused::parameter(format!("{mode} does not go with {} filters.", filters.len())));
        }
        Ok(match mode {
            "IMMUTABLE" => Self::Immutable,
            "IMMUTABLE_WITH_EXCLUSION" => Self::ImmutableExcept(filters),
            "MUTABLE_WITH_EXCLUSION" => Self::MutableExcept(filters),
            _ => Self::Mutable,
        })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Mutable => MODES[0],
            Self::Immutable => MODES[1],
            Self::ImmutableExcept(_) => MODES[2],
            Self::MutableExcept(_) => MODES[3],
        }
    }

    pub(super) fn filters(&self) -> &[String] {
        match self {
            Self::Mutable | Self::Immutable => &[],
            Self::ImmutableExcept(filters) | Self::MutableExcept(filters) => filters,
        }
    }

    pub(super) fn described(&self) -> Value {
        self.filters().iter().map(|filter| json!({ "filterType": "WILDCARD", "filter": filter })).collect()
    }

    pub(super) fn lets_move(&self, tag: &str) -> bool {
        let excluded = self.filters().iter().any(|filter| matches(filter, tag));
        match self {
            Self::Mutable => true,
            Self::Immutable => false,
            Self::ImmutableExcept(_) => excluded,
            Self::MutableExcept(_) => !excluded,
        }
    }
}

fn matches(filter: &str, tag: &str) -> bool {
    let Some((begin, rest)) = filter.split_once('*') else { return filter == tag };
    let Some(tag) = tag.strip_prefix(begin) else { return false };
    tag.char_indices().map(|(at, _)| at).chain([tag.len()]).any(|at| matches(rest, &tag[at..]))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn star_in_filter_matches_any_number_of_characters() {
        for (filter, tag, expected) in [
            ("latest", "latest", true),
            ("latest", "latest-1", false),
            ("latest*", "latest", true),
            ("*-stable", "prod-stable", true),
            ("*-stable", "prod-stable-1", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c", false),
            ("*", "anything", true),
        ] {
            assert_eq!(matches(filter, tag), expected, "{filter} {tag}");
        }
    }
}
