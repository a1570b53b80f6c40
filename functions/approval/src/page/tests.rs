use insta::assert_snapshot;
use jiff::Timestamp;
use stablepin_rules::application::{Application, Deploy, ServiceName};
use stablepin_rules::audit::Actor;
use stablepin_rules::commit::Commit;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::{ApproverName, EnvironmentName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{
    Bake, CodeHash, Configuration, Destination, Environment, Freeze, Hold, Live, Occurrence, Progress,
    Promotion, PromotionState, Rollout, ServiceRollout, Slot, SlotKind, TokenHash, Verdict, Work,
};
use stablepin_rules::transition::{Decision, Form, Input, Opening, transition};

use stablepin_http::page::source;

use super::*;

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

/// A text for a commit, tag or reason that tries to change what the page says.
const HOSTILE: &str = "</p><script>alert(\"1\")</script> 'x' &amp;\r\n\u{202e}evorppa";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn id() -> OperationId {
    OperationId::parse("0198184a-0100-7000-8000-000000000001").unwrap()
}

fn lead() -> ApproverName {
    ApproverName::parse("lead").unwrap()
}

/// A promotion of `tag` that needs `required` of two approvals.
fn asking(required: u8, tag: &str) -> Subject {
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
        asked_by: None,
        pushers: Default::default(),
        reason: None,
    };
    transition(at("2025-07-17T14:30:54Z"), &subject, &[Input::Opened(Box::new(push))]).unwrap().after
}

fn token(subject: &Subject) -> Token {
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

const PLACE: PageAddress<'_> = PageAddress { path: "/decide/web/production/1", secret: "SECRET" };

/// The promotion after the lead has voted.
fn after(subject: &Subject, verdict: Verdict, reason: Option<&str>) -> Subject {
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

fn tagged(subject: &Subject) -> Subject {
    use stablepin_rules::effect::Outcome;
    let done = [Outcome::BuildTagged, Outcome::StableTagged(PinNumber::FIRST)].map(Input::Outcome);
    transition(at("2025-07-17T15:00:01Z"), subject, &done).unwrap().after
}

fn held(mut subject: Subject, reason: &str) -> Subject {
    let (since, reason) = (at("2025-07-17T09:15:00Z"), reason.to_owned());
    subject.environment.hold = Some(Hold { since, reason, by: id() });
    subject
}

fn second() -> ApproverName {
    ApproverName::parse("second").unwrap()
}

fn asks(subject: &Subject) -> Response {
    question(subject, &token(subject), PLACE, None)
}

fn asks_again(subject: &Subject, status: u16, message: &str, field: Field) -> Response {
    let wrong = FormProblem { status, message: message.to_owned(), field, reason: "it is slow" };
    question(subject, &token(subject), PLACE, Some(&wrong))
}

/// The page right after the lead has voted.
fn decided(subject: &Subject) -> Response {
    state_page(subject, PLACE, &PageState::now(subject, &lead()))
}

/// The page of `who`'s link when it has nothing left to decide.
fn ended(subject: &Subject, who: &ApproverName, refusal: &Refusal) -> Response {
    state_page(subject, PLACE, &PageState::refused(subject, who, refusal))
}

fn body(response: &Response) -> &str {
    std::str::from_utf8(response.body.as_ref().unwrap().as_ref()).unwrap()
}

/// The page's status, its title, and the content of `<main>`, one element a line.
fn shown(response: &Response) -> String {
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

/// The page without the list of facts, which every page has.
fn said(response: &Response) -> String {
    let shown = shown(response);
    let lines = shown
        .lines()
        .filter(|line| !["<dt", "<dl", "<h2", "<p class=\"brand"].iter().any(|e| line.starts_with(e)));
    lines.collect::<Vec<_>>().join("\n")
}

fn ended_by(refusal: &Refusal) -> String {
    let subject = asking(1, "main");
    said(&ended(&subject, &lead(), refusal))
}

#[test]
fn question_shows_all_facts() {
    assert_snapshot!(shown(&asks(&asking(1, "main"))), @r#"
    200 Approve web for production? · Stablepin
    <p class="brand">Stablepin</p>
    <h1>Approve web for production?</h1>
    <p>You are asked as <strong>lead</strong>. What you approve becomes the stable version.</p>
    <dl>
    <dt>Application</dt><dd>web</dd>
    <dt>Environment</dt><dd>production</dd>
    <dt>Build</dt><dd><code>production-20250717-143052-a1b2c3d4</code></dd>
    <dt>Commit</dt><dd><code>a1b2c3d4e5f60718293a4b5c6d7e8f9012345678</code></dd>
    <dt>Digest</dt><dd><code>sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1</code></dd>
    <dt>Size</dt><dd>12.3 MB</dd>
    <dt>Pushed</dt><dd>web:main, 2025-07-17 14:30 UTC</dd>
    <dt>Asked by</dt><dd>a push; the registry does not say whose</dd>
    <dt>Replaces</dt><dd>nothing: it would be the first pin</dd>
    <dt>Verdicts</dt><dd>none: signature, scan and checks are not asked for</dd></dl>
    <form method="post" action="/decide/web/production/1" autocomplete="off">
    <input type="hidden" name="t" value="SECRET">
    <input type="hidden" name="facts" value="3baf920989ed20015f33a5758e6de9aad09976a16b1bd402ee8a986550b760fd">
    <label for="code">Code</label>
    <p class="hint" id="hint">Six letters and digits, in the mail below the link.</p>
    <input id="code" name="code" required maxlength="20" autocapitalize="characters" spellcheck="false" aria-describedby="hint">
    <label for="reason">Reason</label>
    <p class="hint" id="why">Needed to reject: whoever pushed will read it.</p>
    <textarea id="reason" name="reason" rows="2" maxlength="500" aria-describedby="why"></textarea>
    <button disabled hidden></button>
    <div class="buttons">
    <button class="approve" name="decision" value="approve">Approve</button>
    <button class="reject" name="decision" value="reject">Reject</button></div>
    </form>
    <p class="small">Opening this page decided nothing. The link works once and expires on 2025-07-20 14:30 UTC.</p>
    "#);
}

#[test]
fn question_asks_for_the_name_or_for_nothing() {
    let with = |step| {
        let mut subject = asking(1, "main");
        subject.configuration.application.environments[0].approval.step = step;
        let page = shown(&asks(&subject));
        let fields = page.lines().filter(|line| ["<label", "<input"].iter().any(|e| line.starts_with(e)));
        fields.filter(|line| !line.contains("hidden")).collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(with(Step::Type), @r#"
    <label for="typed">The environment's name</label>
    <input id="typed" name="typed" required maxlength="100" autocapitalize="none" spellcheck="false" aria-describedby="hint">
    <label for="reason">Reason</label>
    "#);
    assert_snapshot!(with(Step::None), @r#"<label for="reason">Reason</label>"#);
}

#[test]
fn question_says_that_approval_releases_the_hold() {
    let page = shown(&asks(&held(asking(1, "main"), "rollback to pin 6")));
    let note: Vec<&str> = page.lines().filter(|line| line.contains("note")).collect();
    assert_snapshot!(note.join("\n"), @r#"<p class="note">production is held since 2025-07-17 09:15 UTC (rollback to pin 6). Your approval releases the hold.</p>"#);
}

#[test]
fn question_names_earlier_approvers() {
    let subject = after(&asking(2, "main"), Verdict::Approve, None);
    let token = Token { approver: second(), ..token(&subject) };
    let page = said(&question(&subject, &token, PLACE, None));
    assert_snapshot!(page.lines().nth(3).unwrap(), @"<p>Approved so far by <strong>lead</strong>: 1 of 2 needed.</p>");
}

#[test]
fn incomplete_form_is_asked_for_again() {
    let subject = asking(1, "main");
    assert_snapshot!(said(&asks_again(&subject, 422, "the code is wrong", Field::Extra)), @r#"
    422 Approve web for production? · Stablepin
    <h1>Approve web for production?</h1>
    <div class="wrong" role="alert">
    <p><strong>Nothing was decided.</strong> The code is wrong.</p></div>
    <p>You are asked as <strong>lead</strong>. What you approve becomes the stable version.</p>
    <form method="post" action="/decide/web/production/1" autocomplete="off">
    <input type="hidden" name="t" value="SECRET">
    <input type="hidden" name="facts" value="3baf920989ed20015f33a5758e6de9aad09976a16b1bd402ee8a986550b760fd">
    <label for="code">Code</label>
    <p class="hint" id="hint">Six letters and digits, in the mail below the link.</p>
    <input id="code" name="code" required maxlength="20" autocapitalize="characters" spellcheck="false" aria-describedby="hint" aria-invalid="true" autofocus>
    <label for="reason">Reason</label>
    <p class="hint" id="why">Needed to reject: whoever pushed will read it.</p>
    <textarea id="reason" name="reason" rows="2" maxlength="500" aria-describedby="why">it is slow</textarea>
    <button disabled hidden></button>
    <div class="buttons">
    <button class="approve" name="decision" value="approve">Approve</button>
    <button class="reject" name="decision" value="reject">Reject</button></div>
    </form>
    <p class="small">Opening this page decided nothing. The link works once and expires on 2025-07-20 14:30 UTC.</p>
    "#);
    let page = said(&asks_again(&subject, 400, "write a reason", Field::Reason));
    let marked: Vec<&str> =
        page.lines().filter(|line| line.contains("invalid") || line.contains("alert")).collect();
    assert_snapshot!(marked.join("\n"), @r#"
    <div class="wrong" role="alert">
    <textarea id="reason" name="reason" rows="2" maxlength="500" aria-describedby="why" aria-invalid="true" autofocus>it is slow</textarea>
    "#);
}

#[test]
fn page_after_approval_shows_the_pin() {
    let subject = tagged(&after(&asking(1, "main"), Verdict::Approve, None));
    assert_snapshot!(shown(&decided(&subject)), @r#"
    200 Approved, and pinned · Stablepin
    <p class="brand">Stablepin</p>
    <h1>Approved, and pinned</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. It is pin 1 of production.</p>
    <h2>Progress</h2>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="done"><b>Pinned<i> done</i></b><span>pin 1 of production</span></li></ol>
    <h2>What it is about</h2>
    <dl>
    <dt>Application</dt><dd>web</dd>
    <dt>Environment</dt><dd>production</dd>
    <dt>Build</dt><dd><code>production-20250717-143052-a1b2c3d4</code></dd>
    <dt>Commit</dt><dd><code>a1b2c3d4e5f60718293a4b5c6d7e8f9012345678</code></dd>
    <dt>Digest</dt><dd><code>sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1</code></dd>
    <dt>Size</dt><dd>12.3 MB</dd>
    <dt>Pushed</dt><dd>web:main, 2025-07-17 14:30 UTC</dd>
    <dt>Asked by</dt><dd>a push; the registry does not say whose</dd>
    <dt>Replaces</dt><dd>the pin before it</dd>
    <dt>Verdicts</dt><dd>none: signature, scan and checks are not asked for</dd></dl>
    "#);
}

#[test]
fn page_after_approval_says_that_the_tag_follows() {
    assert_snapshot!(said(&decided(&after(&asking(1, "main"), Verdict::Approve, None))), @r#"
    200 Approved · Stablepin
    <h1>Approved</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. It is the pin; its tag follows within a minute.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="now"><b>Pinned<i> now</i></b><span>pin 1; its tag follows within a minute</span></li></ol>
    <noscript>
    <p><a href="/decide/web/production/1?t=SECRET">Look again</a></p></noscript>
    <script>…</script>
    "#);
}

#[test]
fn page_says_that_one_approval_is_missing() {
    assert_snapshot!(said(&decided(&after(&asking(2, "main"), Verdict::Approve, None))), @r#"
    200 Approved by you · Stablepin
    <h1>Approved by you</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. 1 more approval is needed.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="now"><b>Approved<i> now</i></b><span>1 of 2 needed: lead</span></li>
    <li class="ahead"><b>Pinned<i> ahead</i></b><span></span></li></ol>
    <noscript>
    <p><a href="/decide/web/production/1?t=SECRET">Look again</a></p></noscript>
    <script>…</script>
    "#);
}

#[test]
fn page_says_that_approval_waits_for_a_rollback() {
    let mut subject = asking(1, "main");
    subject.environment.slot = Some(Slot {
        operation: id(),
        kind: SlotKind::Rollback,
        digest: subject.promotion().unwrap().digest.clone(),
        since: at("2025-07-17T14:00:00Z"),
        moving_until: None,
    });
    assert_snapshot!(said(&decided(&after(&subject, Verdict::Approve, None))), @r#"
    200 Approved · Stablepin
    <h1>Approved</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. It waits until a rollback has ended.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="now"><b>Pinned<i> now</i></b><span>waits until a rollback has ended</span></li></ol>
    <noscript>
    <p><a href="/decide/web/production/1?t=SECRET">Look again</a></p></noscript>
    <script>…</script>
    "#);
}

#[test]
fn page_after_rejection_shows_the_reason() {
    let subject = after(&asking(2, "main"), Verdict::Reject, Some("the migration is missing"));
    assert_snapshot!(said(&decided(&subject)), @r#"
    200 Rejected · Stablepin
    <h1>Rejected</h1>
    <p id="told" role="status">You rejected it on 2025-07-17 15:00 UTC. It goes no further; the current pin stays. Rejected by lead: the migration is missing.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="failed"><b>Approved<i> failed</i></b><span>rejected by lead: the migration is missing</span></li></ol>
    "#);
}

#[test]
fn used_link_shows_the_decision() {
    let subject = after(&asking(1, "main"), Verdict::Reject, Some("the migration is missing"));
    let refusal = Refusal::LinkUsed { at: at("2025-07-17T15:00:00Z") };
    assert_snapshot!(said(&ended(&subject, &lead(), &refusal)), @r#"
    409 Rejected · Stablepin
    <h1>Rejected</h1>
    <p id="told" role="status">You rejected it on 2025-07-17 15:00 UTC. It goes no further; the current pin stays. Rejected by lead: the migration is missing.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="failed"><b>Approved<i> failed</i></b><span>rejected by lead: the migration is missing</span></li></ol>
    "#);
}

#[test]
fn second_decision_shows_the_first_vote() {
    let subject = after(&asking(2, "main"), Verdict::Approve, None);
    assert_snapshot!(said(&ended(&subject, &lead(), &Refusal::AlreadyDecided { approver: lead() })), @r#"
    409 Approved by you · Stablepin
    <h1>Approved by you</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. 1 more approval is needed.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="now"><b>Approved<i> now</i></b><span>1 of 2 needed: lead</span></li>
    <li class="ahead"><b>Pinned<i> ahead</i></b><span></span></li></ol>
    <noscript>
    <p><a href="/decide/web/production/1?t=SECRET">Look again</a></p></noscript>
    <script>…</script>
    "#);
}

#[test]
fn page_shows_the_decision_of_another_approver() {
    let subject = tagged(&after(&asking(1, "main"), Verdict::Approve, None));
    let refusal = Refusal::NotPending { state: PromotionState::Completed, reason: "pinned".to_owned() };
    assert_snapshot!(said(&ended(&subject, &second(), &refusal)), @r#"
    409 Approved, and pinned · Stablepin
    <h1>Approved, and pinned</h1>
    <p id="told" role="status">lead approved it on 2025-07-17 15:00 UTC. It is pin 1 of production.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="done"><b>Pinned<i> done</i></b><span>pin 1 of production</span></li></ol>
    "#);
}

/// The refusal after this one, in the list of refusals that a link may show. A new refusal must get
/// its place here, or among those that no link can cause.
fn reason_after(refusal: &Refusal) -> Option<Refusal> {
    let soon = at("2025-07-20T14:30:54Z");
    match refusal {
        Refusal::LinkExpired { .. } => Some(Refusal::Expired { at: soon }),
        Refusal::Expired { .. } => Some(Refusal::LinkReplaced { approver: lead() }),
        Refusal::LinkReplaced { .. } => Some(Refusal::LinkBurnt),
        Refusal::LinkBurnt => Some(Refusal::Superseded { pin: PinNumber::new(8).unwrap() }),
        Refusal::Superseded { .. } => Some(Refusal::NotAnApprover { approver: lead() }),
        Refusal::NotAnApprover { .. } => Some(Refusal::OwnRequest { approver: lead() }),
        Refusal::OwnRequest { .. } => {
            let second = ApproverName::parse("second").unwrap();
            Some(Refusal::SharedSigner { approver: lead(), other: second })
        }
        Refusal::SharedSigner { .. } => Some(Refusal::RequesterUnknown),
        Refusal::RequesterUnknown => Some(Refusal::TooManyPushers),
        Refusal::TooManyPushers => Some(Refusal::NoSuchEnvironment),
        // Other tests cover these: the promotion's state, the form again, the unknown link.
        Refusal::NoSuchEnvironment
        | Refusal::LinkUsed { .. }
        | Refusal::AlreadyDecided { .. }
        | Refusal::NotPending { .. }
        | Refusal::WrongCode
        | Refusal::NotTyped { .. }
        | Refusal::FactsChanged
        | Refusal::UnknownLink => None,
        // A link never causes these. They refuse rollbacks, requests for a promotion, or
        // environment commands.
        Refusal::ImageMarkedForDeletion { .. }
        | Refusal::TooManyOpened { .. }
        | Refusal::NothingPinned
        | Refusal::NoPrevious
        | Refusal::UnknownPin { .. }
        | Refusal::NeverPinned { .. }
        | Refusal::PinMoved { .. }
        | Refusal::Ambiguous { .. }
        | Refusal::AlreadyLive { .. }
        | Refusal::RollbackRunning { .. }
        | Refusal::Frozen { .. }
        | Refusal::NotFrozen
        | Refusal::NotHeld
        | Refusal::WatermarkNotAhead { .. }
        | Refusal::ReasonNeeded
        | Refusal::UnknownService { .. } => None,
    }
}

#[test]
fn each_other_refusal_has_its_page() {
    let first = Refusal::LinkExpired { at: at("2025-07-20T14:30:54Z") };
    let told: Vec<String> = std::iter::successors(Some(first), reason_after)
        .map(|refusal| ended_by(&refusal).lines().take(3).collect::<Vec<_>>().join("\n"))
        .collect();
    assert_eq!(told.len(), 11);
    assert_snapshot!(told.join("\n\n"), @r#"
    410 This link has expired · Stablepin
    <h1>This link has expired</h1>
    <p id="told" role="status">This link expired on 2025-07-20 14:30 UTC.</p>

    410 This link has expired · Stablepin
    <h1>This link has expired</h1>
    <p id="told" role="status">The promotion expired on 2025-07-20 14:30 UTC: push again, or ask for it again.</p>

    410 There is a newer link · Stablepin
    <h1>There is a newer link</h1>
    <p id="told" role="status">A newer link was mailed to lead: use that one.</p>

    410 This link decides nothing any more · Stablepin
    <h1>This link decides nothing any more</h1>
    <p id="told" role="status">Too many wrong codes were tried with this link, so that it decides nothing any more: look for a newer mail.</p>

    410 A later build was approved · Stablepin
    <h1>A later build was approved</h1>
    <p id="told" role="status">A later build was approved as pin 8, and the pin never goes back to an earlier push: use a rollback.</p>

    410 You are not an approver any more · Stablepin
    <h1>You are not an approver any more</h1>
    <p id="told" role="status">This environment does not have lead among its approvers any more.</p>

    410 Somebody else must decide · Stablepin
    <h1>Somebody else must decide</h1>
    <p id="told" role="status">Approver lead asked for this promotion or pushed it, and two pairs of eyes are wanted: somebody else must decide.</p>

    409 Somebody else must decide · Stablepin
    <h1>Somebody else must decide</h1>
    <p id="told" role="status">Lead and second can be one signer, who has decided already, and one signer has one vote: give each approver principals of their own in the application's file.</p>

    410 Nobody knows who asked · Stablepin
    <h1>Nobody knows who asked</h1>
    <p id="told" role="status">Nobody knows who pushed this, and four_eyes is &quot;strict&quot;: ask for the promotion by a signed request, and somebody else decides.</p>

    410 Too many have pushed it · Stablepin
    <h1>Too many have pushed it</h1>
    <p id="told" role="status">So many have pushed this image that nobody can be told not to be one of them: build it anew, so that it has another digest, and push that.</p>

    410 Nothing to decide here · Stablepin
    <h1>Nothing to decide here</h1>
    <p id="told" role="status">The environment is not in the application's configuration.</p>
    "#);
}

/// The promotion in another state, as if everything before that state had happened.
fn having(mut subject: Subject, change: impl FnOnce(&mut Promotion)) -> Subject {
    let Some(Work::Promotion(promotion)) = subject.operation.as_mut().map(|operation| &mut operation.work)
    else {
        panic!("it is a promotion")
    };
    change(promotion);
    subject
}

/// A promotion that the lead approved, with one service at this point of its rollout.
fn deployed(state: PromotionState, progress: Progress, change: impl FnOnce(&mut Promotion)) -> Subject {
    let mut subject = asking(1, "main");
    let environment = &mut subject.configuration.application.environments[0];
    let service = ServiceName::parse("prod/web").unwrap();
    (environment.deploy, environment.services) = (Deploy::OnApproval, vec![service.clone()]);
    let before = Live {
        task_definition: "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:6".to_owned(),
        deployment: "ecs-svc/1".to_owned(),
        digests: Default::default(),
        described: None,
    };
    having(after(&subject, Verdict::Approve, None), |promotion| {
        promotion.state = state;
        promotion.rollout = Some(Rollout {
            destination: Destination::Digest { digest: promotion.digest.clone() },
            services: vec![ServiceRollout { progress, ..ServiceRollout::waiting(service, before) }],
            deadline: at("2025-07-17T15:30:00Z"),
            bake: None,
            rebaked: 0,
        });
        change(promotion);
    })
}

const CRASHED: &str = "prod/web: ECS deployment circuit breaker: tasks failed to start.";

/// Each course that a promotion may take after its approval, one after the other.
#[test]
fn page_follows_a_rollout_to_each_end() {
    let proven = Progress::Proven { tasks: 2, at: at("2025-07-17T15:10:00Z") };
    let crashed = Progress::Failed { reason: CRASHED.to_owned() };
    let seen = |promotion: &mut Promotion| {
        let service = &mut promotion.rollout.as_mut().unwrap().services[0];
        service.seen = Some("IN_PROGRESS: 1 of 2 tasks running".to_owned());
    };
    let bakes = |promotion: &mut Promotion| {
        let rollout = promotion.rollout.as_mut().unwrap();
        rollout.bake =
            Some(Bake { until: at("2025-07-17T15:15:00Z"), probed_at: None, failed: Default::default() });
    };
    let failed = |promotion: &mut Promotion| promotion.failure = Some(CRASHED.to_owned());
    let why = |reason: &str| {
        let reason = reason.to_owned();
        move |promotion: &mut Promotion| promotion.reason = Some(reason)
    };
    let pinned = |promotion: &mut Promotion| promotion.pin = Some(PinNumber::FIRST);
    let states = [
        having(deployed(PromotionState::InProgress, Progress::Waiting, |_| ()), |promotion| {
            promotion.rollout = None;
        }),
        deployed(PromotionState::InProgress, Progress::Deployed, seen),
        deployed(PromotionState::InProgress, proven.clone(), bakes),
        deployed(PromotionState::InProgress, proven.clone(), pinned),
        deployed(PromotionState::Completed, proven, pinned),
        deployed(PromotionState::InProgress, crashed.clone(), failed),
        deployed(
            PromotionState::RolledBack,
            crashed.clone(),
            why(&format!("{CRASHED} Every service is back")),
        ),
        deployed(PromotionState::Failed, crashed, why(&format!("{CRASHED} prod/web did not come back"))),
    ];
    let told = states.map(|subject| said(&decided(&subject)).replace("&quot;", "\""));
    assert_snapshot!(told.join("\n\n"), @r#"
    200 Approved · Stablepin
    <h1>Approved</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. When it is proven to run, it becomes the pin.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="now"><b>Deployed<i> now</i></b><span>looking at the services</span></li>
    <li class="ahead"><b>Verified<i> ahead</i></b><span></span></li>
    <li class="ahead"><b>Pinned<i> ahead</i></b><span></span></li></ol>
    <noscript>
    <p><a href="/decide/web/production/1?t=SECRET">Look again</a></p></noscript>
    <script>…</script>

    200 Approved · Stablepin
    <h1>Approved</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. When it is proven to run, it becomes the pin.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="now"><b>Deployed<i> now</i></b><span>0 of 1 services; prod/web: IN_PROGRESS: 1 of 2 tasks running</span></li>
    <li class="ahead"><b>Verified<i> ahead</i></b><span></span></li>
    <li class="ahead"><b>Pinned<i> ahead</i></b><span></span></li></ol>
    <noscript>
    <p><a href="/decide/web/production/1?t=SECRET">Look again</a></p></noscript>
    <script>…</script>

    200 Approved · Stablepin
    <h1>Approved</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. When it is proven to run, it becomes the pin.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="done"><b>Deployed<i> done</i></b><span>1 of 1 services</span></li>
    <li class="now"><b>Verified<i> now</i></b><span>has to stay healthy until 2025-07-17 15:15 UTC</span></li>
    <li class="ahead"><b>Pinned<i> ahead</i></b><span></span></li></ol>
    <noscript>
    <p><a href="/decide/web/production/1?t=SECRET">Look again</a></p></noscript>
    <script>…</script>

    200 Approved · Stablepin
    <h1>Approved</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. It is the pin; its tag follows within a minute.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="done"><b>Deployed<i> done</i></b><span>1 of 1 services</span></li>
    <li class="done"><b>Verified<i> done</i></b><span>every running task carries this digest</span></li>
    <li class="now"><b>Pinned<i> now</i></b><span>pin 1; its tag follows within a minute</span></li></ol>
    <noscript>
    <p><a href="/decide/web/production/1?t=SECRET">Look again</a></p></noscript>
    <script>…</script>

    200 Approved, and pinned · Stablepin
    <h1>Approved, and pinned</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. It is pin 1 of production.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="done"><b>Deployed<i> done</i></b><span>1 of 1 services</span></li>
    <li class="done"><b>Verified<i> done</i></b><span>every running task carries this digest</span></li>
    <li class="done"><b>Pinned<i> done</i></b><span>pin 1 of production</span></li></ol>

    200 It failed, and goes back · Stablepin
    <h1>It failed, and goes back</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. Why: prod/web: ECS deployment circuit breaker: tasks failed to start. The services go back by themselves.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="failed"><b>Deployed<i> failed</i></b><span>prod/web: ECS deployment circuit breaker: tasks failed to start. The services go back by themselves</span></li></ol>
    <noscript>
    <p><a href="/decide/web/production/1?t=SECRET">Look again</a></p></noscript>
    <script>…</script>

    200 It failed, and was rolled back · Stablepin
    <h1>It failed, and was rolled back</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. Why: prod/web: ECS deployment circuit breaker: tasks failed to start. Every service is back.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="failed"><b>Deployed<i> failed</i></b><span>prod/web: ECS deployment circuit breaker: tasks failed to start. Every service is back</span></li></ol>

    200 It failed · Stablepin
    <h1>It failed</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. Why: prod/web: ECS deployment circuit breaker: tasks failed to start. prod/web did not come back.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="failed"><b>Deployed<i> failed</i></b><span>prod/web: ECS deployment circuit breaker: tasks failed to start. prod/web did not come back</span></li></ol>
    "#);
}

#[test]
fn page_says_why_a_promotion_was_cancelled() {
    let directions = [
        "superseded: a later build became pin 8",
        "expired: nobody decided in time",
        "withdrawn by arn:aws:iam::111122223333:role/lead: wrong branch",
        "part of an image index: main (sha256:ab), pushed at 2025-07-17 14:31 UTC, contains it and is asked for instead",
        "the environment is gone",
    ];
    let told = directions.map(|reason| {
        let subject = having(asking(1, "main"), |promotion| {
            promotion.state = PromotionState::Cancelled;
            promotion.reason = Some(reason.to_owned());
        });
        let refusal = Refusal::NotPending { state: PromotionState::Cancelled, reason: reason.to_owned() };
        said(&ended(&subject, &lead(), &refusal))
    });
    assert_snapshot!(told.join("\n\n"), @r#"
    409 A later build was approved · Stablepin
    <h1>A later build was approved</h1>
    <p id="told" role="status">Superseded: a later build became pin 8.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="failed"><b>Approved<i> failed</i></b><span>superseded: a later build became pin 8</span></li></ol>

    409 It has expired · Stablepin
    <h1>It has expired</h1>
    <p id="told" role="status">Expired: nobody decided in time.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="failed"><b>Approved<i> failed</i></b><span>expired: nobody decided in time</span></li></ol>

    409 It was withdrawn · Stablepin
    <h1>It was withdrawn</h1>
    <p id="told" role="status">Withdrawn by arn:aws:iam::111122223333:role/lead: wrong branch.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="failed"><b>Approved<i> failed</i></b><span>withdrawn by arn:aws:iam::111122223333:role/lead: wrong branch</span></li></ol>

    409 Its image index is asked for instead · Stablepin
    <h1>Its image index is asked for instead</h1>
    <p id="told" role="status">Part of an image index: main (sha256:ab), pushed at 2025-07-17 14:31 UTC, contains it and is asked for instead.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="failed"><b>Approved<i> failed</i></b><span>part of an image index: main (sha256:ab), pushed at 2025-07-17 14:31 UTC, contains it and is asked for instead</span></li></ol>

    409 Cancelled · Stablepin
    <h1>Cancelled</h1>
    <p id="told" role="status">The environment is gone.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="failed"><b>Approved<i> failed</i></b><span>the environment is gone</span></li></ol>
    "#);
}

#[test]
fn page_names_a_freeze_before_and_after_approval() {
    let mut subject = asking(1, "main");
    let (since, reason) = (at("2025-07-17T09:15:00Z"), "autumn sale".to_owned());
    subject.environment.freeze = Some(Freeze { since, reason, by: Actor::Stablepin });
    let page = shown(&asks(&subject));
    let note = page.lines().find(|line| line.contains("note")).unwrap();
    assert_snapshot!(note, @r#"<p class="note">production is frozen since 2025-07-17 09:15 UTC (autumn sale). What you approve waits for its end.</p>"#);
    assert_snapshot!(said(&decided(&after(&subject, Verdict::Approve, None))), @r#"
    200 Approved · Stablepin
    <h1>Approved</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. It waits: production is frozen (autumn sale).</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="now"><b>Pinned<i> now</i></b><span>waits: production is frozen (autumn sale)</span></li></ol>
    <noscript>
    <p><a href="/decide/web/production/1?t=SECRET">Look again</a></p></noscript>
    <script>…</script>
    "#);
}

/// The other reasons why an approved promotion may wait.
#[test]
fn page_says_what_an_approved_promotion_waits_for() {
    let approved = after(&asking(2, "main"), Verdict::Approve, None);
    let enough = |mut subject: Subject| {
        subject.configuration.application.environments[0].approval.required = 1;
        said(&decided(&subject)).lines().nth(2).unwrap().to_owned()
    };
    let mut behind = approved.clone();
    behind.environment.slot = Some(Slot {
        operation: id(),
        kind: SlotKind::Promotion,
        digest: behind.promotion().unwrap().digest.clone(),
        since: at("2025-07-17T14:00:00Z"),
        moving_until: None,
    });
    let told = [enough(held(approved.clone(), "rollback to pin 6")), enough(behind), enough(approved)];
    assert_snapshot!(told.join("\n"), @r#"
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. It waits: production is held (rollback to pin 6) until somebody approves it anew.</p>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. It waits until another promotion has ended.</p>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. It begins within a minute.</p>
    "#);
}

#[test]
fn page_says_that_two_approvals_are_missing() {
    let mut subject = after(&asking(2, "main"), Verdict::Approve, None);
    subject.configuration.application.environments[0].approval.required = 3;
    assert_snapshot!(said(&decided(&subject)).lines().nth(2).unwrap(), @r#"<p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. 2 more approvals are needed.</p>"#);
}

#[test]
fn unknown_link_reveals_nothing() {
    assert_snapshot!(shown(&refused(&Refusal::UnknownLink)), @r#"
    404 This link is not known · Stablepin
    <p class="brand">Stablepin</p>
    <h1>This link is not known</h1>
    <p>This link is not known.</p>
    <p>Open the link from the newest mail, whole.</p>
    "#);
}

#[test]
fn wrong_method_and_internal_error_have_pages() {
    assert_snapshot!(shown(&no_such_method()), @r#"
    405 Not here · Stablepin
    <p class="brand">Stablepin</p>
    <h1>Not here</h1>
    <p>This page knows GET and POST.</p>
    "#);
    assert_snapshot!(shown(&internal_error("JKJaXmPLvHcESHA=")), @r#"
    500 That did not work · Stablepin
    <p class="brand">Stablepin</p>
    <h1>That did not work</h1>
    <p>Something went wrong on our side. If you have just decided, it may not count: open the link in the mail again to see.</p>
    <p>If it stays so, quote <code>JKJaXmPLvHcESHA=</code>.</p>
    "#);
}

#[test]
fn script_gets_the_same_state_as_the_page() {
    let subject = tagged(&after(&asking(1, "main"), Verdict::Approve, None));
    assert_snapshot!(body(&status(&subject, &PageState::now(&subject, &lead()))), @r#"{"over":true,"steps":[{"detail":"by lead","name":"Approved","state":"done"},{"detail":"pin 1 of production","name":"Pinned","state":"done"}],"text":"You approved it on 2025-07-17 15:00 UTC. It is pin 1 of production.","title":"Approved, and pinned"}"#);
}

#[test]
fn hostile_values_are_escaped() {
    let longest = format!("_{}", "x.-".repeat(42));
    let subject = after(&asking(1, &longest), Verdict::Reject, Some(&HOSTILE.repeat(20)));
    let subject = held(subject, &HOSTILE.repeat(20));
    let reason = subject.promotion().unwrap().reason.clone().unwrap();
    let refusal = Refusal::NotPending { state: PromotionState::Cancelled, reason };
    let hostile = PageAddress { path: HOSTILE, secret: HOSTILE };
    let wrong =
        FormProblem { status: 400, message: HOSTILE.to_owned(), field: Field::Reason, reason: HOSTILE };
    let pages = [
        question(&subject, &token(&subject), hostile, Some(&wrong)),
        state_page(&subject, PageAddress { path: PLACE.path, ..hostile }, &PageState::now(&subject, &lead())),
        ended(&subject, &second(), &refusal),
        refused(&Refusal::NeverPinned { to: HOSTILE.to_owned() }),
        internal_error(HOSTILE),
    ];
    for page in &pages {
        let text = body(page).replace(&format!("<script>{LIVE}</script>"), "");
        assert!(!text.contains("<script"), "{text}");
        assert_eq!(text.matches("<p").count(), text.matches("</p>").count(), "{text}");
    }
    for page in [&pages[1], &pages[2], &pages[3]] {
        let text = body(page);
        assert!(!text.contains('\u{202e}'), "no mark may reverse the text: {text}");
    }
    let told = said(&ended(&asking(1, "main"), &second(), &Refusal::NeverPinned { to: HOSTILE.to_owned() }));
    assert_snapshot!(told.lines().nth(2).unwrap(), @r#"<p id="told" role="status">&lt;/p&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; 'x' &amp;amp; evorppa was never pinned in this environment, so it was never verified here: promote it instead.</p>"#);
}

#[test]
fn pages_forbid_caching_framing_and_other_scripts() {
    let subject = asking(1, "main");
    let after = after(&subject, Verdict::Approve, None);
    let pages = [asks(&subject), decided(&after), refused(&Refusal::UnknownLink), internal_error("1")];
    for page in &pages {
        let header = |name: &str| page.headers[name].to_str().unwrap();
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("x-robots-tag"), "noindex");
        assert!(header("strict-transport-security").starts_with("max-age="));
        let text = body(page);
        assert!(text.len() < 20_000, "{} bytes", text.len());
        // The policy allows exactly the page's own style and script.
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
        for (element, directive) in [("style", "style-src"), ("script", "script-src")] {
            for part in text.split(&format!("<{element}>")).skip(1) {
                let (inner, _) = part.split_once(&format!("</{element}>")).unwrap();
                assert!(policy.contains(&format!("{directive} '{}'", source(inner))), "{element}");
            }
        }
        for inline in [" style=", " onclick=", " onload=", "javascript:"] {
            assert!(!text.contains(inline), "{inline}");
        }
    }
    assert_eq!(body(&pages[0]).matches("SECRET").count(), 1, "the secret is only in the form");
}
