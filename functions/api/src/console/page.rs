//! The console's pages. They escape every value. Every page is smaller than 20 kB and links to the
//! values that do not fit.

mod application;
mod ignored;
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
pub(super) use ignored::ignored_pushes;
pub(super) use overview::overview;

const STYLE: &str = include_str!("page/style.css");

/// The most bytes of a page's content. The page's frame and style need the rest of the 20 kB.
const ROOM: usize = 13_000;

/// The most environments that the console reads for one page. The page may have room for fewer
/// environments.
pub(super) const MOST_ENVIRONMENTS: usize = 8;

/// The most characters that a page shows of a text from people or AWS.
const LONGEST_WORDS: usize = 120;

/// The time of a visit to the console, and the time when the visitor's link expires.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visit {
    pub(super) now: Timestamp,
    pub(super) until: Timestamp,
}

/// An application in the overview.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) name: ApplicationName,
    /// The environments, or `None` if the table did not return them.
    pub(super) environments: Option<Vec<Environment>>,
}

/// An environment, with its pending promotions, its services and its pins.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) subject: Subject,
    pub(super) pending: Pending,
    /// The services and their running images. Empty in the overview.
    pub(super) live: Vec<LiveRow>,
    /// The pins, newest first. Empty in the overview.
    pub(super) pins: Vec<Pin>,
}

/// The promotions of an environment that wait for approval.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) count: usize,
    /// The build tag of the newest pending promotion.
    pub(super) newest: Option<String>,
}

#[derive(Debug)]
pub(super) struct LiveRow {
    pub(super) service: ServiceName,
    pub(super) found: Found,
}

#[derive(Debug)]
pub(super) enum Found {
    /// The number of running tasks for each digest. The key `None` counts the tasks with an unknown
    /// digest.
    Tasks(BTreeMap<Option<ImageDigest>, usize>),
    Unreadable,
    /// The page did not read this service, because it had already read `MOST_SERVICES` services.
    NotRead,
}

/// Counts the environment's pending promotions in a list of the application's newest promotions.
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
            "As of " (time(visit.now)) ". Your link expires on " (time(visit.until))
            ". This page changes nothing: a change needs a signed request."
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
        p { "The link is not known, or older than an hour. To get a new one, call "
            code { "POST /v1/console" } ":" }
        (copied("mint", "A new link", &command::console(settings)))
        p { "Open the " code { "url" } " of its answer. It works for an hour, as often as you like." }
    };
    framed(404, "This link does not open the console", &content)
}

pub(super) fn no_such_application(visit: Visit) -> Response {
    let content = html! { p { "There is no application of that name." } p { a href="/console" { "All applications" } } };
    page(404, "Not found", visit, &content)
}

pub(super) fn internal_error(request_id: &str) -> Response {
    let content = html! {
        p { "Something went wrong on our side. Reload the page to try again." }
        p { "If it happens again, quote " code { (request_id) } "." }
    };
    framed(500, "That did not work", &content)
}

/// Renders a command in a text field. There, people can select the command with the keyboard alone.
fn copied(id: &str, label: &str, command: &str) -> Markup {
    html! {
        label for=(id) { (label) ", in a shell with your AWS credentials" }
        textarea #(id) rows="7" readonly spellcheck="false" { (command) }
    }
}

/// Returns as many parts as fit into `room` bytes, and the number of these parts. Always returns
/// the first part, even if it does not fit.
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

/// Renders the first 12 digits of a digest, which are enough for people to distinguish images.
fn short(digest: &ImageDigest) -> Markup {
    html! { code { "sha256:" (digest.hex()[..12]) } }
}

fn words(text: &str) -> String {
    one_line(text, LONGEST_WORDS)
}

#[cfg(test)]
mod tests;
