use base64::Engine as _;
use insta::assert_snapshot;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use stablepin_core::application::Application;
use stablepin_core::audit::Actor;
use stablepin_core::commit::Commit;
use stablepin_core::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_core::name::{ApproverName, EnvironmentName};
use stablepin_core::pin_number::PinNumber;
use stablepin_core::records::{
    Configuration, Environment, Hold, Occurrence, OperationId, Slot, SlotKind, TokenHash,
};
use stablepin_core::step::{Decision, Observed, Opening, step};

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

/// What somebody might push or write who wants the page to say something else.
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

/// A promotion that asks, by `required` of two approvers.
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
    };
    step(at("2025-07-17T14:30:54Z"), &subject, &[Observed::Opened(Box::new(push))]).unwrap().after
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
    }
}

/// After the lead's word.
fn after(subject: &Subject, verdict: Verdict, reason: Option<&str>) -> Subject {
    let decision = Decision {
        approver: lead(),
        verdict,
        reason: reason.map(str::to_owned),
        actor: Actor::Link { approver: lead() },
        token: Some(token(subject)),
    };
    step(at("2025-07-17T15:00:00Z"), subject, &[Observed::Decision(decision)]).unwrap().after
}

fn tagged(subject: &Subject) -> Subject {
    use stablepin_core::effect::Outcome;
    let done = [Outcome::BuildTagged, Outcome::StableTagged(PinNumber::FIRST)].map(Observed::Outcome);
    step(at("2025-07-17T15:00:01Z"), subject, &done).unwrap().after
}

fn held(mut subject: Subject, reason: &str) -> Subject {
    let (since, reason) = (at("2025-07-17T09:15:00Z"), reason.to_owned());
    subject.environment.hold = Some(Hold { since, reason, by: id() });
    subject
}

fn body(response: &Response) -> &str {
    std::str::from_utf8(response.body.as_ref().unwrap().as_ref()).unwrap()
}

/// Status, title and what is in `<main>`, one element a line.
fn shown(response: &Response) -> String {
    let (head, rest) = body(response).split_once("<main>").unwrap();
    let (main, _) = rest.split_once("</main>").unwrap();
    let title = head.split_once("<title>").unwrap().1.split_once("</title>").unwrap().0;
    let mut main = main.to_owned();
    for element in ["<p", "<dl", "<dt", "<form", "<input", "<label", "<textarea", "<div", "<button", "</form"]
    {
        main = main.replace(element, &format!("\n{element}"));
    }
    format!("{} {title}\n{main}", response.status_code)
}

/// Without the facts, which every page has: what it says.
fn said(response: &Response) -> String {
    let shown = shown(response);
    let lines = shown.lines().filter(|line| !line.starts_with("<dt") && !line.starts_with("<dl"));
    lines.collect::<Vec<_>>().join("\n")
}

fn ended_by(refusal: &Refusal) -> String {
    let subject = asking(1, "main");
    said(&ended(&subject, &token(&subject), refusal))
}

#[test]
fn the_question() {
    let subject = asking(1, "main");
    assert_snapshot!(shown(&question(&subject, &token(&subject), "SECRET", "/decide/web/production/1")), @r#"
    200 Approve web for production? · Stablepin
    <h1>Approve web for production?</h1>
    <p>You are asked as <strong>lead</strong>. What you approve becomes the stable version.</p>
    <dl>
    <dt>Application</dt><dd>web</dd>
    <dt>Environment</dt><dd>production</dd>
    <dt>Build</dt><dd><code>production-20250717-143052-a1b2c3d4</code></dd>
    <dt>Commit</dt><dd><code>a1b2c3d4e5f60718293a4b5c6d7e8f9012345678</code></dd>
    <dt>Digest</dt><dd><code>sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1</code></dd>
    <dt>Size</dt><dd>12.3 MB</dd>
    <dt>Pushed as</dt><dd><code>web:main</code>, 2025-07-17 14:30 UTC</dd>
    <dt>Current pin</dt><dd>none yet</dd></dl>
    <form method="post" action="/decide/web/production/1" autocomplete="off">
    <input type="hidden" name="t" value="SECRET">
    <label for="reason">Reason (needed to reject)</label>
    <textarea id="reason" name="reason" rows="3" maxlength="500"></textarea>
    <div class="buttons">
    <button class="approve" name="decision" value="approve">Approve</button>
    <button class="reject" name="decision" value="reject">Reject</button></div>
    </form>
    <p class="small">Opening this page decided nothing. The link works once and expires on 2025-07-20 14:30 UTC.</p>
    "#);
}

#[test]
fn the_question_where_the_environment_is_held() {
    let subject = held(asking(1, "main"), "rollback to pin 6");
    let page = shown(&question(&subject, &token(&subject), "SECRET", "/decide/web/production/1"));
    let note: Vec<&str> = page.lines().filter(|line| line.contains("note")).collect();
    assert_snapshot!(note.join("\n"), @r#"
    <p class="note">This environment is held since 2025-07-17 09:15 UTC (rollback to pin 6). Your approval releases the hold.</p>
    "#);
}

#[test]
fn approved_and_pinned() {
    let subject = tagged(&after(&asking(1, "main"), Verdict::Approve, None));
    assert_snapshot!(shown(&decided(&subject, &token(&subject), Verdict::Approve)), @r#"
    200 Approved · Stablepin
    <h1>Approved</h1>
    <p>It is pin 1 of production.</p>
    <p>Decided by <strong>lead</strong>.</p>
    <dl>
    <dt>Application</dt><dd>web</dd>
    <dt>Environment</dt><dd>production</dd>
    <dt>Build</dt><dd><code>production-20250717-143052-a1b2c3d4</code></dd>
    <dt>Commit</dt><dd><code>a1b2c3d4e5f60718293a4b5c6d7e8f9012345678</code></dd>
    <dt>Digest</dt><dd><code>sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1</code></dd>
    <dt>Size</dt><dd>12.3 MB</dd>
    <dt>Pushed as</dt><dd><code>web:main</code>, 2025-07-17 14:30 UTC</dd>
    <dt>Current pin</dt><dd>1, <code>production-20250717-143052-a1b2c3d4</code>, since 2025-07-17 15:00 UTC</dd></dl>
    "#);
}

#[test]
fn approved_and_the_tag_follows() {
    let subject = after(&asking(1, "main"), Verdict::Approve, None);
    assert_snapshot!(said(&decided(&subject, &token(&subject), Verdict::Approve)), @r#"
    200 Approved · Stablepin
    <h1>Approved</h1>
    <p>It is the pin; its tag follows within a minute.</p>
    <p>Decided by <strong>lead</strong>.</p>
    "#);
}

#[test]
fn approved_by_one_of_two() {
    let subject = after(&asking(2, "main"), Verdict::Approve, None);
    assert_snapshot!(said(&decided(&subject, &token(&subject), Verdict::Approve)), @r#"
    200 Approved by you · Stablepin
    <h1>Approved by you</h1>
    <p>More approvals are needed before it becomes the pin.</p>
    <p>Decided by <strong>lead</strong>.</p>
    "#);
}

#[test]
fn approved_while_a_rollback_runs() {
    let mut subject = asking(1, "main");
    subject.environment.slot = Some(Slot {
        operation: id(),
        kind: SlotKind::Rollback,
        digest: subject.promotion().unwrap().digest.clone(),
        since: at("2025-07-17T14:00:00Z"),
        moving_until: None,
    });
    let subject = after(&subject, Verdict::Approve, None);
    assert_snapshot!(said(&decided(&subject, &token(&subject), Verdict::Approve)), @r#"
    200 Approved · Stablepin
    <h1>Approved</h1>
    <p>It goes on as soon as a rollback of this environment has ended.</p>
    <p>Decided by <strong>lead</strong>.</p>
    "#);
}

#[test]
fn rejected() {
    let subject = after(&asking(2, "main"), Verdict::Reject, Some("the migration is missing"));
    assert_snapshot!(said(&decided(&subject, &token(&subject), Verdict::Reject)), @r#"
    200 Rejected · Stablepin
    <h1>Rejected</h1>
    <p>This build goes no further. The current pin stays.</p>
    <p>Decided by <strong>lead</strong>.</p>
    "#);
}

#[test]
fn a_link_that_was_used() {
    let subject = after(&asking(1, "main"), Verdict::Reject, Some("the migration is missing"));
    let refusal = Refusal::LinkUsed { at: at("2025-07-17T15:00:00Z") };
    assert_snapshot!(said(&ended(&subject, &token(&subject), &refusal)), @r#"
    409 This link was used · Stablepin
    <h1>This link was used</h1>
    <p>This link was used.</p>
    <p>You rejected it on 2025-07-17 15:00 UTC.</p>
    <p>The promotion is <strong>Cancelled</strong>: rejected by lead: the migration is missing.</p>
    "#);
}

#[test]
fn an_approver_who_has_decided() {
    let subject = after(&asking(2, "main"), Verdict::Approve, None);
    let refusal = Refusal::AlreadyDecided { approver: lead() };
    assert_snapshot!(said(&ended(&subject, &token(&subject), &refusal)), @r#"
    409 You have decided · Stablepin
    <h1>You have decided</h1>
    <p>Approver lead has already decided.</p>
    <p>You approved it on 2025-07-17 15:00 UTC.</p>
    <p>The promotion is <strong>Pending</strong>.</p>
    "#);
}

#[test]
fn a_promotion_that_another_has_ended() {
    let subject = after(&asking(2, "main"), Verdict::Reject, Some("the migration is missing"));
    let second = Token { approver: ApproverName::parse("second").unwrap(), ..token(&subject) };
    let refusal = Refusal::NotPending {
        state: PromotionState::Cancelled,
        reason: subject.promotion().unwrap().reason.clone().unwrap(),
    };
    assert_snapshot!(said(&ended(&subject, &second, &refusal)), @r#"
    409 Nothing to decide here · Stablepin
    <h1>Nothing to decide here</h1>
    <p>The promotion is Cancelled: rejected by lead: the migration is missing.</p>
    "#);
}

#[test]
fn a_link_that_has_expired() {
    assert_snapshot!(ended_by(&Refusal::LinkExpired { at: at("2025-07-20T14:30:54Z") }), @r#"
    410 This link has expired · Stablepin
    <h1>This link has expired</h1>
    <p>This link expired on 2025-07-20 14:30 UTC.</p>
    <p>The promotion is <strong>Pending</strong>.</p>
    "#);
}

#[test]
fn a_promotion_that_has_expired() {
    assert_snapshot!(ended_by(&Refusal::Expired { at: at("2025-07-20T14:30:54Z") }), @r#"
    410 This link has expired · Stablepin
    <h1>This link has expired</h1>
    <p>The promotion expired on 2025-07-20 14:30 UTC: push again, or ask for it again.</p>
    <p>The promotion is <strong>Pending</strong>.</p>
    "#);
}

#[test]
fn a_link_with_a_newer_one() {
    assert_snapshot!(ended_by(&Refusal::LinkReplaced { approver: lead() }), @r#"
    410 There is a newer link · Stablepin
    <h1>There is a newer link</h1>
    <p>A newer link was mailed to lead: use that one.</p>
    <p>The promotion is <strong>Pending</strong>.</p>
    "#);
}

#[test]
fn a_build_that_was_overtaken() {
    assert_snapshot!(ended_by(&Refusal::Superseded { pin: PinNumber::new(8).unwrap() }), @r#"
    410 A later build was approved · Stablepin
    <h1>A later build was approved</h1>
    <p>A later build was approved as pin 8, and the pin never goes back to an earlier push: use a rollback.</p>
    <p>The promotion is <strong>Pending</strong>.</p>
    "#);
}

#[test]
fn who_is_no_approver_any_more() {
    assert_snapshot!(ended_by(&Refusal::NotAnApprover { approver: lead() }), @r#"
    410 You are not an approver any more · Stablepin
    <h1>You are not an approver any more</h1>
    <p>This environment does not have lead among its approvers any more.</p>
    <p>The promotion is <strong>Pending</strong>.</p>
    "#);
}

#[test]
fn an_environment_that_has_left_the_configuration() {
    assert_snapshot!(ended_by(&Refusal::NoSuchEnvironment), @r#"
    410 Nothing to decide here · Stablepin
    <h1>Nothing to decide here</h1>
    <p>The environment is not in the application's configuration.</p>
    <p>The promotion is <strong>Pending</strong>.</p>
    "#);
}

#[test]
fn an_unknown_link_learns_nothing() {
    assert_snapshot!(shown(&refused(&Refusal::UnknownLink)), @r#"
    404 This link is not known · Stablepin
    <h1>This link is not known</h1>
    <p>This link is not known.</p>
    <p>Open the link from the newest mail, whole.</p>
    "#);
}

#[test]
fn a_form_without_a_decision_or_without_a_reason() {
    assert_snapshot!(shown(&say_which()), @r#"
    400 Approve or reject? · Stablepin
    <h1>Approve or reject?</h1>
    <p>Nothing was decided. Go back and choose Approve or Reject.</p>
    "#);
    assert_snapshot!(shown(&say_why()), @r#"
    400 Why do you reject it? · Stablepin
    <h1>Why do you reject it?</h1>
    <p>Nothing was decided. Go back and write a reason: whoever pushed will read it.</p>
    "#);
}

#[test]
fn another_method() {
    assert_snapshot!(shown(&no_such_method()), @r#"
    405 Not here · Stablepin
    <h1>Not here</h1>
    <p>This page knows GET and POST.</p>
    "#);
}

#[test]
fn our_own_error() {
    assert_snapshot!(shown(&ours("JKJaXmPLvHcESHA=")), @r#"
    500 That did not work · Stablepin
    <h1>That did not work</h1>
    <p>Something went wrong on our side. Your decision may not have been taken: reload the page to see.</p>
    <p>If it stays so, quote <code>JKJaXmPLvHcESHA=</code>.</p>
    "#);
}

#[test]
fn what_was_pushed_or_written_with_bad_intent_is_text() {
    let longest = format!("_{}", "x.-".repeat(42));
    let subject = after(&asking(1, &longest), Verdict::Reject, Some(&HOSTILE.repeat(20)));
    let subject = held(subject, &HOSTILE.repeat(20));
    let token = token(&subject);
    let reason = subject.promotion().unwrap().reason.clone().unwrap();
    let refusal = Refusal::NotPending { state: PromotionState::Cancelled, reason };
    let pages = [
        question(&subject, &token, HOSTILE, HOSTILE),
        decided(&subject, &token, Verdict::Reject),
        ended(&subject, &token, &refusal),
        refused(&Refusal::NeverPinned { to: HOSTILE.to_owned() }),
        ours(HOSTILE),
    ];
    for page in &pages {
        let text = body(page);
        assert!(!text.contains("<script"), "{text}");
        assert_eq!(text.matches("<p").count(), text.matches("</p>").count(), "{text}");
    }
    for page in [&pages[1], &pages[2], &pages[3]] {
        assert!(!body(page).contains('\u{202e}'), "what is shown is read in its own order");
    }
    let refusal = Refusal::NotPending { state: PromotionState::Cancelled, reason: HOSTILE.to_owned() };
    assert_snapshot!(said(&ended(&asking(1, "main"), &token, &refusal)), @r#"
    409 Nothing to decide here · Stablepin
    <h1>Nothing to decide here</h1>
    <p>The promotion is Cancelled: &lt;/p&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; 'x' &amp;amp; evorppa.</p>
    "#);
    let held = held(asking(1, "main"), HOSTILE);
    let page = shown(&question(&held, &token, "SECRET\"><script>", "/decide/\"><script>"));
    let lines =
        page.lines().filter(|line| ["note", "<form", "hidden"].iter().any(|part| line.contains(part)));
    assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r#"
    <p class="note">This environment is held since 2025-07-17 09:15 UTC (&lt;/p&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; 'x' &amp;amp; evorppa). Your approval releases the hold.</p>
    <form method="post" action="/decide/&quot;&gt;&lt;script&gt;" autocomplete="off">
    <input type="hidden" name="t" value="SECRET&quot;&gt;&lt;script&gt;">
    "#);
}

#[test]
fn no_page_is_kept_framed_or_lets_anything_run() {
    let subject = asking(1, "main");
    let pages =
        [question(&subject, &token(&subject), "SECRET", "/"), refused(&Refusal::UnknownLink), ours("1")];
    for page in &pages {
        let header = |name: &str| page.headers[name].to_str().unwrap();
        assert!(header("content-security-policy").starts_with("default-src 'none'; style-src 'sha256-"));
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert!(!body(page).contains("<script"));
    }
    assert_eq!(body(&pages[0]).matches("SECRET").count(), 1, "in the form, and nowhere else");
}

#[test]
fn the_policy_names_the_style_that_is_sent() {
    let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    assert_eq!(STYLE_HASH.trim(), hash);
}
