//! Names that people choose, for applications, environments and approvers.

/// The error for an invalid name. It contains the invalid text and describes the expected form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {found:?} is not valid: {expected}")]
pub struct InvalidName {
    pub what: &'static str,
    pub found: String,
    pub expected: &'static str,
}

const SLUG: &str = "use 1 to 40 lower-case letters, digits and single hyphens, beginning with a letter";

fn is_slug(text: &str) -> bool {
    text.len() <= 40
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && !text.contains("--")
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

text_type!(
    /// The name of an application. One source repository builds an application.
    ApplicationName,
    "application name",
    SLUG,
    is_slug
);
text_type!(
    /// The name of an environment, which runs an application. Build tags begin with the name of an
    /// environment.
    EnvironmentName,
    "environment name",
    SLUG,
    is_slug
);
text_type!(
    /// The name of a person who may approve. Each name has one vote, by link or by signed request.
    ApproverName,
    "approver name",
    SLUG,
    is_slug
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_parser_accepts_only_slugs() {
        for good in ["a", "web", "prod-eu-1", "a".repeat(40).as_str()] {
            assert_eq!(ApplicationName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "a--b", "1a", "Web", "a b", "a#b", "a/b", "é", "a".repeat(41).as_str()] {
            assert!(ApplicationName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
