//! What every page is in: rendered on the server, whole without a script, nothing loaded from anywhere. Every value is
//! escaped, whoever wrote it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};
use stablepin_rules::one_line::{LONGEST_REASON, one_line};

use crate::{Response, response};

/// What all pages look like, by day and by night, on a desk and on a phone.
pub const STYLE: &str = include_str!("page/style.css");

#[derive(Debug)]
pub struct Page<'a> {
    pub title: &'a str,
    /// Over the title: whose page it is.
    pub above: Markup,
    pub content: &'a Markup,
    /// What only these pages look like.
    pub style: &'a str,
    /// What these pages may run, whether this one does or not.
    pub script: Option<&'a str>,
}

impl Page<'_> {
    /// With a policy that lets a browser take this style and this script, and nothing else from anywhere.
    pub fn response(&self, status: u16) -> Response {
        let style = format!("{STYLE}{}", self.style);
        let body = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) " · Stablepin" }
                    // None, so that no browser asks for one.
                    link rel="icon" href="data:,";
                    style { (PreEscaped(&style)) }
                }
                body { main { p.brand { (self.above) } h1 { (self.title) } (self.content) } }
            }
        };
        let script = self.script.map_or_else(String::new, |script| {
            format!("script-src '{}'; connect-src 'self'; ", source(script))
        });
        let policy = format!(
            "default-src 'none'; style-src '{}'; {script}img-src data:; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'none'",
            source(&style)
        );
        let headers = [
            ("content-security-policy", policy.as_str()),
            ("x-frame-options", "DENY"),
            ("cross-origin-opener-policy", "same-origin"),
            ("x-robots-tag", "noindex"),
        ];
        response(status, "text/html; charset=utf-8", &headers, body.into_string())
    }
}

/// As a policy names what may be on the page.
/// <https://www.w3.org/TR/CSP3/#grammardef-hash-source>
pub fn source(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

/// Free text in reading order.
pub fn line(text: &str) -> String {
    one_line(text, LONGEST_REASON)
}

/// A refusal as people read it.
pub fn sentence(text: &str) -> String {
    let text = line(text);
    let mut letters = text.chars();
    let text: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    ended(&text)
}

/// With a full stop.
pub fn ended(text: &str) -> String {
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{text}{end}")
}
