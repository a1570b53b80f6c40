//! Tests of the mail that confirms a vote.

use insta::assert_snapshot;
use stablepin_rules::audit::Actor;
use stablepin_rules::records::{Subject, Verdict, Vote};

use super::fixtures::{application, at, lead, promotion, pushed};
use crate::{Mail, vote_confirmation};

fn voted(verdict: Verdict, reason: Option<&str>) -> Subject {
    let mut subject = pushed(application("web", "production"), "main", |_| {});
    let vote = Vote {
        verdict,
        reason: reason.map(str::to_owned),
        at: at("2025-07-17T15:00:00Z"),
        actor: Actor::Link { approver: lead() },
        facts: None,
    };
    promotion(&mut subject).votes.insert(lead(), vote);
    subject
}

#[test]
fn vote_confirmation_says_how_to_undo_an_approval() {
    let Mail { subject, body } = vote_confirmation(&voted(Verdict::Approve, None), &lead()).unwrap();
    assert_snapshot!(format!("Subject: {subject}\n\n{body}"), @"
    Subject: Your link was used: web production approved, production-20250717-143052-a1b2c3d4

    Hello lead,

    A build was approved in your name, with the link that was mailed to you.

    Build:     production-20250717-143052-a1b2c3d4
    Digest:    sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1
    For:       web, production
    When:      2025-07-17 15:00 UTC

    If that was you, there is nothing to do. If it was not, somebody else can read your mail. Tell the people who run Stablepin, and:
    - withdraw promotion 0198184a-0100-7000-8000-000000000001 if it is still Pending
    - roll production back if it is not
    ");
}

#[test]
fn vote_confirmation_keeps_the_votes_reason_on_one_line() {
    let Mail { subject, body } =
        vote_confirmation(&voted(Verdict::Reject, Some("late\r\nBcc: x")), &lead()).unwrap();
    assert_snapshot!(format!("Subject: {subject}\n\n{body}"), @"
    Subject: Your link was used: web production rejected, production-20250717-143052-a1b2c3d4

    Hello lead,

    A build was rejected in your name, with the link that was mailed to you.

    Build:     production-20250717-143052-a1b2c3d4
    Digest:    sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1
    For:       web, production
    When:      2025-07-17 15:00 UTC
    Reason:    late Bcc: x

    If that was you, there is nothing to do. If it was not, somebody else can read your mail. Tell the people who run Stablepin, and:
    - push the build again, or request its promotion by a signed request
    ");
}

#[test]
fn approver_gets_no_confirmation_of_a_signed_decision() {
    let mut subject = voted(Verdict::Approve, None);
    let vote = promotion(&mut subject).votes.get_mut(&lead()).unwrap();
    vote.actor = Actor::Principal { arn: "arn:aws:iam::111122223333:role/lead".to_owned() };
    assert_eq!(vote_confirmation(&subject, &lead()), None);
}
