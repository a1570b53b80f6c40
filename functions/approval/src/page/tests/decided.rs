//! Tests of the page right after a decision.

use insta::assert_snapshot;
use stablepin_rules::records::{Slot, SlotKind, Verdict};

use super::fixtures::{after, asking, at, body, decided, id, lead, said, shown, tagged};
use crate::page::{PageState, status};

#[test]
fn page_shows_the_pin_after_an_approval() {
    let subject = tagged(&after(&asking(1, "main"), Verdict::Approve, None));
    assert_snapshot!(shown(&decided(&subject)), @r#"
    200 Approved and pinned · Stablepin
    <p class="brand">Stablepin</p>
    <h1>Approved and pinned</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. It is pin 1 of production.</p>
    <h2>Progress</h2>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="done"><b>Pinned<i> done</i></b><span>pin 1 of production</span></li></ol>
    <h2>Details</h2>
    <dl>
    <dt>Application</dt><dd>web</dd>
    <dt>Environment</dt><dd>production</dd>
    <dt>Build</dt><dd><code>production-20250717-143052-a1b2c3d4</code></dd>
    <dt>Commit</dt><dd><code>a1b2c3d4e5f60718293a4b5c6d7e8f9012345678</code></dd>
    <dt>Digest</dt><dd><code>sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1</code></dd>
    <dt>Size</dt><dd>12.3 MB</dd>
    <dt>Pushed</dt><dd>web:main, 2025-07-17 14:30 UTC</dd>
    <dt>Pushed by</dt><dd>unknown (not reported by CloudTrail)</dd>
    <dt>Replaces</dt><dd>the previous pin</dd></dl>
    "#);
}

#[test]
fn page_announces_the_stable_tag_after_an_approval() {
    assert_snapshot!(said(&decided(&after(&asking(1, "main"), Verdict::Approve, None))), @r#"
    200 Approved · Stablepin
    <h1>Approved</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. It is the pin; its tag follows within a minute.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="now"><b>Pinned<i> now</i></b><span>pin 1; its tag follows within a minute</span></li></ol>
    <noscript>
    <p><a href="/decide/web/production/1?t=SECRET">Reload</a></p></noscript>
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
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="now"><b>Approved<i> now</i></b><span>1 of 2 needed: lead</span></li>
    <li class="ahead"><b>Pinned<i> ahead</i></b><span></span></li></ol>
    <noscript>
    <p><a href="/decide/web/production/1?t=SECRET">Reload</a></p></noscript>
    <script>…</script>
    "#);
}

#[test]
fn page_says_that_a_promotion_waits_for_a_rollback() {
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
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="now"><b>Pinned<i> now</i></b><span>waits until a rollback has ended</span></li></ol>
    <noscript>
    <p><a href="/decide/web/production/1?t=SECRET">Reload</a></p></noscript>
    <script>…</script>
    "#);
}

#[test]
fn page_shows_the_reason_after_a_rejection() {
    let subject = after(&asking(2, "main"), Verdict::Reject, Some("the migration is missing"));
    assert_snapshot!(said(&decided(&subject)), @r#"
    200 Rejected · Stablepin
    <h1>Rejected</h1>
    <p id="told" role="status">You rejected it on 2025-07-17 15:00 UTC. It is not promoted; the current pin stays. Rejected by lead: the migration is missing.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="failed"><b>Approved<i> failed</i></b><span>rejected by lead: the migration is missing</span></li></ol>
    "#);
}

#[test]
fn page_says_that_two_approvals_are_missing() {
    let mut subject = after(&asking(2, "main"), Verdict::Approve, None);
    subject.configuration.application.environments[0].approval.required = 3;
    assert_snapshot!(said(&decided(&subject)).lines().nth(2).unwrap(), @r#"<p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. 2 more approvals are needed.</p>"#);
}

#[test]
fn status_returns_the_state_of_the_page_as_json() {
    let subject = tagged(&after(&asking(1, "main"), Verdict::Approve, None));
    assert_snapshot!(body(&status(&subject, &PageState::now(&subject, &lead()))), @r#"{"title":"Approved and pinned","text":"You approved it on 2025-07-17 15:00 UTC. It is pin 1 of production.","over":true,"steps":[{"name":"Validated","state":"done","detail":"the image is valid"},{"name":"Approved","state":"done","detail":"by lead"},{"name":"Pinned","state":"done","detail":"pin 1 of production"}]}"#);
}
