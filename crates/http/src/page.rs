//! The frame of every HTML page. The server renders the whole page, so a page works without
//! scripts. A page loads nothing from other hosts. The frame escapes every value, from any source.

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
    /// The text above the title, such as the product's name.
    pub above: Markup,
    pub content: &'a Markup,
    /// The style rules that this kind of page adds to [`STYLE`].
    pub style: &'a str,
    /// The script that this kind of page may run. A single page may omit the script.
    pub script: Option<&'a str>,
}

impl Page<'_> {
    /// Renders the page with a Content-Security-Policy header. The policy allows the browser only
    /// the style and the script of the page.
    pub fn response(&self, status: u16) -> Response {
        let style = format!("{STYLE}{}", self.style);
        let body = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) " · Stablepin" }
                    // The empty icon stops browsers from requesting `/favicon.ico`.
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

/// Returns the hash of a style or a script, in the format of a Content-Security-Policy.
/// <https://www.w3.org/TR/CSP3/#grammardef-hash-source>
pub fn source(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text.as_bytes())))
}

/// Cleans free text for display. The result is one line of limited length, in reading order.
pub fn line(text: &str) -> String {
    one_line(text, LONGEST_REASON)
}

/// Turns the text of a refusal into a sentence with a capital letter and a full stop.
pub fn sentence(text: &str) -> String {
    let text = line(text);
    let mut letters = text.chars();
    let text: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    ended(&text)
}
