//! The frame of every HTML page. The server renders the whole page: it works without a script and
//! loads nothing from other hosts. Every value is escaped, whatever its source.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};
use stablepin_rules::one_line::{LONGEST_REASON, ended, one_line};

use crate::{Response, response};

/// The style sheet that all pages share. It covers light and dark mode, desktops and phones.
pub const STYLE: &str = include_str!("page/style.css");

#[derive(Debug)]
pub struct Page<'a> {
    pub title: &'a str,
    /// Text above the title that names the owner of the page.
    pub above: Markup,
    pub content: &'a Markup,
    /// Style rules that only these pages need.
    pub style: &'a str,
    /// The script that these pages may run, even if this page does not include it.
    pub script: Option<&'a str>,
}

impl Page<'_> {
    /// Renders the page with a Content-Security-Policy header. The policy lets the browser use this
    /// style and this script, and load nothing else.
    pub fn response(&self, status: u16) -> Response {
        let style = format!("{STYLE}{}", self.style);
        let body = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) " · Stablepin" }
                    // An empty icon, so that no browser requests `/favicon.ico`.
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

/// Returns the hash of a style or a script, in the form that a Content-Security-Policy takes.
/// <https://www.w3.org/TR/CSP3/#grammardef-hash-source>
pub fn source(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

/// Cleans free text for display: one line, in reading order, not too long.
pub fn line(text: &str) -> String {
    one_line(text, LONGEST_REASON)
}

/// Turns the text of a refusal into a sentence: a capital letter first, a full stop last.
pub fn sentence(text: &str) -> String {
    let text = line(text);
    let mut letters = text.chars();
    let text: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    ended(&text)
}
