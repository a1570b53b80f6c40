//! Tests of the page for a link that allows no decision.

use insta::assert_snapshot;
use stablepin_rules::name::ApproverName;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{PromotionState, Verdict};
use stablepin_rules::refusal::Refusal;

use super::fixtures::{after, asking, at, ended, lead, said, second, tagged};

fn ended_by(refusal: &Refusal) -> String {
    let subject = asking(1, "main");
    said(&ended(&subject, &lead(), refusal))
}

#[test]
fn page_of_a_used_link_shows_the_decision() {
    let subject = after(&asking(1, "main"), Verdict::Reject, Some("the migration is missing"));
    let refusal = Refusal::LinkUsed { at: at("2025-07-17T15:00:00Z") };
    assert_snapshot!(said(&ended(&subject, &lead(), &refusal)), @r#"
    409 Rejected · Stablepin
    <h1>Rejected</h1>
    <p id="told" role="status">You rejected it on 2025-07-17 15:00 UTC. It is not promoted; the current pin stays. Rejected by lead: the migration is missing.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="failed"><b>Approved<i> failed</i></b><span>rejected by lead: the migration is missing</span></li></ol>
    "#);
}

#[test]
fn page_shows_the_first_vote_after_a_second_attempt_to_vote() {
    let subject = after(&asking(2, "main"), Verdict::Approve, None);
    assert_snapshot!(said(&ended(&subject, &lead(), &Refusal::AlreadyDecided { approver: lead() })), @r#"
    409 Approved by you · Stablepin
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
fn page_shows_the_decision_of_another_approver() {
    let subject = tagged(&after(&asking(1, "main"), Verdict::Approve, None));
    let refusal = Refusal::NotPending { state: PromotionState::Completed, reason: "pinned".to_owned() };
    assert_snapshot!(said(&ended(&subject, &second(), &refusal)), @r#"
    409 Approved and pinned · Stablepin
    <h1>Approved and pinned</h1>
    <p id="told" role="status">lead approved it on 2025-07-17 15:00 UTC. It is pin 1 of production.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="done"><b>Pinned<i> done</i></b><span>pin 1 of production</span></li></ol>
    "#);
}

/// Returns the refusal after `refusal` in the list of refusals that a link can cause. A new kind of
/// refusal must be added to this list, or to the refusals that return `None`.
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
        // The list ends with `NoSuchEnvironment`. Other tests cover the refusals for the
        // promotion's state, a wrong form, and an unknown link.
        Refusal::NoSuchEnvironment
        | Refusal::LinkUsed { .. }
        | Refusal::AlreadyDecided { .. }
        | Refusal::NotPending { .. }
        | Refusal::WrongCode
        | Refusal::NotTyped { .. }
        | Refusal::FactsChanged
        | Refusal::UnknownLink => None,
        // A link never causes these refusals. They concern rollbacks, requests for a promotion, and
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
fn page_explains_each_refusal_of_a_link() {
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
    <p id="told" role="status">The promotion expired on 2025-07-20 14:30 UTC: push again, or request it again.</p>

    410 There is a newer link · Stablepin
    <h1>There is a newer link</h1>
    <p id="told" role="status">A newer link was mailed to lead: use that one.</p>

    410 This link no longer works · Stablepin
    <h1>This link no longer works</h1>
    <p id="told" role="status">Too many wrong codes were tried with this link, so it no longer works: look for a newer mail.</p>

    410 A later build was approved · Stablepin
    <h1>A later build was approved</h1>
    <p id="told" role="status">A later build was approved as pin 8, and a promotion never replaces it with an earlier push: use a rollback.</p>

    410 You are no longer an approver · Stablepin
    <h1>You are no longer an approver</h1>
    <p id="told" role="status">This environment no longer has lead as an approver.</p>

    410 Somebody else must decide · Stablepin
    <h1>Somebody else must decide</h1>
    <p id="told" role="status">Approver lead requested this promotion or pushed the image, and four_eyes is on: somebody else must decide.</p>

    409 Somebody else must decide · Stablepin
    <h1>Somebody else must decide</h1>
    <p id="told" role="status">Lead and second can be the same signer, who has already decided, and one signer has one vote: give each approver their own principals in the application's file.</p>

    410 The pusher is not known · Stablepin
    <h1>The pusher is not known</h1>
    <p id="told" role="status">It is not known who pushed this, and four_eyes is &quot;strict&quot;: request the promotion by a signed request, and let somebody else decide.</p>

    410 Too many pushers · Stablepin
    <h1>Too many pushers</h1>
    <p id="told" role="status">Too many principals pushed this image to tell whether the approver is one of them: build it again, so that it has another digest, and push that.</p>

    410 Nothing to decide here · Stablepin
    <h1>Nothing to decide here</h1>
    <p id="told" role="status">The environment is not in the application's configuration.</p>
    "#);
}
