//! Problem documents: errors for people and programs.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{Response, response};

/// A problem document (`application/problem+json`). <https://www.rfc-editor.org/rfc/rfc9457>
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Problem {
    /// The type: a URN that later releases must not change, because programs compare it.
    #[serde(rename = "type")]
    pub kind: String,
    /// The title. Every problem of the same type has the same title.
    pub title: String,
    pub status: u16,
    /// The explanation of this case: what happened, and what the caller can do.
    pub detail: String,
    /// Further fields of the JSON object, by name.
    #[serde(flatten)]
    pub members: Map<String, Value>,
}

impl Problem {
    /// Creates a problem. Its type is `urn:stablepin:problem:{kind}`.
    pub fn new(status: u16, kind: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:stablepin:problem:{kind}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            members: Map::new(),
        }
    }

    pub fn not_found(what: &str) -> Self {
        Self::new(404, "not-found", "Not found", format!("there is no {what}"))
    }

    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(400, "bad-request", "The request is not valid", detail)
    }

    /// Creates a problem that Stablepin's operators must fix. The operators find the cause in the
    /// logs by the request's id. `what` says what happened, and the consequence.
    pub fn internal(request_id: &str, what: &str) -> Self {
        let detail = format!("{what}: try again. If it fails again, quote request {request_id}");
        Self::new(500, "internal", "Something went wrong here", detail)
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.members.insert(name.to_owned(), json!(value));
        self
    }

    pub fn response(&self) -> Response {
        let body = serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned());
        response(self.status, "application/problem+json", &[], body)
    }
}
