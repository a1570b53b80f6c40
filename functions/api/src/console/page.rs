//! The console's pages. Every value is escaped, whoever wrote it; every page is under 20 kB, however much there is to
//! show: what does not fit has a link.

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

/// A page's parts have so many bytes together; its frame and its style have the rest of 20 kB.
const ROOM: usize = 13_000;

/// How many environments are looked at for one page. Fewer may fit.
pub(super) const MOST_ENVIRONMENTS: usize = 8;

/// How much is shown of what people or AWS wrote freely.
const LONGEST_WORDS: usize = 120;

/// When it was looked, and until when the link can.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visit {
    pub(super) now: Timestamp,
    pub(super) until: Timestamp,
}

/// An application in the overview.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) name: ApplicationName,
    /// None: it could not be read.
    pub(super) environments: Option<Vec<Environment>>,
}

/// An environment, with what was looked up for it.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) subject: Subject,
    pub(super) pending: Pending,
    /// Empty in the overview.
    pub(super) live: Vec<LiveRow>,
    /// Newest first; empty in the overview.
    pub(super) pins: Vec<Pin>,
}

/// Promotions that wait for their approval.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) count: usize,
    /// The build tag.
    pub(super) newest: Option<String>,
}

#[derive(Debug)]
pub(super) struct LiveRow {
    pub(super) service: ServiceName,
    pub(super) found: Found,
}

#[derive(Debug)]
pub(super) enum Found {
    /// So many running tasks carry this digest; or one that is not known.
    Tasks(BTreeMap<Option<ImageDigest>, usize>),
    Unreadable,
    /// There were too many before it.
    NotRead,
}

/// Of one environment, among an application's newest promotions.
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
            "Observation on " (time(visit.now)) ". Your link ends on " (time(visit.until))
            ". Nothing can be changed here: what changes something is a signed request."
        }
    };
    framed(status, title, &content)
}

fn framed(status: u16, title: &str, content: &Markup) -> Response {
    let above = html! { a href="/console" { "Stablepin console" } };
    Page { title, above, content, style: STYLE, script: None }.response(status)
}

/// For every link that opens nothing, whatever is wrong with it.
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

pub(super) fn ours(request_id: &str) -> Response {
    let content = html! {
        p { "Something went wrong on our side. Reload the page to try again." }
        p { "If it stays so, quote " code { (request_id) } "." }
    };
    framed(500, "That did not work", &content)
}

/// A command to copy: in a field, so that who has no mouse can select the whole of it too.
fn copied(id: &str, label: &str, command: &str) -> Markup {
    html! {
        label for=(id) { (label) ", in a shell with your AWS credentials" }
        textarea #(id) rows="7" readonly spellcheck="false" { (command) }
    }
}

/// As many as fit, the first one in any case.
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

/// What tells a digest from others, for people.
fn short(digest: &ImageDigest) -> Markup {
    html! { code { "sha256:" (digest.hex()[..12]) } }
}

fn words(text: &str) -> String {
    one_line(text, LONGEST_WORDS)
}

#[cfg(test)]
mod tests;
