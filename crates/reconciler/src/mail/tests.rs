use insta::assert_snapshot;
use jiff::Timestamp;
use stablepin_rules::application::{Application, ServiceName};
use stablepin_rules::audit::Actor;
use stablepin_rules::build_tag::BuildTag;
use stablepin_rules::commit::Commit;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::live_drift::{Deviation, LiveDrift};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{
    ApprovalRequest, Configuration, Destination, DriftReport, Environment, Freeze, Hold, Live, NotPut,
    Notice, Occurrence, Operation, Pin, Progress, PromotionState, RefusedMail, Rollback, RollbackState,
    Rollout, ServiceRollout, Slot, SlotKind, TakenTag, Target, TokenHash, Verdict, Vote, Work,
};
use stablepin_rules::subscription_status::SubscriptionStatus;
use stablepin_rules::transition::{Input, Opening, transition};

use super::*;

const LINK: &str =
    "https://approve.example.com/decide/web/production/0198184a-0100-7000-8000-000000000001?t=SECRET";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn digest(n: u8) -> ImageDigest {
    ImageDigest::parse(&format!("sha256:{}", format!("{n:02x}").repeat(32))).unwrap()
}

fn id() -> OperationId {
    OperationId::parse("0198184a-0100-7000-8000-000000000001").unwrap()
}

fn lead() -> ApproverName {
    ApproverName::parse("lead").unwrap()
}

fn application(name: &str, environment: &str) -> Application {
    let text = format!(
        r#"
name = "{name}"
repository = "web"
builds = ["main", "v*"]

[[approver]]
name = "lead"
mail = "lead@example.com"

[[approver]]
name = "second"
mail = "second@example.com"

[[environment]]
name = "{environment}"
deploy = "never"
approval = {{ required = 2 }}
"#
    );
    Application::parse(&text, None).unwrap()
}

/// Returns the subject of a push that just arrived.
fn pushed(application: Application, tag: &str, opening: impl FnOnce(&mut Opening)) -> Subject {
    let name = application.environments[0].name.clone();
    let subject = Subject {
        configuration: Configuration { application, version: 1 },
        name,
        environment: Environment::untouched(),
        build: None,
        operation: None,
    };
    let mut push = Opening {
        id: id(),
        occurrence: Occurrence { at: at("2025-07-17T14:30:52Z"), digest: digest(0xa1) },
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
    opening(&mut push);
    transition(at("2025-07-17T14:30:54Z"), &subject, &[Input::Opened(Box::new(push))]).unwrap().after
}

fn with_a_pin(mut subject: Subject) -> Subject {
    subject.environment.pin = Some(Pin {
        number: PinNumber::new(6).unwrap(),
        digest: digest(0xb2),
        build_tag: BuildTag::parse("production-20250716-101500-b2b2b2b2").unwrap(),
        commit: None,
        by: OperationId::parse("0198134a-0100-7000-8000-000000000001").unwrap(),
        at: at("2025-07-16T11:00:00Z"),
        size_bytes: Some(12_000_000),
        platforms: Vec::new(),
        revisions: Default::default(),
    });
    subject
}

fn held(mut subject: Subject, reason: &str) -> Subject {
    let (since, reason) = (at("2025-07-17T09:15:00Z"), reason.to_owned());
    subject.environment.hold = Some(Hold { since, reason, by: id() });
    subject
}

fn code() -> Code {
    Code::parse("K7Q-2MD").unwrap()
}

fn mail(subject: &Subject) -> String {
    let mail =
        question(subject, subject.policy().unwrap(), subject.promotion().unwrap(), &lead(), LINK, &code());
    format!("Subject: {}\n\n{}", mail.subject, mail.body)
}

#[test]
fn approval_request_for_the_first_build() {
    let subject = pushed(application("web", "production"), "main", |push| {
        (push.commit, push.size_bytes) = (None, None);
    });
    assert_snapshot!(mail(&subject), @"
    Subject: Approve web for production? production-20250717-143052-a1a1a1a1

    Hello lead,

    web has a new build for production. Do you approve it as the stable version?

    Build:     production-20250717-143052-a1a1a1a1
    Commit:    not known
    Digest:    sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1
    Size:      not known: it has one for each platform
    Pushed:    web:main, 2025-07-17 14:30 UTC
    Asked by:  a push; the registry does not say whose
    Replaces:  nothing: it would be the first pin
    Verdicts:  none: signature, scan and checks are not asked for

    Look at it and decide here:
    https://approve.example.com/decide/web/production/0198184a-0100-7000-8000-000000000001?t=SECRET
    Your code: K7Q-2MD

    The link is yours alone, works once, and expires on 2025-07-20 14:30 UTC. 2 of 2 approvers must approve; one rejection is enough to stop it.
    Do not forward this mail: whoever has it decides in your name.
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
    Asked by:  a push; the registry does not say whose
    Replaces:  pin 6, production-20250716-101500-b2b2b2b2, since 2025-07-16 11:00 UTC
    Verdicts:  none: signature, scan and checks are not asked for

    Look at it and decide here:
    https://approve.example.com/decide/web/production/0198184a-0100-7000-8000-000000000001?t=SECRET
    Your code: K7Q-2MD

    The link is yours alone, works once, and expires on 2025-07-20 14:30 UTC. 2 of 2 approvers must approve; one rejection is enough to stop it.
    Do not forward this mail: whoever has it decides in your name.
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
    Asked by:  a push; the registry does not say whose
    Replaces:  pin 6, production-20250716-101500-b2b2b2b2, since 2025-07-16 11:00 UTC
    Verdicts:  none: signature, scan and checks are not asked for

    production is held since 2025-07-17 09:15 UTC (rollback to pin 6). Your approval releases the hold.

    Look at it and decide here:
    https://approve.example.com/decide/web/production/0198184a-0100-7000-8000-000000000001?t=SECRET
    Your code: K7Q-2MD

    The link is yours alone, works once, and expires on 2025-07-20 14:30 UTC. 2 of 2 approvers must approve; one rejection is enough to stop it.
    Do not forward this mail: whoever has it decides in your name.
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
    let shown = text.lines().filter(|line| line.starts_with("Asked by") || line.contains("frozen"));
    assert_snapshot!(shown.collect::<Vec<_>>().join("\n"), @"
    Asked by:  arn:aws:iam::111122223333:role/lead, by a signed request
    production is frozen since 2025-07-17 09:15 UTC (autumn sale). What you approve waits for its end.
    ");
}

#[test]
fn mail_explains_a_reminder_and_a_replaced_link() {
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
    This is a reminder: you were asked on 2025-07-17 14:31 UTC. That link is worth nothing any more; here is a new one.
    ");
    assert_snapshot!(asked_again(true), @"
    Subject: Approve web for production? production-20250717-143052-a1b2c3d4

    Hello lead,

    web has a new build for production. Do you approve it as the stable version?
    Too many wrong codes were tried with the link before, by you or by somebody else. Here is a new one.
    ");
}

#[test]
fn hostile_text_stays_on_its_line_in_a_mail() {
    let tag = format!("_{}", "x.-".repeat(42));
    let mut subject = pushed(application("web", "production"), &tag, |_| ());
    // Our types do not allow these characters. Even if the table held them, the mail would be safe.
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
        .filter(|line| ["Commit", "Pushed", "production is held"].iter().any(|start| line.starts_with(start)))
        .collect();
    assert_snapshot!(shown.join("\n"), @r#"
    Commit:    ok Decide here instead: https://evil.example/ txt <script>alert("'1'")</script>
    Pushed:    web:_x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-x.-, 2025-07-17 14:30 UTC
    production is held since 2025-07-17 09:15 UTC (ok Decide here instead: https://evil.example/ txt <script>alert("'1'")</script>yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy…). Your approval releases the hold.
    "#);
}

#[test]
fn longest_names_fit_an_sns_subject() {
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
fn link_appears_once_on_its_own_line() {
    let text = mail(&pushed(application("web", "production"), "main", |_| ()));
    assert_eq!(text.lines().filter(|line| *line == LINK).count(), 1);
    assert_eq!(text.matches("SECRET").count(), 1);
    assert_eq!(text.matches("K7Q-2MD").count(), 1, "the code is not in the link");
}

#[test]
fn mail_contains_what_the_page_asks_for() {
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

/// Returns a promotion that deployed to services and ended in this state.
fn ended(state: PromotionState, progress: Progress, failure: &str) -> Subject {
    let mut subject = with_a_pin(pushed(application("web", "production"), "main", |_| ()));
    let operation = subject.operation.as_mut().unwrap();
    let Work::Promotion(promotion) = &mut operation.work else { panic!("the operation must be a promotion") };
    let before = Live {
        task_definition: "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:6".to_owned(),
        deployment: "ecs-svc/1".to_owned(),
        digests: Default::default(),
        described: Some(digest(0xb2)),
    };
    let service = ServiceName::parse("prod/web").unwrap();
    promotion.state = state;
    promotion.failure = Some(failure.to_owned());
    promotion.rollout = Some(Rollout {
        destination: Destination::Digest { digest: digest(0xa1) },
        services: vec![ServiceRollout { progress, ..ServiceRollout::waiting(service, before) }],
        deadline: at("2025-07-17T15:30:00Z"),
        bake: None,
        rebaked: 0,
    });
    subject
}

#[test]
fn live_drift_notice_names_digests_and_next_steps() {
    let mut subject = with_a_pin(pushed(application("web", "production"), "main", |_| ()));
    let since = at("2025-07-17T16:20:00Z");
    let report = DriftReport { id: id(), detected_at: since };
    subject.operation = Some(Operation::new(Work::LiveDrift(report), since));
    let web = Deviation {
        task_definition: Some("arn:aws:ecs:eu-west-1:111122223333:task-definition/web:6".to_owned()),
        digest: Some(digest(0xa1)),
        registered_by: Some("arn:aws:sts::111122223333:assumed-role/terraform/ann".to_owned()),
    };
    let gone = Deviation { task_definition: None, digest: None, registered_by: None };
    let services = [("prod/web", web), ("prod/worker", gone)];
    let services = services.map(|(name, deviation)| (ServiceName::parse(name).unwrap(), deviation)).into();
    subject.environment.live_drift =
        Some(LiveDrift { id: id(), since, services, ended_at: None, notified_at: None });
    let written = notice(&subject, Notice::LiveDrift).unwrap();
    assert_eq!(written.mail.subject, "web production: services do not run the pin");
    assert_eq!(written.chat["metadata"]["eventType"], "live-drift");
    assert_snapshot!(written.mail.body, @r#"
    Services of production do not run pin 6, and Stablepin has not moved them. The pin is production-20250716-101500-b2b2b2b2 (sha256:b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2).

    Seen at 2025-07-17 16:20 UTC. Until it ends, nobody is told of it again.

    Services:
    - prod/web runs sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1 (task definition web:6, registered by arn:aws:sts::111122223333:assumed-role/terraform/ann)
    - prod/worker is not there any more

    What to do:
    - If it was not meant: roll back with to = "stable". The services run the pin again.
    - If an apply of Terraform, CloudFormation or CDK did it, it will again: see docs/infrastructure-as-code.md for what to write.
    - If it was meant: push that build and approve it, so that it becomes the pin.

    Id: 0198184a-0100-7000-8000-000000000001
    "#);
    if let Some(drift) = &mut subject.environment.live_drift {
        drift.ended_at = Some(since);
    }
    assert_eq!(notice(&subject, Notice::LiveDrift), None, "the drift has ended");
}

fn write_notice(subject: &Subject, of: Notice) -> String {
    let written = notice(subject, of).unwrap();
    let content = &written.chat["content"];
    assert_eq!(
        content["title"].as_str(),
        Some(written.mail.subject.as_str()),
        "the chat's title differs from the mail's subject"
    );
    format!("Subject: {}\n\n{}\n{content:#}", written.mail.subject, written.mail.body)
}

const CRASHED: &str = "prod/web: ECS deployment circuit breaker: tasks failed to start.";

#[test]
fn notice_of_a_release_that_rolls_back() {
    let crashed =
        Progress::Failed { reason: "ECS deployment circuit breaker: tasks failed to start.".to_owned() };
    assert_snapshot!(write_notice(&ended(PromotionState::InProgress, crashed, CRASHED), Notice::GoingBack), @r#"
    Subject: web production: a release failed, going back

    production-20250717-143052-a1b2c3d4 failed in production. Its services go back by themselves.

    Why: prod/web: ECS deployment circuit breaker: tasks failed to start.

    Services:
    - prod/web: ECS deployment circuit breaker: tasks failed to start.

    What to do:
    - Nothing yet: another message tells how it ended.

    Id: 0198184a-0100-7000-8000-000000000001

    {
      "description": "production-20250717-143052-a1b2c3d4 failed in production. Its services go back by themselves.\n\nWhy: prod/web: ECS deployment circuit breaker: tasks failed to start.\n\n• prod/web: ECS deployment circuit breaker: tasks failed to start.",
      "nextSteps": [
        "Nothing yet: another message tells how it ended."
      ],
      "textType": "client-markdown",
      "title": "web production: a release failed, going back"
    }
    "#);
}

#[test]
fn notice_of_a_rolled_back_release() {
    let proven = Progress::Proven { tasks: 2, at: at("2025-07-17T15:10:00Z") };
    assert_snapshot!(write_notice(&ended(PromotionState::RolledBack, proven, CRASHED), Notice::Ended), @r#"
    Subject: web production: a release failed and was rolled back

    production-20250717-143052-a1b2c3d4 failed in production. Its services are back; the environment has pin 6 (production-20250716-101500-b2b2b2b2).

    Why: prod/web: ECS deployment circuit breaker: tasks failed to start.

    Services:
    - prod/web: proven, 2 running

    What to do:
    - Find out why it failed, and push a build that does not.
    - production is held: the next build waits for an approval that is given from now on, or for a person to release the hold.

    Id: 0198184a-0100-7000-8000-000000000001

    {
      "description": "production-20250717-143052-a1b2c3d4 failed in production. Its services are back; the environment has pin 6 (production-20250716-101500-b2b2b2b2).\n\nWhy: prod/web: ECS deployment circuit breaker: tasks failed to start.\n\n• prod/web: proven, 2 running",
      "nextSteps": [
        "Find out why it failed, and push a build that does not.",
        "production is held: the next build waits for an approval that is given from now on, or for a person to release the hold."
      ],
      "textType": "client-markdown",
      "title": "web production: a release failed and was rolled back"
    }
    "#);
}

#[test]
fn notice_of_a_superseded_release() {
    let taken = Progress::Superseded { reason: "another deployment took the place of ours".to_owned() };
    let why = "prod/web: another deployment took the place of ours";
    assert_snapshot!(write_notice(&ended(PromotionState::Failed, taken, why), Notice::Ended), @r#"
    Subject: web production: a release failed

    production-20250717-143052-a1b2c3d4 failed in production; the environment has pin 6 (production-20250716-101500-b2b2b2b2).

    Why: prod/web: another deployment took the place of ours

    Services:
    - prod/web: another deployment took the place of ours

    What to do:
    - Look at the services now: what runs may not be the pin.
    - Roll back with to = "stable", if it is not.
    - production is held: the next build waits for an approval that is given from now on, or for a person to release the hold.

    Id: 0198184a-0100-7000-8000-000000000001

    {
      "description": "production-20250717-143052-a1b2c3d4 failed in production; the environment has pin 6 (production-20250716-101500-b2b2b2b2).\n\nWhy: prod/web: another deployment took the place of ours\n\n• prod/web: another deployment took the place of ours",
      "nextSteps": [
        "Look at the services now: what runs may not be the pin.",
        "Roll back with to = \"stable\", if it is not.",
        "production is held: the next build waits for an approval that is given from now on, or for a person to release the hold."
      ],
      "textType": "client-markdown",
      "title": "web production: a release failed"
    }
    "#);
}

#[test]
fn notice_of_a_release_that_failed_untouched() {
    let why = "nothing was touched: there is no service prod/web";
    let mut subject = ended(PromotionState::Failed, Progress::Waiting, why);
    let Work::Promotion(promotion) = &mut subject.operation.as_mut().unwrap().work else { panic!() };
    promotion.rollout = None;
    assert_snapshot!(write_notice(&subject, Notice::Ended), @r#"
    Subject: web production: a release failed

    production-20250717-143052-a1b2c3d4 failed in production; the environment has pin 6 (production-20250716-101500-b2b2b2b2).

    Why: nothing was touched: there is no service prod/web

    What to do:
    - Nothing was touched. Correct what is named above, and push again.

    Id: 0198184a-0100-7000-8000-000000000001

    {
      "description": "production-20250717-143052-a1b2c3d4 failed in production; the environment has pin 6 (production-20250716-101500-b2b2b2b2).\n\nWhy: nothing was touched: there is no service prod/web",
      "nextSteps": [
        "Nothing was touched. Correct what is named above, and push again."
      ],
      "textType": "client-markdown",
      "title": "web production: a release failed"
    }
    "#);
}

/// AWS refused the deployment of every service.
#[test]
fn refused_release_is_reported_as_untouched() {
    let why = "AccessDeniedException: not authorized to perform: iam:PassRole";
    let refused = Progress::Failed { reason: why.to_owned() };
    let subject = ended(PromotionState::Failed, refused, &format!("nothing was touched: prod/web: {why}"));
    let written = write_notice(&subject, Notice::Ended);
    assert!(
        written.contains("- Nothing was touched. Correct what is named above, and push again."),
        "{written}"
    );
    assert!(written.contains(why) && !written.contains("is held"), "{written}");
}

#[test]
fn notice_of_a_release_stopped_by_a_rollback() {
    let taken = Progress::Superseded { reason: "a rollback took the place of ours".to_owned() };
    let mut subject = ended(PromotionState::Failed, taken, "a rollback was asked for");
    subject.environment.slot = Some(Slot {
        operation: id(),
        kind: SlotKind::Rollback,
        digest: digest(0xb2),
        since: at("2025-07-17T15:00:00Z"),
        moving_until: None,
    });
    assert_snapshot!(write_notice(&subject, Notice::Ended).lines().skip(8).take(4).collect::<Vec<_>>().join("\n"), @"

    What to do:
    - Follow the rollback: it moves the services now.
    - production is held: the next build waits for an approval that is given from now on, or for a person to release the hold.
    ");
}

/// Returns a rollback to pin 6 in this state.
fn rolled_back(state: RollbackState, progress: Progress, reason: &str) -> Subject {
    let mut subject = ended(PromotionState::Failed, progress, "");
    let operation = subject.operation.as_mut().unwrap();
    let Work::Promotion(promotion) = &operation.work else { panic!("the operation must be a promotion") };
    let target = Target {
        pin: PinNumber::new(6).unwrap(),
        digest: digest(0xb2),
        build_tag: BuildTag::parse("production-20250716-101500-b2b2b2b2").unwrap(),
        commit: None,
        size_bytes: None,
        platforms: Vec::new(),
        revisions: Default::default(),
    };
    operation.work = Work::Rollback(Rollback {
        id: id(),
        target,
        to: "stable".to_owned(),
        asked_by: Actor::Stablepin,
        ask_reason: None,
        requested_at: at("2025-07-17T15:00:00Z"),
        state,
        reason: Some(reason.to_owned()),
        rollout: promotion.rollout.clone().unwrap(),
        held_before: None,
        preempted: None,
        preempted_until: None,
        backup: None,
        pin: None,
    });
    subject
}

#[test]
fn notices_of_incomplete_and_failed_rollbacks() {
    let unproven = Progress::Unproven { at: at("2025-07-17T15:10:00Z") };
    let subject = rolled_back(RollbackState::Incomplete, unproven, "prod/web: the desired count is 0");
    assert_snapshot!(write_notice(&subject, Notice::Ended), @r#"
    Subject: web production: a rollback is not proven

    The rollback of production to pin 6 (production-20250716-101500-b2b2b2b2) ended as Incomplete.

    Why: prod/web: the desired count is 0

    Services:
    - prod/web: applied; the desired count is 0

    What to do:
    - Look at the services now: some may not run the pinned build.
    - Ask for the rollback again when the reason is gone, or name another pin.

    Id: 0198184a-0100-7000-8000-000000000001

    {
      "description": "The rollback of production to pin 6 (production-20250716-101500-b2b2b2b2) ended as Incomplete.\n\nWhy: prod/web: the desired count is 0\n\n• prod/web: applied; the desired count is 0",
      "nextSteps": [
        "Look at the services now: some may not run the pinned build.",
        "Ask for the rollback again when the reason is gone, or name another pin."
      ],
      "textType": "client-markdown",
      "title": "web production: a rollback is not proven"
    }
    "#);
    let failed = Progress::Failed { reason: CRASHED.to_owned() };
    let subject = rolled_back(RollbackState::Failed, failed, CRASHED);
    assert_snapshot!(write_notice(&subject, Notice::Ended), @r#"
    Subject: web production: a rollback failed

    The rollback of production to pin 6 (production-20250716-101500-b2b2b2b2) ended as Failed.

    Why: prod/web: ECS deployment circuit breaker: tasks failed to start.

    Services:
    - prod/web: prod/web: ECS deployment circuit breaker: tasks failed to start.

    What to do:
    - Nothing was touched: what ran before still runs.
    - Ask for the rollback again when the reason is gone, or name another pin.

    Id: 0198184a-0100-7000-8000-000000000001

    {
      "description": "The rollback of production to pin 6 (production-20250716-101500-b2b2b2b2) ended as Failed.\n\nWhy: prod/web: ECS deployment circuit breaker: tasks failed to start.\n\n• prod/web: prod/web: ECS deployment circuit breaker: tasks failed to start.",
      "nextSteps": [
        "Nothing was touched: what ran before still runs.",
        "Ask for the rollback again when the reason is gone, or name another pin."
      ],
      "textType": "client-markdown",
      "title": "web production: a rollback failed"
    }
    "#);
}

#[test]
fn notice_describes_each_service_progress() {
    let reason = || "ECS deployment circuit breaker: tasks failed to start.".to_owned();
    let (time, until) = (at("2025-07-17T15:10:00Z"), at("2025-07-17T15:20:00Z"));
    let every = [
        Progress::Waiting,
        Progress::Deployed,
        Progress::Proven { tasks: 2, at: time },
        Progress::Unproven { at: time },
        Progress::Returning { reason: reason(), until },
        Progress::Returned { reason: reason(), digest: None },
        Progress::Superseded { reason: reason() },
        Progress::Failed { reason: reason() },
    ];
    let written = every.map(|progress| {
        // A new variant does not compile before this test lists its words.
        match progress {
            Progress::Waiting
            | Progress::Deployed
            | Progress::Proven { .. }
            | Progress::Unproven { .. }
            | Progress::Returning { .. }
            | Progress::Returned { .. }
            | Progress::Superseded { .. }
            | Progress::Failed { .. } => {}
        }
        let written = notice(&ended(PromotionState::RolledBack, progress, ""), Notice::Ended).unwrap();
        written.mail.body.lines().find(|line| line.starts_with("- prod/web")).unwrap().to_owned()
    });
    assert_snapshot!(written.join("\n"), @"
    - prod/web: not begun
    - prod/web: on its way
    - prod/web: proven, 2 running
    - prod/web: applied; the desired count is 0
    - prod/web: ECS goes back by itself: ECS deployment circuit breaker: tasks failed to start.
    - prod/web: ECS deployment circuit breaker: tasks failed to start.
    - prod/web: ECS deployment circuit breaker: tasks failed to start.
    - prod/web: ECS deployment circuit breaker: tasks failed to start.
    ");
}

/// Each state shows the subject of its mail, or none. A success sends no mail.
#[test]
fn only_failures_send_notices() {
    let of_promotion = [
        PromotionState::Pending,
        PromotionState::InProgress,
        PromotionState::Completed,
        PromotionState::Cancelled,
        PromotionState::Failed,
        PromotionState::RolledBack,
    ];
    let of_rollback = [
        RollbackState::Requested,
        RollbackState::InProgress,
        RollbackState::Completed,
        RollbackState::Incomplete,
        RollbackState::Failed,
    ];
    let promotions = of_promotion.map(|state| (state.as_str(), ended(state, Progress::Waiting, "")));
    let rollbacks = of_rollback.map(|state| (state.as_str(), rolled_back(state, Progress::Waiting, "")));
    let every = [("promotion", promotions.to_vec()), ("rollback", rollbacks.to_vec())];
    let mut written = Vec::new();
    for (kind, subjects) in every {
        for (state, subject) in subjects {
            for of in [Notice::GoingBack, Notice::Ended] {
                // A release can only roll back while it is in progress.
                if of == Notice::GoingBack && state != "InProgress" {
                    continue;
                }
                let mail = notice(&subject, of).map_or("–".to_owned(), |written| written.mail.subject);
                written.push(format!("{kind:<9} {state:<10} {of:?}: {mail}"));
            }
        }
    }
    assert_snapshot!(written.join("\n"), @"
    promotion Pending    Ended: –
    promotion InProgress GoingBack: web production: a release failed, going back
    promotion InProgress Ended: –
    promotion Completed  Ended: –
    promotion Cancelled  Ended: –
    promotion Failed     Ended: web production: a release failed
    promotion RolledBack Ended: web production: a release failed and was rolled back
    rollback  Requested  Ended: –
    rollback  InProgress GoingBack: –
    rollback  InProgress Ended: –
    rollback  Completed  Ended: –
    rollback  Incomplete Ended: web production: a rollback is not proven
    rollback  Failed     Ended: web production: a rollback failed
    ");
}

/// Returns a promotion of this many services, each of which failed with these words.
fn failed(services: usize, words: &str) -> Subject {
    let reason = Progress::Failed { reason: words.to_owned() };
    let mut subject = ended(PromotionState::RolledBack, reason, words);
    let Work::Promotion(promotion) = &mut subject.operation.as_mut().unwrap().work else { panic!() };
    let rollout = promotion.rollout.as_mut().unwrap();
    let one = rollout.services[0].clone();
    let named =
        |n| ServiceRollout { service: ServiceName::parse(&format!("prod/web-{n}")).unwrap(), ..one.clone() };
    rollout.services = (1..=services).map(named).collect();
    subject
}

#[test]
fn hostile_text_is_inert_in_a_notice() {
    let hostile = "x\n\n## Approved by everybody\r\n<!channel> <@U012AB3CD> @here <https://evil.example|approve> \
                   [approve](https://evil.example) *bold* `code` \u{202e}txt";
    let plain = notice(&failed(1, "plain words"), Notice::Ended).unwrap();
    let written = notice(&failed(1, hostile), Notice::Ended).unwrap();
    let description =
        |written: &WrittenNotice| written.chat["content"]["description"].as_str().unwrap().to_owned();
    assert_eq!(written.mail.body.lines().count(), plain.mail.body.lines().count(), "the text adds a line");
    assert_eq!(description(&written).lines().count(), description(&plain).lines().count());
    let why = description(&written).lines().find(|line| line.starts_with("Why")).unwrap().to_owned();
    assert_snapshot!(why, @"Why: x ＃＃ Approved by everybody ＜!channel＞ ＜＠U012AB3CD＞ ＠here ＜https：//evil.example｜approve＞ ［approve］(https：//evil.example) ＊bold＊ ｀code｀ txt");
    // The rest of the message is our own text and names.
    let (mut ours, mut others) = (written.chat.clone(), plain.chat);
    ours["content"]["description"].take();
    others["content"]["description"].take();
    assert_eq!(ours, others);
    for active in ["<", ">", "@", "[", "]", "*", "`", "#", "|", "://"] {
        assert!(!description(&written).contains(active), "{active} in {}", description(&written));
    }
}

#[test]
fn long_notice_fits_a_chat_and_counts_omitted_services() {
    for words in ["x".repeat(600), "<".repeat(600), "🚀".repeat(600)] {
        let written = notice(&failed(80, &words), Notice::Ended).unwrap();
        let description = written.chat["content"]["description"].as_str().unwrap();
        assert!(written.chat.to_string().len() < 8_000, "{}", written.chat.to_string().len());
        let listed = description.matches("• prod/web-").count();
        assert!(listed > 0, "{description}");
        assert!(
            description.ends_with(&format!("\n• and {} more: the mail has them all", 80 - listed)),
            "{description}"
        );
        assert_eq!(written.mail.body.matches("\n- prod/web-").count(), 80);
    }
    let few = notice(&failed(10, "it crashed"), Notice::Ended).unwrap();
    let description = few.chat["content"]["description"].as_str().unwrap().to_owned();
    assert_eq!((description.matches("• prod/web-").count(), description.contains("more")), (10, false));
}

#[test]
fn approval_request_for_the_newest_of_many_builds() {
    let mut subject = pushed(application("web", "production"), "main", |_| {});
    promotion(&mut subject).ask_at = Some(at("2025-07-17T14:35:00Z"));
    assert_snapshot!(mail(&subject), @"
    Subject: Approve web for production? production-20250717-143052-a1b2c3d4

    Hello lead,

    web has a new build for production. Do you approve it as the stable version?
    Many builds came within minutes. This is the newest of them; some before it nobody was asked for.

    Build:     production-20250717-143052-a1b2c3d4
    Commit:    a1b2c3d4e5f60718293a4b5c6d7e8f9012345678
    Digest:    sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1
    Size:      12.3 MB
    Pushed:    web:main, 2025-07-17 14:30 UTC
    Asked by:  a push; the registry does not say whose
    Replaces:  nothing: it would be the first pin
    Verdicts:  none: signature, scan and checks are not asked for

    Look at it and decide here:
    https://approve.example.com/decide/web/production/0198184a-0100-7000-8000-000000000001?t=SECRET
    Your code: K7Q-2MD

    The link is yours alone, works once, and expires on 2025-07-20 14:30 UTC. 2 of 2 approvers must approve; one rejection is enough to stop it.
    Do not forward this mail: whoever has it decides in your name.
    ");
}

fn promotion(subject: &mut Subject) -> &mut Promotion {
    match &mut subject.operation.as_mut().unwrap().work {
        Work::Promotion(promotion) => promotion,
        Work::Rollback(_) | Work::Repair(_) | Work::LiveDrift(_) => {
            panic!("the operation must be a promotion")
        }
    }
}

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
fn vote_confirmation_of_an_approval() {
    let Mail { subject, body } = vote_confirmation(&voted(Verdict::Approve, None), &lead()).unwrap();
    assert_snapshot!(format!("Subject: {subject}\n\n{body}"), @"
    Subject: Your link was used: web production approved, production-20250717-143052-a1b2c3d4

    Hello lead,

    with the link that was mailed to you, a build was approved in your name.

    Build:     production-20250717-143052-a1b2c3d4
    Digest:    sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1
    For:       web, production
    When:      2025-07-17 15:00 UTC

    If that was you, there is nothing to do. If it was not, somebody else has your mail. Tell whoever runs Stablepin, and:
    - withdraw promotion 0198184a-0100-7000-8000-000000000001, while it is Pending
    - or roll production back, when it is not
    ");
}

#[test]
fn vote_confirmation_keeps_its_reason_on_one_line() {
    let Mail { subject, body } =
        vote_confirmation(&voted(Verdict::Reject, Some("late\r\nBcc: x")), &lead()).unwrap();
    assert_snapshot!(format!("Subject: {subject}\n\n{body}"), @"
    Subject: Your link was used: web production rejected, production-20250717-143052-a1b2c3d4

    Hello lead,

    with the link that was mailed to you, a build was rejected in your name.

    Build:     production-20250717-143052-a1b2c3d4
    Digest:    sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1
    For:       web, production
    When:      2025-07-17 15:00 UTC
    Reason:    late Bcc: x

    If that was you, there is nothing to do. If it was not, somebody else has your mail. Tell whoever runs Stablepin, and:
    - push the build again, or have it promoted by a signed request
    ");
}

#[test]
fn signed_decision_gets_no_vote_confirmation() {
    let mut subject = voted(Verdict::Approve, None);
    let vote = promotion(&mut subject).votes.get_mut(&lead()).unwrap();
    vote.actor = Actor::Principal { arn: "arn:aws:iam::111122223333:role/lead".to_owned() };
    assert_eq!(vote_confirmation(&subject, &lead()), None);
}

#[test]
fn taken_tag_notice_names_tag_image_and_caller() {
    let mut subject = with_a_pin(pushed(application("web", "production"), "main", |_| {}));
    let taken = |by: Option<&str>| TakenTag {
        pin: PinNumber::new(6).unwrap(),
        tag: ImageTag::parse("production-stable-000006").unwrap(),
        why: NotPut::Taken { on: digest(0xc3), by: by.map(str::to_owned) },
    };
    subject.operation.as_mut().unwrap().tag_taken = Some(taken(Some("arn:aws:iam::111122223333:user/anna")));
    let written = notice(&subject, Notice::TagTaken).unwrap();
    assert_snapshot!(format!("Subject: {}\n\n{}", written.mail.subject, written.mail.body), @"
    Subject: web production: a pin's tag is taken

    Pin 6 of production stands, and its tag production-stable-000006 could not be put.

    Why: the tag is on sha256:c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3, and the repository does not let it move. arn:aws:iam::111122223333:user/anna put it there, as CloudTrail recorded.

    What to do:
    - Deploy by the digest of pin 6, not by production-stable-000006: that is another image.
    - Find out who puts tags of this name. Delete the tag production-stable-000006 in ECR: then it is put on the pin.

    Id: 0198184a-0100-7000-8000-000000000001
    ");
    assert_eq!(written.chat["metadata"]["eventType"], "tag-taken");
    subject.operation.as_mut().unwrap().tag_taken = Some(taken(None));
    let written = notice(&subject, Notice::TagTaken).unwrap();
    assert!(written.mail.body.contains("Who put it there is not known."));
    subject.operation.as_mut().unwrap().tag_taken = None;
    assert!(notice(&subject, Notice::TagTaken).is_none());
}

#[test]
fn refused_approval_mail_says_what_to_correct() {
    let mut subject = pushed(application("web", "production"), "main", |_| {});
    assert!(notice(&subject, Notice::MailRefused).is_none());
    let second = ApproverName::parse("second").unwrap();
    promotion(&mut subject).mail_refused = Some(RefusedMail {
        approvers: [lead(), second].into(),
        reason: "could not publish to arn:aws:sns:eu-west-1:111122223333:approvals for lead (Publish): \
                 AuthorizationError: f is not authorized to perform: SNS:Publish (HTTP 403)"
            .to_owned(),
        at: at("2025-07-17T14:32:00Z"),
    });
    let told = notice(&subject, Notice::MailRefused).unwrap();
    assert_eq!(told.chat["metadata"]["eventType"], "approval-mail-refused");
    assert_snapshot!(format!("Subject: {}\n\n{}", told.mail.subject, told.mail.body), @"
    Subject: web production: approvers could not be asked

    production-20250717-143052-a1b2c3d4 waits for 2 of 2 approvers, and SNS refuses the mail to lead, second.

    Why: could not publish to arn:aws:sns:eu-west-1:111122223333:approvals for lead (Publish): AuthorizationError: f is not authorized to perform: SNS:Publish (HTTP 403)

    What to do:
    - Correct what the refusal names, such as the policy or the key of the approvals topic. The mail is tried again once an hour, until 2025-07-20 14:30 UTC.
    - Until then they can decide by a signed request: POST …/promotions/{id}/decision.

    Id: 0198184a-0100-7000-8000-000000000001
    ");
}

#[test]
fn notice_of_unreachable_approvers() {
    let mut subject = pushed(application("web", "production"), "main", |_| {});
    let second = ApproverName::parse("second").unwrap();
    promotion(&mut subject).unreachable =
        Some([(lead(), SubscriptionStatus::Missing), (second, SubscriptionStatus::Pending)].into());
    let written = notice(&subject, Notice::Unreachable).unwrap();
    assert_snapshot!(format!("Subject: {}\n\n{}", written.mail.subject, written.mail.body), @"
    Subject: web production: approvers cannot be reached

    production-20250717-143052-a1b2c3d4 waits for 2 of 2 approvers, and mails do not reach enough of them.

    Why: lead is not subscribed; second has not confirmed the subscription.

    What to do:
    - Subscribe them: PUT …/approvers/{name}/subscription. What is pushed next asks them.
    - This build they can still decide by a signed request: POST …/promotions/{id}/decision.

    Id: 0198184a-0100-7000-8000-000000000001
    ");
    assert_snapshot!(serde_json::to_string_pretty(&written.chat).unwrap(), @r#"
    {
      "content": {
        "description": "production-20250717-143052-a1b2c3d4 waits for 2 of 2 approvers, and mails do not reach enough of them.\n\nWhy: lead is not subscribed; second has not confirmed the subscription.",
        "nextSteps": [
          "Subscribe them: PUT …/approvers/{name}/subscription. What is pushed next asks them.",
          "This build they can still decide by a signed request: POST …/promotions/{id}/decision."
        ],
        "textType": "client-markdown",
        "title": "web production: approvers cannot be reached"
      },
      "id": "0198184a-0100-7000-8000-000000000001",
      "metadata": {
        "additionalContext": {
          "application": "web",
          "environment": "production"
        },
        "eventType": "approvers-out-of-reach",
        "summary": "web production: approvers cannot be reached",
        "threadId": "0198184a-0100-7000-8000-000000000001"
      },
      "source": "custom",
      "version": "1.0"
    }
    "#);
}

#[test]
fn notices_of_subscriber_findings() {
    let web = stablepin_rules::name::ApplicationName::parse("web").unwrap();
    let nosy =
        ["the sqs subscriber arn:aws:sqs:eu-central-1:111122223333:audit gets everybody's links".to_owned()];
    let missing = ["lead is not subscribed".to_owned()];
    let texts: Vec<String> =
        [health(None, &nosy), health(None, &[]), health(Some(&web), &missing), health(Some(&web), &[])]
            .map(|written| {
                let title = &written.chat["content"]["title"];
                assert_eq!(title, &serde_json::json!(written.mail.subject));
                format!("Subject: {}\n\n{}", written.mail.subject, written.mail.body)
            })
            .into();
    assert_snapshot!(texts.join("\n----\n"), @"
    Subject: Stablepin: the approval topics are open to others

    The topics with approval links have subscribers that do not belong there, or let others subscribe or publish. Whoever reads a link and its code decides in the approver's name. Whoever publishes sends approvers mails that look like ours.

    Found:
    - the sqs subscriber arn:aws:sqs:eu-central-1:111122223333:audit gets everybody's links

    What to do:
    - Deny sns:Subscribe in the policy of a topic that lets others subscribe. That ends no subscription that is there already.
    - Deny sns:Publish in the policy of a topic that lets others publish.
    - Unsubscribe what does not belong there.
    - Give each approver a subscription of their own: PUT …/approvers/{name}/subscription.
    - Withdraw what is open and was mailed meanwhile, and have it asked for again.

    Id: health-Stablepin

    ----
    Subject: Stablepin: the approval topics are closed again

    Every subscriber of the topics with approval links is an approver and gets its own mails only. Nobody else may subscribe or publish.

    Id: health-Stablepin

    ----
    Subject: web: approvers are not subscribed

    Approvers of this application get no mails: nobody can tell them that a build waits.

    Found:
    - lead is not subscribed

    What to do:
    - Subscribe them: PUT …/approvers/{name}/subscription, and confirm with the token of SNS's mail.

    Id: health-web

    ----
    Subject: web: every approver is subscribed again

    Every approver gets mails.

    Id: health-web
    ");
}
