//! Helpers that create a promotion in any state, and render its pages.

use jiff::Timestamp;
use stablepin_http::Response;
use stablepin_rules::application::Application;
use stablepin_rules::audit::Actor;
use stablepin_rules::commit::Commit;
use stablepin_rules::effect::Outcome;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::{ApproverName, EnvironmentName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{
    CodeHash, Configuration, Environment, Hold, HoldReason, Occurrence, RolloutFailure, Subject, Token,
    TokenHash, Verdict,
};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::transition::{Decision, Form, Input, Opening, transition};

use crate::page::{LIVE, PageAddress, PageState, question, state_page};

const FILE: &str = r#"
name = "web"
repository = "web"
builds = ["main", "v*"]

[[approver]]
name = "lead"
mail = "lead@example.com"

[[approver]]
name = "second"
mail = "second@example.com"

[[environment]]
name = "production"
deploy = "never"
"#;

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn id() -> OperationId {
    OperationId::parse("0198184a-0100-7000-8000-000000000001").unwrap()
}

pub(super) fn lead() -> ApproverName {
    ApproverName::parse("lead").unwrap()
}

/// Returns a promotion of `tag` that needs `required` approvals. The environment has two approvers.
pub(super) fn asking(required: u8, tag: &str) -> Subject {
    let mut application = Application::parse(FILE, None).unwrap();
    application.environments[0].approval.required = required;
    let subject = Subject {
        configuration: Configuration { application, version: 1 },
        name: EnvironmentName::parse("production").unwrap(),
        environment: Environment::untouched(),
        build: None,
        operation: None,
    };
    let digest = ImageDigest::parse(&format!("sha256:{}", "a1".repeat(32))).unwrap();
    let push = Opening {
        id: id(),
        occurrence: Occurrence { at: at("2025-07-17T14:30:52Z"), digest },
        repository: RepositoryName::parse("web").unwrap(),
        pushed_tag: ImageTag::parse(tag).unwrap(),
        commit: Some(Commit::parse("a1b2c3d4e5f60718293a4b5c6d7e8f9012345678").unwrap()),
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        size_bytes: Some(12_345_678),
        platforms: Vec::new(),
        names_taken: 0,
        run: None,
        is_copied: false,
        asked_by: None,
        pushers: Default::default(),
        reason: None,
    };
    let opened = transition(at("2025-07-17T14:30:54Z"), &subject, &[Input::Opened(Box::new(push))]);
    let valid = Input::Outcome(Outcome::Validated { configuration: 1, result: Ok(()) });
    transition(at("2025-07-17T14:30:54Z"), &opened.unwrap().after, &[valid]).unwrap().after
}

pub(super) fn token(subject: &Subject) -> Token {
    let promotion = subject.promotion().unwrap();
    Token {
        hash: TokenHash("0f".repeat(32)),
        application: subject.application().clone(),
        environment: subject.name.clone(),
        promotion: promotion.id,
        digest: promotion.digest.clone(),
        approver: lead(),
        expires_at: promotion.expires_at,
        used_at: None,
        code: CodeHash("0c".repeat(32)),
        wrong_codes: 0,
    }
}

pub(super) const PLACE: PageAddress<'_> = PageAddress { path: "/decide/web/production/1", secret: "SECRET" };

/// Returns the promotion after a vote of the lead.
pub(super) fn after(subject: &Subject, verdict: Verdict, reason: Option<&str>) -> Subject {
    let token = token(subject);
    let form = Form { code: Some(token.code.clone()), token, typed: String::new(), facts: None };
    let decision = Decision {
        approver: lead(),
        verdict,
        reason: reason.map(str::to_owned),
        actor: Actor::Link { approver: lead() },
        form: Some(form),
    };
    transition(at("2025-07-17T15:00:00Z"), subject, &[Input::Decision(decision)]).unwrap().after
}

pub(super) fn tagged(subject: &Subject) -> Subject {
    let done = [Outcome::BuildTagged, Outcome::StableTagged(PinNumber::FIRST)].map(Input::Outcome);
    transition(at("2025-07-17T15:00:01Z"), subject, &done).unwrap().after
}

pub(super) fn held(mut subject: Subject, reason: &str) -> Subject {
    let failure = RolloutFailure::Reported(reason.to_owned());
    let reason = HoldReason::ReleaseFailed(failure);
    subject.environment.hold = Some(Hold { since: at("2025-07-17T09:15:00Z"), reason, by: id() });
    subject
}

pub(super) fn second() -> ApproverName {
    ApproverName::parse("second").unwrap()
}

pub(super) fn asks(subject: &Subject) -> Response {
    question(subject, &token(subject), PLACE, None)
}

/// Renders the page that the lead sees after a vote.
pub(super) fn decided(subject: &Subject) -> Response {
    state_page(subject, PLACE, &PageState::now(subject, &lead()))
}

/// Renders the page that the approver `who` sees if their link cannot decide any more.
pub(super) fn ended(subject: &Subject, who: &ApproverName, refusal: &Refusal) -> Response {
    state_page(subject, PLACE, &PageState::refused(subject, who, refusal))
}

pub(super) fn body(response: &Response) -> &str {
    std::str::from_utf8(response.body.as_ref().unwrap().as_ref()).unwrap()
}

/// Returns the page's status, its title, and the content of `<main>`, with one element on each
/// line.
pub(super) fn shown(response: &Response) -> String {
    let (head, rest) = body(response).split_once("<main>").unwrap();
    let (main, _) = rest.split_once("</main>").unwrap();
    let title = head.split_once("<title>").unwrap().1.split_once("</title>").unwrap().0;
    let mut main = main.replace(LIVE, "…");
    for element in [
        "<p",
        "<h1",
        "<h2",
        "<dl",
        "<dt",
        "<form",
        "<input",
        "<label",
        "<textarea",
        "<div",
        "<button",
        "</form",
        "<ol",
        "<li",
        "<noscript",
        "<script",
    ] {
        main = main.replace(element, &format!("\n{element}"));
    }
    format!("{} {title}{main}", response.status_code)
}

/// Returns the page without the list of facts, since every page has this list.
pub(super) fn said(response: &Response) -> String {
    let shown = shown(response);
    let lines = shown
        .lines()
        .filter(|line| !["<dt", "<dl", "<h2", "<p class=\"brand"].iter().any(|e| line.starts_with(e)));
    lines.collect::<Vec<_>>().join("\n")
}
