//! A link that was mailed, as its receiver uses it.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use xtask::aws::{Aws, Response};
use xtask::inbox::Mail;

use crate::stack;

/// `{api}/decide/{application}/{environment}/{promotion}?t={token}`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Without the query.
    pub page: String,
    pub token: String,
    /// What the mail prints beside it.
    pub code: String,
}

impl Link {
    #[track_caller]
    pub fn of(mail: &Mail) -> Self {
        let (page, token) =
            mail.link().and_then(|url| url.split_once("?t=")).expect("the mail has a link with a token");
        let code = mail.code().unwrap_or_default().to_owned();
        Self { page: page.to_owned(), token: token.to_owned(), code }
    }

    /// As it was mailed.
    pub fn url(&self) -> String {
        format!("{}?t={}", self.page, self.token)
    }

    /// The promotion's id.
    pub fn promotion(&self) -> &str {
        self.page.rsplit('/').next().unwrap_or_default()
    }

    /// The same page, opened with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// Opened by the right token, and decided with another code.
    #[must_use]
    pub fn with_code(&self, code: &str) -> Self {
        Self { code: code.to_owned(), ..self.clone() }
    }

    /// What the page's script asks for.
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

    /// Sends the page's form.
    #[track_caller]
    pub fn decide(&self, decision: &str, reason: &str) -> Response {
        let form = self.form(decision, reason);
        let form_type = Some("application/x-www-form-urlencoded");
        aws().call("POST", &self.page, Some(form.as_bytes()), form_type, false).expect("the page answers")
    }

    pub(crate) fn form(&self, decision: &str, reason: &str) -> String {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        format!(
            "t={}&code={}&decision={}&reason={}",
            encode(&self.token),
            encode(&self.code),
            encode(decision),
            encode(reason)
        )
    }
}

fn aws() -> Aws {
    stack().aws()
}
