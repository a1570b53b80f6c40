//! The overview of all applications and environments, from the table's records.

use maud::{Markup, html};
use stablepin_http::Response;

use super::standing::{badges, called, drift, notes, pin};
use super::{Environment, ROOM, Shown, Visit, fitting, page, short};

/// The most environments of each application. The application's own page shows the rest.
const MOST: usize = 4;

/// Renders the overview. `more` means that further applications follow.
pub(in super::super) fn overview(visit: Visit, shown: &[Shown], more: bool) -> Response {
    let (sections, count) = fitting(ROOM, shown.iter().map(section));
    let last = count.checked_sub(1).and_then(|last| shown.get(last)).filter(|_| more || count < shown.len());
    let content = html! {
        @if shown.is_empty() {
            p { "No application is registered here. Register one with a file: " code { "PUT /v1/applications/…" } "." }
        } @else {
            div.cards { (sections) }
        }
        @if let Some(last) = last {
            nav aria-label="Pages" { a.more href={ "/console?after=" (last.name) } { "More applications" } }
        }
    };
    page(200, "Applications", visit, &content)
}

fn section(shown: &Shown) -> Markup {
    let path = format!("/console/{}", shown.name);
    html! {
        section.card {
            h2 { a href=(path) { (shown.name) } }
            @match &shown.environments {
                None => { p.note { "This application could not be read. The function's log says why." } }
                Some(environments) => {
                    @for one in environments.iter().take(MOST) { (card(&path, one)) }
                    @if let Some(others) = environments.len().checked_sub(MOST).filter(|others| *others > 0) {
                        p { a href=(path) { (others) " more environments" } }
                    }
                }
            }
        }
    }
}

fn card(path: &str, environment: &Environment) -> Markup {
    let record = &environment.subject.environment;
    let drift = drift(environment);
    let unnamed = environment.subject.policy().is_none_or(|policy| policy.services.is_empty());
    html! {
        article {
            h3 { (environment.subject.name) " " (badges(environment, &drift)) }
            dl {
                dt { "Pin" }
                dd { (pin(environment, short)) }
                dt { "Live" }
                dd {
                    @match &record.current {
                        Some(current) => { (called(environment, &current.digest)) ", when last proven" }
                        None if unnamed => { "no services are configured" }
                        None => { a href=(path) { "see what runs" } }
                    }
                }
                @if let Some(newest) = &environment.pending.newest {
                    dt { "Pending" }
                    dd { (environment.pending.count) ", the newest is" br; code { (newest) } }
                }
            }
            (notes(environment, &drift))
        }
    }
}
