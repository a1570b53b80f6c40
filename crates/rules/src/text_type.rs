//! Macros for types that wrap a checked text, such as names, tags and digests.

/// Implements the conversions between a type and its text.
///
/// The type must have `parse(&str) -> Result<Self, InvalidName>` and `Display`.
macro_rules! text_conversions {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = $crate::name::InvalidName;
            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.to_string()
            }
        }
    };
}

/// Defines a type that wraps a checked text. If the only argument is the name of an existing tuple
/// struct with one `String`, the macro only adds the conversions and `Display` to that struct.
macro_rules! text_type {
    ($name:ident) => {
        text_conversions!($name);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:expr, $is_valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, $crate::name::InvalidName> {
                if $is_valid(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    let found = text.to_owned();
                    Err($crate::name::InvalidName { what: $what, found, expected: $expected })
                }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        text_type!($name);
    };
}
