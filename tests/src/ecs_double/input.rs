//! A request's members, each read as what it has to be.

use serde_json::{Map, Value};

/// What is answered instead of a result.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html>
#[derive(Debug, Clone)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) kind: String,
    pub(super) message: String,
}

impl Refused {
    pub(super) fn new(status: u16, kind: &str, message: impl Into<String>) -> Self {
        Self { status, kind: kind.to_owned(), message: message.into() }
    }

    pub(super) fn client(message: impl Into<String>) -> Self {
        Self::new(400, "ClientException", message)
    }

    pub(super) fn parameter(message: impl Into<String>) -> Self {
        Self::new(400, "InvalidParameterException", message)
    }

    /// The double is not ECS here, and the test should know.
    pub(super) fn unknown(message: impl Into<String>) -> Self {
        Self::new(501, UNKNOWN, message)
    }
}

/// No error of AWS, and none that a program could take for "this ECS does not offer that".
pub(super) const UNKNOWN: &str = "NotInTheDouble";

pub(super) type Answer = Result<Value, Refused>;

pub(super) struct Input<'a> {
    pub(super) operation: &'a str,
    pub(super) members: &'a Map<String, Value>,
}

impl<'a> Input<'a> {
    /// Refuses members that the double would not heed.
    pub(super) fn knows(&self, known: &[&str]) -> Result<(), Refused> {
        knows(self.operation, self.members, known)
    }

    fn wrong(&self, member: &str, expected: &str) -> Refused {
        // What AWS answers to JSON of another shape than its model's.
        let message = format!("{}: {member} is not {expected}", self.operation);
        Refused::new(400, "SerializationException", message)
    }

    pub(super) fn get(&self, member: &str) -> Option<&'a Value> {
        self.members.get(member).filter(|value| !value.is_null())
    }

    pub(super) fn text(&self, member: &str) -> Result<Option<&'a str>, Refused> {
        let value = self.get(member);
        value.map(|value| value.as_str().ok_or_else(|| self.wrong(member, "a string"))).transpose()
    }

    pub(super) fn needed(&self, member: &str) -> Result<&'a str, Refused> {
        let text = self.text(member)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| Refused::parameter(format!("{member} cannot be empty.")))
    }

    pub(super) fn count(&self, member: &str) -> Result<Option<u32>, Refused> {
        let read = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let value = self.get(member);
        value.map(|value| read(value).ok_or_else(|| self.wrong(member, "a count"))).transpose()
    }

    pub(super) fn flag(&self, member: &str) -> Result<bool, Refused> {
        let read = |value: &Value| value.as_bool().ok_or_else(|| self.wrong(member, "true or false"));
        self.get(member).map_or(Ok(false), read)
    }

    pub(super) fn list(&self, member: &str) -> Result<Vec<&'a Value>, Refused> {
        let Some(value) = self.get(member) else { return Ok(Vec::new()) };
        value.as_array().map(|list| list.iter().collect()).ok_or_else(|| self.wrong(member, "a list"))
    }

    pub(super) fn texts(&self, member: &str) -> Result<Vec<&'a str>, Refused> {
        let all = self.list(member)?;
        all.into_iter().map(|one| one.as_str().ok_or_else(|| self.wrong(member, "strings"))).collect()
    }

    pub(super) fn object(&self, member: &str) -> Result<Option<&'a Map<String, Value>>, Refused> {
        let value = self.get(member);
        value.map(|value| value.as_object().ok_or_else(|| self.wrong(member, "an object"))).transpose()
    }

    /// One of an enumeration's values.
    pub(super) fn one_of(&self, member: &str, values: &[&str]) -> Result<Option<&'a str>, Refused> {
        let text = self.text(member)?;
        match text.filter(|text| !values.contains(text)) {
            None => Ok(text),
            Some(text) => {
                Err(Refused::parameter(format!("{member} {text} is none of {}.", values.join(", "))))
            }
        }
    }
}

pub(super) fn knows(what: &str, members: &Map<String, Value>, known: &[&str]) -> Result<(), Refused> {
    match members.keys().find(|member| !known.contains(&member.as_str())) {
        None => Ok(()),
        Some(member) => {
            Err(Refused::unknown(format!("{what}: the double does not know the member {member:?}")))
        }
    }
}
