//! Tests of the form to approve or reject.

use insta::assert_snapshot;
use stablepin_http::Response;
use stablepin_rules::application::Step;
use stablepin_rules::records::{Subject, Token, Verdict};

use super::fixtures::{PLACE, after, asking, asks, held, said, second, shown, token};
use crate::page::{Field, FormProblem, question};

fn asks_again(subject: &Subject, status: u16, message: &str, field: Field) -> Response {
    let wrong = FormProblem { status, message: message.to_owned(), field, reason: "it is slow" };
    question(subject, &token(subject), PLACE, Some(&wrong))
}

#[test]
fn decision_form_shows_all_facts() {
    assert_snapshot!(shown(&asks(&asking(1, "main"))), @r#"
    200 Approve web for production? · Stablepin
    <p class="brand">Stablepin</p>
    <h1>Approve web for production?</h1>
    <p>You decide as <strong>lead</strong>. If you approve, the build becomes the stable version.</p>
    <dl>
    <dt>Application</dt><dd>web</dd>
    <dt>Environment</dt><dd>production</dd>
    <dt>Build</dt><dd><code>production-20250717-143052-a1b2c3d4</code></dd>
    <dt>Commit</dt><dd><code>a1b2c3d4e5f60718293a4b5c6d7e8f9012345678</code></dd>
    <dt>Digest</dt><dd><code>sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1</code></dd>
    <dt>Size</dt><dd>12.3 MB</dd>
    <dt>Pushed</dt><dd>web:main, 2025-07-17 14:30 UTC</dd>
    <dt>Pushed by</dt><dd>unknown (not reported by CloudTrail)</dd>
    <dt>Replaces</dt><dd>nothing (this would be the first pin)</dd></dl>
    <form method="post" action="/decide/web/production/1" autocomplete="off">
    <input type="hidden" name="t" value="SECRET">
    <input type="hidden" name="facts" value="d2c2b1714e52efdb2c158286cb1faee485379b83ba97e57cb2342bd931c4b8e4">
    <label for="code">Code</label>
    <p class="hint" id="hint">Six letters and digits, in the mail below the link.</p>
    <input id="code" name="code" required maxlength="20" autocapitalize="characters" spellcheck="false" aria-describedby="hint">
    <label for="reason">Reason</label>
    <p class="hint" id="why">Required to reject. The person who pushed will read it.</p>
    <textarea id="reason" name="reason" rows="2" maxlength="500" aria-describedby="why"></textarea>
    <button disabled hidden></button>
    <div class="buttons">
    <button class="approve" name="decision" value="approve">Approve</button>
    <button class="reject" name="decision" value="reject">Reject</button></div>
    </form>
    <p class="small">Opening this page decides nothing. The link works once and expires on 2025-07-20 14:30 UTC.</p>
    "#);
}

#[test]
fn decision_form_asks_for_the_name_only_if_configured() {
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
fn decision_form_says_that_approval_releases_the_hold() {
    let page = shown(&asks(&held(asking(1, "main"), "rollback to pin 6")));
    let note: Vec<&str> = page.lines().filter(|line| line.contains("note")).collect();
    assert_snapshot!(note.join("\n"), @r#"<p class="note">production has been held since 2025-07-17 09:15 UTC (rollback to pin 6). Your approval releases the hold.</p>"#);
}

#[test]
fn decision_form_names_approvers_who_have_approved() {
    let subject = after(&asking(2, "main"), Verdict::Approve, None);
    let token = Token { approver: second(), ..token(&subject) };
    let page = said(&question(&subject, &token, PLACE, None));
    assert_snapshot!(page.lines().nth(3).unwrap(), @"<p>Approved so far by <strong>lead</strong>: 1 of 2 needed.</p>");
}

#[test]
fn decision_form_marks_the_field_to_correct() {
    let subject = asking(1, "main");
    assert_snapshot!(said(&asks_again(&subject, 422, "the code is wrong", Field::Extra)), @r#"
    422 Approve web for production? · Stablepin
    <h1>Approve web for production?</h1>
    <div class="wrong" role="alert">
    <p><strong>Your decision was not saved.</strong> The code is wrong.</p></div>
    <p>You decide as <strong>lead</strong>. If you approve, the build becomes the stable version.</p>
    <form method="post" action="/decide/web/production/1" autocomplete="off">
    <input type="hidden" name="t" value="SECRET">
    <input type="hidden" name="facts" value="d2c2b1714e52efdb2c158286cb1faee485379b83ba97e57cb2342bd931c4b8e4">
    <label for="code">Code</label>
    <p class="hint" id="hint">Six letters and digits, in the mail below the link.</p>
    <input id="code" name="code" required maxlength="20" autocapitalize="characters" spellcheck="false" aria-describedby="hint" aria-invalid="true" autofocus>
    <label for="reason">Reason</label>
    <p class="hint" id="why">Required to reject. The person who pushed will read it.</p>
    <textarea id="reason" name="reason" rows="2" maxlength="500" aria-describedby="why">it is slow</textarea>
    <button disabled hidden></button>
    <div class="buttons">
    <button class="approve" name="decision" value="approve">Approve</button>
    <button class="reject" name="decision" value="reject">Reject</button></div>
    </form>
    <p class="small">Opening this page decides nothing. The link works once and expires on 2025-07-20 14:30 UTC.</p>
    "#);
    let page = said(&asks_again(&subject, 400, "write a reason", Field::Reason));
    let marked: Vec<&str> =
        page.lines().filter(|line| line.contains("invalid") || line.contains("alert")).collect();
    assert_snapshot!(marked.join("\n"), @r#"
    <div class="wrong" role="alert">
    <textarea id="reason" name="reason" rows="2" maxlength="500" aria-describedby="why" aria-invalid="true" autofocus>it is slow</textarea>
    "#);
}
