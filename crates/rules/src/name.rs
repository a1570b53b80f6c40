//! Names that people choose, for applications, environments and approvers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The error for an invalid name. It has the text and the expected form.
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

macro_rules! slug {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, InvalidName> {
                if is_slug(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidName { what: $what, found: text.to_owned(), expected: SLUG })
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

slug!(
    /// The name of an application, which one source repository builds.
    ApplicationName,
    "application name"
);
slug!(
    /// The name of an environment that runs an application. Its build tags begin with it.
    EnvironmentName,
    "environment name"
);
slug!(
    /// The name of a person who may approve. Votes count names, whichever way they were given.
    ApproverName,
    "approver name"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_are_safe_in_keys_tags_and_paths() {
        for good in ["a", "web", "prod-eu-1", "a".repeat(40).as_str()] {
            assert_eq!(ApplicationName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "a--b", "1a", "Web", "a b", "a#b", "a/b", "é", "a".repeat(41).as_str()] {
            assert!(ApplicationName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
