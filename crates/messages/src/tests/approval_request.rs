//! Tests of the mail that requests an approval.

use insta::assert_snapshot;
use stablepin_rules::application::Step;
use stablepin_rules::audit::Actor;
use stablepin_rules::records::{
    ApprovalRequest, Freeze, Hold, HoldReason, RolloutFailure, Subject, TokenHash, Work,
};

use super::fixtures::{LINK, application, at, code, id, lead, mail, promotion, pushed, with_a_pin};
use crate::question;

fn held(mut subject: Subject, reason: &str) -> Subject {
    let failure = RolloutFailure::Reported(reason.to_owned());
    let reason = HoldReason::ReleaseFailed(failure);
    subject.environment.hold = Some(Hold { since: at("2025-07-17T09:15:00Z"), reason, by: id() });
    subject
}

#[test]
fn approval_request_for_a_first_build_names_no_pin() {
    let subject = pushed(application("web", "production"), "main", |push| {
        (push.commit, push.size_bytes) = (None, None);
    });
    assert_snapshot!(mail(&subject), @"
    Subject: Approve web for production? production-20250717-143052-a1a1a1a1

    Hello lead,

    web has a new build for production. Do you approve it as the stable version?

    Build:     production-20250717-143052-a1a1a1a1
    Commit:    unknown
    Digest:    sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1
    Size:      different for each platform
    Pushed:    web:main, 2025-07-17 14:30 UTC
    Pushed by: unknown (not reported by CloudTrail)
    Replaces:  nothing (this would be the first pin)

    Review and decide here:
    https://approve.example.com/decide/web/production/0198184a-0100-7000-8000-000000000001?t=SECRET
    Your code: K7Q-2MD

    The link is only for you, works once, and expires on 2025-07-20 14:30 UTC. 2 of 2 approvers must approve; one rejection stops it.
    Do not forward this mail: anybody who has it can decide in your name.
    ");
}

#[test]
fn approval_request_names_the_replaced_pin() {
    assert_snapshot!(mail(&with_a_pin(pushed(application("web", "production"), "v1.2.3", |_| ()))), @"
    Subject: Approve web for production? production-20250717-143052-a1b2c3d4

    Hello lead,

    web has a new build for production. Do you approve it as the stable version?

    Build:     production-20250717-143052-a1b2c3d4
    Commit:    a1b2c3d4e5f60718293a4b5c6d7e8f9012345678
    Digest:    sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1
    Size:      12.3 MB, 345.6 kB more than pin 6
    Pushed:    web:v1.2.3, 2025-07-17 14:30 UTC
    Pushed by: unknown (not reported by CloudTrail)
    Replaces:  pin 6, production-20250716-101500-b2b2b2b2, since 2025-07-16 11:00 UTC

    Review and decide here:
    https://approve.example.com/decide/web/production/0198184a-0100-7000-8000-000000000001?t=SECRET
    Your code: K7Q-2MD

    The link is only for you, works once, and expires on 2025-07-20 14:30 UTC. 2 of 2 approvers must approve; one rejection stops it.
    Do not forward this mail: anybody who has it can decide in your name.
    ");
}

#[test]
fn approval_request_shows_the_hold() {
    let subject = with_a_pin(pushed(application("web", "production"), "main", |_| ()));
    assert_snapshot!(mail(&held(subject, "rollback to pin 6")), @"
    Subject: Approve web for production? production-20250717-143052-a1b2c3d4

    Hello lead,

    web has a new build for production. Do you approve it as the stable version?

    Build:     production-20250717-143052-a1b2c3d4
    Commit:    a1b2c3d4e5f60718293a4b5c6d7e8f9012345678
    Digest:    sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1
    Size:      12.3 MB, 345.6 kB more than pin 6
    Pushed:    web:main, 2025-07-17 14:30 UTC
    Pushed by: unknown (not reported by CloudTrail)
    Replaces:  pin 6, production-20250716-101500-b2b2b2b2, since 2025-07-16 11:00 UTC

    production has been held since 2025-07-17 09:15 UTC (rollback to pin 6). Your approval releases the hold.

    Review and decide here:
    https://approve.example.com/decide/web/production/0198184a-0100-7000-8000-000000000001?t=SECRET
    Your code: K7Q-2MD

    The link is only for you, works once, and expires on 2025-07-20 14:30 UTC. 2 of 2 approvers must approve; one rejection stops it.
    Do not forward this mail: anybody who has it can decide in your name.
    ");
}

#[test]
fn approval_request_shows_the_freeze_and_the_requester() {
    let arn = "arn:aws:iam::111122223333:role/lead".to_owned();
    let mut subject = pushed(application("web", "production"), "main", |opening| {
        opening.asked_by = Some(Actor::Principal { arn });
    });
    let (since, reason) = (at("2025-07-17T09:15:00Z"), "autumn sale".to_owned());
    subject.environment.freeze = Some(Freeze { since, reason, by: Actor::Stablepin });
    let text = mail(&subject);
    let shown = text.lines().filter(|line| line.starts_with("Requester") || line.contains("frozen"));
    assert_snapshot!(shown.collect::<Vec<_>>().join("\n"), @"
    Requester: arn:aws:iam::111122223333:role/lead, by a signed request
    production has been frozen since 2025-07-17 09:15 UTC (autumn sale). If you approve, the build waits until the freeze ends.
    ");
}

#[test]
fn approval_request_names_five_pushers_and_compares_sizes() {
    let shown = |pushers: usize, bytes: u64| {
        let mut subject = with_a_pin(pushed(application("web", "production"), "main", |_| ()));
        promotion(&mut subject).build.size_bytes = Some(bytes);
        promotion(&mut subject).pushers =
            (0..pushers).map(|n| format!("arn:aws:iam::111122223333:user/ci-{n}")).collect();
        let text = mail(&subject);
        let lines = text.lines().filter(|line| line.starts_with("Size") || line.starts_with("Pushed by"));
        lines.collect::<Vec<_>>().join("\n").replace("arn:aws:iam::111122223333:user/", "")
    };
    assert_snapshot!(shown(1, 12_000_000), @"
    Size:      12.0 MB, the same as pin 6
    Pushed by: ci-0
    ");
    assert_snapshot!(shown(6, 11_000_000), @"
    Size:      11.0 MB, 1.0 MB less than pin 6
    Pushed by: ci-0, ci-1, ci-2, ci-3, ci-4 and others
    ");
}

#[test]
fn approval_request_explains_reminders_and_replaced_links() {
    let asked_again = |burnt| {
        let mut subject = pushed(application("web", "production"), "main", |_| ());
        let Some(Work::Promotion(promotion)) =
            subject.operation.as_mut().map(|operation| &mut operation.work)
        else {
            panic!("a push must open a promotion")
        };
        let token = TokenHash("0f".repeat(32));
        promotion.asked.insert(
            lead(),
            ApprovalRequest { token, at: at("2025-07-17T14:31:00Z"), burnt, before: 0, mail: None },
        );
        mail(&subject).lines().take(6).collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(asked_again(false), @"
    Subject: Reminder: Approve web for production? production-20250717-143052-a1b2c3d4

    Hello lead,

    web has a new build for production. Do you approve it as the stable version?
    This is a reminder of our mail of 2025-07-17 14:31 UTC. The link in that mail no longer works. Here is a new one.
    ");
    assert_snapshot!(asked_again(true), @"
    Subject: Approve web for production? production-20250717-143052-a1b2c3d4

    Hello lead,

    web has a new build for production. Do you approve it as the stable version?
    You or somebody else tried too many wrong codes with your previous link, so it no longer works. Here is a new one.
    ");
}

#[test]
fn approval_request_keeps_hostile_text_on_one_line() {
    let tag = format!("_{}", "x.-".repeat(42));
    let mut subject = pushed(application("web", "production"), &tag, |_| ());
    // The types of the rules do not allow these characters. The mail is safe even if the table
    // contains them.
    let hostile = "ok\r\n\r\nDecide here instead:\nhttps://evil.example/\u{202e}txt\u{2028}<script>alert(\"'1'\")</script>";
    let Some(stablepin_rules::records::Work::Promotion(promotion)) =
        subject.operation.as_mut().map(|operation| &mut operation.work)
    else {
        panic!("a push must open a promotion")
    };
    promotion.build.commit = Some(hostile.to_owned());
    let text = mail(&held(subject, &format!("{hostile}{}", "y".repeat(600))));
    for character in text.chars() {
        assert!(character == '\n' || (!character.is_control() && character.is_ascii()) || character == '…');
    }
    let clean = mail(&held(pushed(application("web", "production"), "main", |_| ()), "rollback to pin 6"));
    assert_eq!(text.lines().count(), clean.lines().count(), "the text adds a line");
    let shown: Vec<&str> = text
        .lines()
        .filter(|line| {
            ["Commit", "Pushed", "production has been held"].iter().any(|start| line.starts_with(start))
        })
        .collect();
    assert_snapshot!(shown.join("\n"), @r#"
    Commit:    ok Decide here instead: https://evil.example/ txt <script>alert("'1'")</script>
    Pushed:    web:_x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-, 2025-07-17 14:30 UTC
    Pushed by: unknown (not reported by CloudTrail)
    production has been held since 2025-07-17 09:15 UTC (ok Decide here instead: https://evil.example/ txt <script>alert("'1'")</script>yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…). Your approval releases the hold.
    "#);
}

#[test]
fn mail_subject_with_the_longest_names_fits_sns() {
    let longest = "n".repeat(40);
    let subject = pushed(application(&longest, &longest), "main", |_| ());
    let mail =
        question(&subject, subject.policy().unwrap(), subject.promotion().unwrap(), &lead(), LINK, &code());
    assert_snapshot!(stablepin_aws::sns::subject_line(&mail.subject), @"Approve nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn for nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn? n...");
    let usual = pushed(application("web", "production"), "main", |_| ());
    let mail = question(&usual, usual.policy().unwrap(), usual.promotion().unwrap(), &lead(), LINK, &code());
    assert_eq!(stablepin_aws::sns::subject_line(&mail.subject), mail.subject);
    assert!(!mail.subject.contains("SECRET"));
}

#[test]
fn approval_request_shows_the_link_once_on_its_own_line() {
    let text = mail(&pushed(application("web", "production"), "main", |_| ()));
    assert_eq!(text.lines().filter(|line| *line == LINK).count(), 1);
    assert_eq!(text.matches("SECRET").count(), 1);
    assert_eq!(text.matches("K7Q-2MD").count(), 1, "the code is not in the link");
}

#[test]
fn approval_request_contains_the_code_or_the_name_to_type() {
    let asked = |step| {
        let mut application = application("web", "production");
        application.environments[0].approval.step = step;
        let text = mail(&pushed(application, "main", |_| ()));
        let after = text.split_once(LINK).unwrap().1;
        after.lines().nth(1).unwrap().to_owned()
    };
    assert_eq!(asked(Step::Code), "Your code: K7Q-2MD");
    assert_eq!(asked(Step::Type), "The page asks you to type: production");
    assert_eq!(asked(Step::None), "");
}

#[test]
fn approval_request_says_that_earlier_builds_were_skipped() {
    let mut subject = pushed(application("web", "production"), "main", |_| {});
    promotion(&mut subject).ask_at = Some(at("2025-07-17T14:35:00Z"));
    assert_snapshot!(mail(&subject), @"
    Subject: Approve web for production? production-20250717-143052-a1b2c3d4

    Hello lead,

    web has a new build for production. Do you approve it as the stable version?
    Many builds were pushed within minutes. This is the newest one. For some earlier ones, no approver got a mail.

    Build:     production-20250717-143052-a1b2c3d4
    Commit:    a1b2c3d4e5f60718293a4b5c6d7e8f9012345678
    Digest:    sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1
    Size:      12.3 MB
    Pushed:    web:main, 2025-07-17 14:30 UTC
    Pushed by: unknown (not reported by CloudTrail)
    Replaces:  nothing (this would be the first pin)

    Review and decide here:
    https://approve.example.com/decide/web/production/0198184a-0100-7000-8000-000000000001?t=SECRET
    Your code: K7Q-2MD

    The link is only for you, works once, and expires on 2025-07-20 14:30 UTC. 2 of 2 approvers must approve; one rejection stops it.
    Do not forward this mail: anybody who has it can decide in your name.
    ");
}
