//! The decision pages. The server renders the pages completely, so they work without the script and
//! load no assets. The pages escape every value.

mod standing;

use maud::{Markup, PreEscaped, html};
use stablepin_api_types::{DecisionStatus, StepAnswer};
use stablepin_http::page::{Page, line, sentence};
use stablepin_http::{Response, json};
use stablepin_messages::progress::steps;
use stablepin_messages::{build_facts, environment_notes, place_facts};
use stablepin_rules::application::Step;
use stablepin_rules::approval::approvals;
use stablepin_rules::facts::{Facts, facts};
use stablepin_rules::one_line::ended;
use stablepin_rules::records::{Subject, Token};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::words::time;

pub(crate) use standing::PageState;

const STYLE: &str = include_str!("page/style.css");

/// The script that updates the promotion's steps while the page is open.
const LIVE: &str = include_str!("page/live.js");

/// The address of a page: the path of the link, and the secret of the link.
#[derive(Clone, Copy)]
pub(crate) struct PageAddress<'a> {
    pub(crate) path: &'a str,
    pub(crate) secret: &'a str,
}

fn page(status: u16, title: &str, content: &Markup) -> Response {
    let page = Page { title, above: html! { "Stablepin" }, content, style: STYLE, script: Some(LIVE) };
    page.response(status)
}

/// A problem of a submitted form. The page shows the form again and names the problem.
pub(crate) struct FormProblem<'a> {
    pub(crate) status: u16,
    pub(crate) message: String,
    /// The field that the approver must correct.
    pub(crate) field: Field,
    /// The reason that the approver has already typed.
    pub(crate) reason: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Extra,
    Reason,
    None,
}

/// Renders the form to approve or reject. The form posts to the page's own path, so that the link's
/// secret stays in the body.
pub(crate) fn question(
    subject: &Subject,
    token: &Token,
    place: PageAddress<'_>,
    wrong: Option<&FormProblem<'_>>,
) -> Response {
    let (Some(promotion), Some(policy), Some(shown)) =
        (subject.promotion(), subject.policy(), facts(subject))
    else {
        return refused(&Refusal::UnknownLink);
    };
    let title = format!("Approve {} for {}?", subject.application(), subject.name);
    let others: Vec<String> =
        approvals(subject, policy, promotion).map(|(name, _)| name.to_string()).collect();
    let becomes = if policy.is_deployed() {
        "If you approve, the build is deployed. When it is proven to run, it becomes the stable version."
    } else {
        "If you approve, the build becomes the stable version."
    };
    page(
        wrong.map_or(200, |wrong| wrong.status),
        &title,
        &html! {
            @if let Some(wrong) = wrong {
                div.wrong role="alert" { p { strong { "Your decision was not saved." } " " (sentence(&wrong.message)) } }
            }
            p { "You decide as " strong { (token.approver) } ". " (becomes) }
            @if !others.is_empty() {
                p { "Approved so far by " strong { (others.join(", ")) } ": "
                    (others.len()) " of " (policy.approval.required) " needed." }
            }
            (table(&shown))
            @for note in environment_notes(&shown) { p.note { (note) } }
            form method="post" action=(place.path) autocomplete="off" {
                input type="hidden" name="t" value=(place.secret);
                input type="hidden" name="facts" value=(shown.hash());
                (extra(policy.approval.step, subject, wrong))
                (reason(wrong))
                // The Return key triggers the first submit button of a form. This first button is
                // disabled, so that the Return key decides nothing.
                button disabled hidden {}
                div.buttons {
                    button.approve name="decision" value="approve" { "Approve" }
                    button.reject name="decision" value="reject" { "Reject" }
                }
            }
            p.small { "Opening this page decides nothing. The link works once and expires on " (time(promotion.expires_at)) "." }
        },
    )
}

/// Renders the field that a robot cannot fill in: the mailed code, or the environment's name.
fn extra(step: Step, subject: &Subject, wrong: Option<&FormProblem<'_>>) -> Markup {
    let wrong = wrong.is_some_and(|wrong| wrong.field == Field::Extra);
    let invalid = wrong.then_some("true");
    match step {
        Step::None => html! {},
        Step::Type => html! {
            label for="typed" { "The environment's name" }
            p.hint #hint { "Type " (subject.name) " to decide." }
            input #typed name="typed" required maxlength="100" autocapitalize="none" spellcheck="false"
                aria-describedby="hint" aria-invalid=[invalid] autofocus[wrong];
        },
        Step::Code => html! {
            label for="code" { "Code" }
            p.hint #hint { "Six letters and digits, in the mail below the link." }
            input #code name="code" required maxlength="20" autocapitalize="characters" spellcheck="false"
                aria-describedby="hint" aria-invalid=[invalid] autofocus[wrong];
        },
    }
}

fn reason(wrong: Option<&FormProblem<'_>>) -> Markup {
    let missing = wrong.is_some_and(|wrong| wrong.field == Field::Reason);
    let invalid = missing.then_some("true");
    html! {
        label for="reason" { "Reason" }
        p.hint #why { "Required to reject. The person who pushed will read it." }
        textarea #reason name="reason" rows="2" maxlength="500" aria-describedby="why" aria-invalid=[invalid]
            autofocus[missing] { (wrong.map(|wrong| wrong.reason).unwrap_or_default()) }
    }
}

/// Renders the promotion's state after a decision, or for a link that no longer allows a decision.
pub(crate) fn state_page(subject: &Subject, place: PageAddress<'_>, standing: &PageState) -> Response {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("t", place.secret).finish();
    let status = format!("{}/status?{query}", place.path);
    let again = format!("{}?{query}", place.path);
    page(
        standing.status,
        &standing.title,
        &html! {
            p #told role="status" { (standing.text) }
            h2 { "Progress" }
            ol #steps data-status=(status) {
                @for step in steps(subject) {
                    li class=(step.state.as_str()) {
                        b { (step.name) i { " " (step.state.as_str()) } }
                        span { (step.detail) }
                    }
                }
            }
            @if !standing.over {
                noscript { p { a href=(again) { "Reload" } } }
            }
            @if let Some(shown) = facts(subject) { h2 { "Details" } (table(&shown)) }
            @if !standing.over { script { (PreEscaped(LIVE)) } }
        },
    )
}

/// Returns the state of the promotion as JSON for the page's script.
pub(crate) fn status(subject: &Subject, standing: &PageState) -> Response {
    let PageState { title, text, over, .. } = standing;
    let steps = StepAnswer::of(subject);
    json(200, &DecisionStatus { title: title.clone(), text: text.clone(), over: *over, steps })
}

/// Renders a refusal without any fact about the promotion, since an unknown link must reveal
/// nothing.
pub(crate) fn refused(refusal: &Refusal) -> Response {
    let status = if matches!(refusal, Refusal::UnknownLink) { 404 } else { 409 };
    page(
        status,
        standing::headline(refusal),
        &html! { p { (sentence(&refusal.to_string())) } p { "Open the complete link from the newest mail." } },
    )
}

pub(crate) fn no_such_method() -> Response {
    page(405, "Method not allowed", &html! { p { "This page accepts GET and POST only." } })
}

pub(crate) fn internal_error(request_id: &str) -> Response {
    let text = html! {
        p { "Something went wrong on our side. If you have just decided, your decision may be lost: open \
             the link in the mail again to see." }
        p { "If it happens again, quote " code { (request_id) } "." }
    };
    page(500, "That did not work", &text)
}

/// Renders the facts that the approver decides on.
fn table(facts: &Facts<'_>) -> Markup {
    html! {
        dl {
            @for fact in place_facts(facts).into_iter().chain(build_facts(facts)) {
                dt { (fact.name) }
                dd { @if fact.is_literal { code { (fact.value) } } @else { (fact.value) } }
            }
        }
    }
}

#[cfg(test)]
mod tests;
