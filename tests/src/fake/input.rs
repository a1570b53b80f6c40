//! Reads the fields of a request and checks their types.

use serde_json::{Map, Value};

/// An error response of a fake.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) message: String,
}

impl Refused {
    pub(crate) fn new(status: u16, kind: &str, message: impl Into<String>) -> Self {
        Self { status, kind: kind.to_owned(), message: message.into() }
    }

    pub(crate) fn parameter(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidParameterException", message)
    }

    /// Returns the error for a request that the fake does not know. The error also fails the test.
    pub(crate) fn unknown(message: impl Into<String>) -> Self {
        Self::new(501, UNKNOWN, message)
    }

    pub(crate) fn is_unknown(&self) -> bool {
        self.kind == UNKNOWN
    }
}

/// The error type of unknown requests. AWS has no such type, so no program can mistake the error
/// for an error of AWS.
const UNKNOWN: &str = "NotInTheFake";

pub(crate) type Answer = Result<Value, Refused>;

pub(crate) struct Input<'a> {
    pub(crate) operation: &'a str,
    pub(crate) members: &'a Map<String, Value>,
}

impl<'a> Input<'a> {
    /// Refuses a request with fields that the fake does not know.
    pub(crate) fn knows(&self, known: &[&str]) -> Result<(), Refused> {
        knows(self.operation, self.members, known)
    }

    fn wrong(&self, member: &str, expected: &str) -> Refused {
        // AWS returns this error if a field has the wrong type.
        let message = format!("{}: {member} is not {expected}", self.operation);
        Refused::new(400, "SerializationException", message)
    }

    pub(crate) fn get(&self, member: &str) -> Option<&'a Value> {
        self.members.get(member).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&self, member: &str) -> Result<Option<&'a str>, Refused> {
        let value = self.get(member);
        value.map(|value| value.as_str().ok_or_else(|| self.wrong(member, "a string"))).transpose()
    }

    pub(crate) fn needed(&self, member: &str) -> Result<&'a str, Refused> {
        let text = self.text(member)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| Refused::parameter(format!("{member} cannot be empty.")))
    }

    pub(crate) fn count(&self, member: &str) -> Result<Option<u32>, Refused> {
        let read = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let value = self.get(member);
        value.map(|value| read(value).ok_or_else(|| self.wrong(member, "a count"))).transpose()
    }

    pub(crate) fn flag(&self, member: &str) -> Result<bool, Refused> {
        let read = |value: &Value| value.as_bool().ok_or_else(|| self.wrong(member, "true or false"));
        self.get(member).map_or(Ok(false), read)
    }

    pub(crate) fn list(&self, member: &str) -> Result<Vec<&'a Value>, Refused> {
        let Some(value) = self.get(member) else { return Ok(Vec::new()) };
        value.as_array().map(|list| list.iter().collect()).ok_or_else(|| self.wrong(member, "a list"))
    }

    pub(crate) fn texts(&self, member: &str) -> Result<Vec<&'a str>, Refused> {
        let all = self.list(member)?;
        all.into_iter().map(|one| one.as_str().ok_or_else(|| self.wrong(member, "strings"))).collect()
    }

    pub(crate) fn object(&self, member: &str) -> Result<Option<&'a Map<String, Value>>, Refused> {
        let value = self.get(member);
        value.map(|value| value.as_object().ok_or_else(|| self.wrong(member, "an object"))).transpose()
    }

    /// Returns the text, which must be one of the enumeration's values.
    pub(crate) fn one_of(&self, member: &str, values: &[&str]) -> Result<Option<&'a str>, Refused> {
        let text = self.text(member)?;
        match text.filter(|text| !values.contains(text)) {
            None => Ok(text),
            Some(text) => {
                Err(Refused::parameter(format!("{member} {text} is none of {}.", values.join(", "))))
            }
        }
    }
}

pub(crate) fn knows(what: &str, members: &Map<String, Value>, known: &[&str]) -> Result<(), Refused> {
    match members.keys().find(|member| !known.contains(&member.as_str())) {
        None => Ok(()),
        Some(member) => {
            Err(Refused::unknown(format!("{what}: the fake does not know the member {member:?}")))
        }
    }
}
