//! A link in a mail. Its methods act as the person who received the mail.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use xtask::aws::{Aws, Response};
use xtask::inbox::Mail;

use crate::stack;

/// An approval link: `{api}/decide/{application}/{environment}/{promotion}?t={token}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The address without the query.
    pub page: String,
    pub token: String,
    /// The code that the mail shows next to the link.
    pub code: String,
    /// The text that the approver types as the environment's name.
    pub typed: String,
    /// The hash of the facts that the page showed. `None` before the test opens the page.
    pub facts: Option<String>,
}

impl Link {
    #[track_caller]
    pub fn of(mail: &Mail) -> Self {
        let (page, token) =
            mail.link().and_then(|url| url.split_once("?t=")).expect("the mail has a link with a token");
        let code = mail.code().unwrap_or_default().to_owned();
        Self { page: page.to_owned(), token: token.to_owned(), code, typed: String::new(), facts: None }
    }

    /// Returns the URL of the link in the mail.
    pub fn url(&self) -> String {
        format!("{}?t={}", self.page, self.token)
    }

    /// Returns the promotion's id.
    pub fn promotion(&self) -> &str {
        self.page.rsplit('/').next().unwrap_or_default()
    }

    /// Returns a copy of the link with this token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// Returns a copy of the link with this code and the same token.
    #[must_use]
    pub fn with_code(&self, code: &str) -> Self {
        Self { code: code.to_owned(), ..self.clone() }
    }

    /// Returns a copy of the link with this text as the typed name of the environment.
    #[must_use]
    pub fn typing(&self, text: &str) -> Self {
        Self { typed: text.to_owned(), ..self.clone() }
    }

    /// Opens the page and returns a link with the hash of the page's facts. Decisions through the
    /// returned link send this hash.
    #[track_caller]
    #[must_use]
    pub fn seen(&self) -> Self {
        let page = self.get().text();
        let hash = page.split_once("name=\"facts\" value=\"").and_then(|(_, rest)| rest.split_once('"'));
        Self { facts: Some(hash.expect("the page has a form").0.to_owned()), ..self.clone() }
    }

    /// Requests the decision's status, as the script of the page does.
    #[track_caller]
    pub fn status(&self) -> Response {
        let url = format!("{}/status?t={}", self.page, self.token);
        aws().call("GET", &url, None, None, false).expect("the page answers")
    }

    #[track_caller]
    pub fn get(&self) -> Response {
        self.look("GET")
    }

    #[track_caller]
    pub fn head(&self) -> Response {
        self.look("HEAD")
    }

    #[track_caller]
    fn look(&self, method: &str) -> Response {
        aws().call(method, &self.url(), None, None, false).expect("the page answers")
    }

    #[track_caller]
    pub fn approve(&self) -> Response {
        self.decide("approve", "")
    }

    #[track_caller]
    pub fn reject(&self, reason: &str) -> Response {
        self.decide("reject", reason)
    }

    /// Submits the page's form.
    #[track_caller]
    pub fn decide(&self, decision: &str, reason: &str) -> Response {
        let form = self.form(decision, reason);
        let form_type = Some("application/x-www-form-urlencoded");
        aws().call("POST", &self.page, Some(form.as_bytes()), form_type, false).expect("the page answers")
    }

    pub(crate) fn form(&self, decision: &str, reason: &str) -> String {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let facts = self.facts.as_ref().map(|facts| ("facts", facts.as_str()));
        let fields = [
            ("t", self.token.as_str()),
            ("code", &self.code),
            ("typed", &self.typed),
            ("decision", decision),
            ("reason", reason),
        ];
        let fields = fields.into_iter().chain(facts);
        fields.map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
    }
}

fn aws() -> Aws {
    stack().aws()
}
