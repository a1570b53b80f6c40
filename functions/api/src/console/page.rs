//! The console's pages. Every value is escaped, whoever wrote it. Every page is smaller than 20 kB:
//! a link leads to what does not fit.

mod application;
mod overview;
mod standing;

use std::collections::BTreeMap;

use jiff::Timestamp;
use maud::{Markup, PreEscaped, html};
use stablepin_http::Response;
use stablepin_http::page::Page;
use stablepin_rules::application::ServiceName;
use stablepin_rules::image::ImageDigest;
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::one_line::one_line;
use stablepin_rules::records::{Operation, Pin, PromotionState, Subject, Work};
use stablepin_rules::words::time;

use super::command;
use crate::AllowedResources;

pub(super) use application::{Application, application};
pub(super) use overview::overview;

const STYLE: &str = include_str!("page/style.css");

/// The most bytes of a page's parts together. Its frame and its style need the rest of 20 kB.
const ROOM: usize = 13_000;

/// The most environments that are read for one page. Fewer may fit.
pub(super) const MOST_ENVIRONMENTS: usize = 8;

/// The most characters of a free text, by people or AWS, that a page shows.
const LONGEST_WORDS: usize = 120;

/// The time of the page, and the time when the link expires.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visit {
    pub(super) now: Timestamp,
    pub(super) until: Timestamp,
}

/// An application in the overview.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) name: ApplicationName,
    /// `None` if the environments could not be read.
    pub(super) environments: Option<Vec<Environment>>,
}

/// An environment, with everything that was read for it.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) subject: Subject,
    pub(super) pending: Pending,
    /// Empty in the overview.
    pub(super) live: Vec<LiveRow>,
    /// Newest first; empty in the overview.
    pub(super) pins: Vec<Pin>,
}

/// The promotions that wait for approval.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) count: usize,
    /// The build tag of the newest one.
    pub(super) newest: Option<String>,
}

#[derive(Debug)]
pub(super) struct LiveRow {
    pub(super) service: ServiceName,
    pub(super) found: Found,
}

#[derive(Debug)]
pub(super) enum Found {
    /// The number of running tasks for each digest. `None` stands for an unknown digest.
    Tasks(BTreeMap<Option<ImageDigest>, usize>),
    Unreadable,
    /// The page had already read as many services as it may.
    NotRead,
}

/// Counts the environment's pending promotions among an application's newest ones.
pub(super) fn pending(name: &EnvironmentName, promotions: &[(EnvironmentName, Operation)]) -> Pending {
    let mut pending = Pending::default();
    for (of, operation) in promotions {
        if let Work::Promotion(promotion) = &operation.work
            && (of, promotion.state) == (name, PromotionState::Pending)
        {
            pending.count += 1;
            pending.newest.get_or_insert_with(|| promotion.build.build_tag.to_string());
        }
    }
    pending
}

fn page(status: u16, title: &str, visit: Visit, content: &Markup) -> Response {
    let content = html! {
        (content)
        p.small {
            "As of " (time(visit.now)) ". Your link ends on " (time(visit.until))
            ". Nothing can be changed here: what changes something is a signed request."
        }
    };
    framed(status, title, &content)
}

fn framed(status: u16, title: &str, content: &Markup) -> Response {
    let above = html! { a href="/console" { "Stablepin console" } };
    Page { title, above, content, style: STYLE, script: None }.response(status)
}

/// Renders the same page for every link that does not open the console, whatever the reason.
pub(super) fn refused(settings: &AllowedResources) -> Response {
    let content = html! {
        p { "The link is not known, or its hour is over. A new one is minted by whoever may call "
            code { "POST /v1/console" } ":" }
        (copied("mint", "A new link", &command::console(settings)))
        p { "Open the " code { "url" } " of its answer. It works for an hour, as often as you like." }
    };
    framed(404, "This link does not open the console", &content)
}

pub(super) fn no_such_application(visit: Visit) -> Response {
    let content = html! { p { "There is no application of that name." } p { a href="/console" { "All applications" } } };
    page(404, "Not here", visit, &content)
}

pub(super) fn internal_error(request_id: &str) -> Response {
    let content = html! {
        p { "Something went wrong on our side. Reload the page to try again." }
        p { "If it stays so, quote " code { (request_id) } "." }
    };
    framed(500, "That did not work", &content)
}

/// Renders a command to copy. It stands in a text field, where the keyboard alone can select it.
fn copied(id: &str, label: &str, command: &str) -> Markup {
    html! {
        label for=(id) { (label) ", in a shell with your AWS credentials" }
        textarea #(id) rows="7" readonly spellcheck="false" { (command) }
    }
}

/// Returns as many parts as fit, and their number. The first part always counts as fitting.
fn fitting(room: usize, parts: impl IntoIterator<Item = Markup>) -> (Markup, usize) {
    let (mut text, mut count) = (String::new(), 0);
    for part in parts {
        let part = part.into_string();
        if count > 0 && text.len() + part.len() > room {
            break;
        }
        text.push_str(&part);
        count += 1;
    }
    (PreEscaped(text), count)
}

/// The beginning of a digest, enough for people to tell it from others.
fn short(digest: &ImageDigest) -> Markup {
    html! { code { "sha256:" (digest.hex()[..12]) } }
}

fn words(text: &str) -> String {
    one_line(text, LONGEST_WORDS)
}

#[cfg(test)]
mod tests;
