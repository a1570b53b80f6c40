//! The pushes to an application's repository that opened no promotion.

use maud::{Markup, html};
use stablepin_http::Response;
use stablepin_rules::name::ApplicationName;
use stablepin_rules::records::IgnoredPush;
use stablepin_rules::words::time;

use super::{ROOM, Visit, fitting, page, short, words};

/// The most ignored pushes on the application's page.
const MOST_IGNORED: usize = 10;

/// The most bytes of the list on the application's page.
const IGNORED: usize = ROOM / 10;

pub(super) const TITLE: &str = "Pushes that opened no promotion";

/// Renders the newest ignored pushes for the application's page, with a link to the others.
pub(super) fn newest(application: &ApplicationName, pushes: &[IgnoredPush]) -> Markup {
    let (newest, count) = fitting(IGNORED, pushes.iter().take(MOST_IGNORED).map(entry));
    html! {
        h2 #ignored { (TITLE) }
        ul { (newest) }
        @if count < pushes.len() { (more(application, count)) }
    }
}

/// Renders the ignored pushes from this position on, as many as fit on one page.
pub(in super::super) fn ignored_pushes(
    visit: Visit,
    application: &ApplicationName,
    pushes: &[IgnoredPush],
    from: usize,
) -> Response {
    let rest = pushes.get(from..).unwrap_or_default();
    let (listed, count) = fitting(ROOM, rest.iter().map(entry));
    let content = html! {
        h2 { (TITLE) }
        @if rest.is_empty() { p { "There are no more such pushes." } } @else { ul { (listed) } }
        @if count < rest.len() { (more(application, from + count)) }
        p { a href={ "/console/" (application) } { "Back to " (application) } }
    };
    page(200, application.as_str(), visit, &content)
}

fn more(application: &ApplicationName, from: usize) -> Markup {
    html! {
        nav aria-label="Ignored pushes" {
            a.more href={ "/console/" (application) "?ignored=" (from) } { "Older ignored pushes" }
        }
    }
}

fn entry(push: &IgnoredPush) -> Markup {
    html! {
        li {
            (time(push.at)) ": " code { (push.tag) } " " (short(&push.digest)) ", because " (words(&push.reason))
        }
    }
}
