//! A link to the console. Its methods act as the person who created the link.

use xtask::aws::Response;
use xtask::secrets;

use crate::stack;

/// A console link: `{api}/console?t={token}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Console {
    pub token: String,
}

impl Console {
    /// Requests a new link from the API. The account's credentials sign the request.
    #[track_caller]
    pub fn mint() -> Self {
        let url = format!("{}/v1/console", stack().api());
        let answer = stack().aws().call("POST", &url, None, None, true).expect("the API answers");
        assert_eq!(answer.status, 201, "{}", answer.text());
        let link = answer.json("api").expect("the API answers JSON");
        let link = link["url"].as_str().and_then(|url| url.strip_prefix(stack().api()));
        let token = link.and_then(|link| link.strip_prefix("/console?t=")).expect("a link with a token");
        secrets::remember(stack().folder(), token).expect("a test can search the logs for it");
        Self { token: token.to_owned() }
    }

    /// Returns a link with this token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self { token: token.to_owned() }
    }

    pub fn url(&self) -> String {
        format!("{}/console?t={}", stack().api(), self.token)
    }

    /// Opens the link.
    #[track_caller]
    pub fn open(&self) -> Response {
        stack().aws().call("GET", &self.url(), None, None, false).expect("the console answers")
    }

    /// Opens a page below `/console`. Sends the cookie that the console sets when a person opens
    /// the link.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.look("GET", path)
    }

    #[track_caller]
    pub fn head(&self, path: &str) -> Response {
        self.look("HEAD", path)
    }

    #[track_caller]
    fn look(&self, method: &str, path: &str) -> Response {
        let url = format!("{}/console{path}", stack().api());
        let cookie = format!("else=1; stablepin-console={}", self.token);
        let headers = [("cookie", cookie.as_str())];
        stack().aws().call_with(method, &url, &headers, None, false).expect("the console answers")
    }
}
