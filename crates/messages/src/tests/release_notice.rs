//! Tests of the notices about releases and rollbacks.

use insta::assert_snapshot;
use stablepin_rules::application::ServiceName;
use stablepin_rules::audit::Actor;
use stablepin_rules::build_tag::BuildTag;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{
    Destination, Live, Notice, Progress, PromotionState, Rollback, RollbackReason, RollbackState, Rollout,
    RolloutFailure, ServiceRollout, Slot, SlotKind, Subject, Target, Work,
};

use super::fixtures::{application, at, digest, id, pushed, with_a_pin};
use crate::{WrittenNotice, notice};

/// Returns a promotion in this state, after it deployed one service.
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
    promotion.failure = Some(RolloutFailure::Reported(failure.to_owned()));
    promotion.rollout = Some(Rollout {
        destination: Destination::Digest { digest: digest(0xa1) },
        services: vec![ServiceRollout { progress, ..ServiceRollout::waiting(service, before) }],
        deadline: at("2025-07-17T15:30:00Z"),
        bake: None,
        rebaked: 0,
    });
    subject
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

const CRASHED: &str = "prod/web: ECS deployment circuit breaker: tasks failed to start";

#[test]
fn notice_says_that_a_failed_release_is_being_rolled_back() {
    let crashed =
        Progress::Failed { reason: "ECS deployment circuit breaker: tasks failed to start".to_owned() };
    assert_snapshot!(write_notice(&ended(PromotionState::InProgress, crashed, CRASHED), Notice::GoingBack), @r#"
    Subject: web production: release failed, rolling back

    production-20250717-143052-a1b2c3d4 failed in production. Stablepin is rolling its services back.

    Why: prod/web: ECS deployment circuit breaker: tasks failed to start.

    Services:
    - prod/web: ECS deployment circuit breaker: tasks failed to start

    What to do:
    - Nothing yet. Another message will say how it ended.

    Id: 0198184a-0100-7000-8000-000000000001

    {
      "description": "production-20250717-143052-a1b2c3d4 failed in production. Stablepin is rolling its services back.\n\nWhy: prod/web: ECS deployment circuit breaker: tasks failed to start.\n\n• prod/web: ECS deployment circuit breaker: tasks failed to start",
      "nextSteps": [
        "Nothing yet. Another message will say how it ended."
      ],
      "textType": "client-markdown",
      "title": "web production: release failed, rolling back"
    }
    "#);
}

#[test]
fn notice_says_that_a_failed_release_was_rolled_back() {
    let proven = Progress::Proven { tasks: 2, at: at("2025-07-17T15:10:00Z") };
    assert_snapshot!(write_notice(&ended(PromotionState::RolledBack, proven, CRASHED), Notice::Ended), @r#"
    Subject: web production: release failed, rolled back

    production-20250717-143052-a1b2c3d4 failed in production. Its services were rolled back; the environment has pin 6 (production-20250716-101500-b2b2b2b2).

    Why: prod/web: ECS deployment circuit breaker: tasks failed to start.

    Services:
    - prod/web: proven, 2 running

    What to do:
    - Find out why it failed, and push a build that does not.
    - production is held: the next build waits for a new approval, or until a person releases the hold.

    Id: 0198184a-0100-7000-8000-000000000001

    {
      "description": "production-20250717-143052-a1b2c3d4 failed in production. Its services were rolled back; the environment has pin 6 (production-20250716-101500-b2b2b2b2).\n\nWhy: prod/web: ECS deployment circuit breaker: tasks failed to start.\n\n• prod/web: proven, 2 running",
      "nextSteps": [
        "Find out why it failed, and push a build that does not.",
        "production is held: the next build waits for a new approval, or until a person releases the hold."
      ],
      "textType": "client-markdown",
      "title": "web production: release failed, rolled back"
    }
    "#);
}

#[test]
fn notice_says_that_another_deployment_replaced_a_release() {
    let taken = Progress::Superseded { reason: "another deployment replaced ours".to_owned() };
    let why = "prod/web: another deployment replaced ours";
    assert_snapshot!(write_notice(&ended(PromotionState::Failed, taken, why), Notice::Ended), @r#"
    Subject: web production: release failed

    production-20250717-143052-a1b2c3d4 failed in production; the environment has pin 6 (production-20250716-101500-b2b2b2b2).

    Why: prod/web: another deployment replaced ours.

    Services:
    - prod/web: another deployment replaced ours

    What to do:
    - Check the services now: what runs may not be the pin.
    - Roll back with to = "stable", if it is not.
    - production is held: the next build waits for a new approval, or until a person releases the hold.

    Id: 0198184a-0100-7000-8000-000000000001

    {
      "description": "production-20250717-143052-a1b2c3d4 failed in production; the environment has pin 6 (production-20250716-101500-b2b2b2b2).\n\nWhy: prod/web: another deployment replaced ours.\n\n• prod/web: another deployment replaced ours",
      "nextSteps": [
        "Check the services now: what runs may not be the pin.",
        "Roll back with to = \"stable\", if it is not.",
        "production is held: the next build waits for a new approval, or until a person releases the hold."
      ],
      "textType": "client-markdown",
      "title": "web production: release failed"
    }
    "#);
}

#[test]
fn notice_says_that_a_failed_release_changed_nothing() {
    let why = "Stablepin changed nothing: there is no service prod/web";
    let mut subject = ended(PromotionState::Failed, Progress::Waiting, why);
    let Work::Promotion(promotion) = &mut subject.operation.as_mut().unwrap().work else { panic!() };
    promotion.rollout = None;
    assert_snapshot!(write_notice(&subject, Notice::Ended), @r#"
    Subject: web production: release failed

    production-20250717-143052-a1b2c3d4 failed in production; the environment has pin 6 (production-20250716-101500-b2b2b2b2).

    Why: Stablepin changed nothing: there is no service prod/web.

    What to do:
    - Stablepin changed nothing. Correct what is named above, and push again.

    Id: 0198184a-0100-7000-8000-000000000001

    {
      "description": "production-20250717-143052-a1b2c3d4 failed in production; the environment has pin 6 (production-20250716-101500-b2b2b2b2).\n\nWhy: Stablepin changed nothing: there is no service prod/web.",
      "nextSteps": [
        "Stablepin changed nothing. Correct what is named above, and push again."
      ],
      "textType": "client-markdown",
      "title": "web production: release failed"
    }
    "#);
}

/// AWS refuses the deployment of every service.
#[test]
fn notice_says_that_a_release_refused_by_aws_changed_nothing() {
    let why = "AccessDeniedException: not authorized to perform: iam:PassRole";
    let refused = Progress::Failed { reason: why.to_owned() };
    let subject =
        ended(PromotionState::Failed, refused, &format!("Stablepin changed nothing: prod/web: {why}"));
    let written = write_notice(&subject, Notice::Ended);
    assert!(
        written.contains("- Stablepin changed nothing. Correct what is named above, and push again."),
        "{written}"
    );
    assert!(written.contains(why) && !written.contains("is held"), "{written}");
}

#[test]
fn notice_says_that_a_rollback_stopped_a_release() {
    let taken = Progress::Superseded { reason: "a rollback replaced ours".to_owned() };
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
    - production is held: the next build waits for a new approval, or until a person releases the hold.
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
        reason: Some(RollbackReason::Failed(RolloutFailure::Reported(reason.to_owned()))),
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
fn notices_explain_incomplete_and_failed_rollbacks() {
    let unproven = Progress::Unproven { at: at("2025-07-17T15:10:00Z") };
    let subject = rolled_back(RollbackState::Incomplete, unproven, "prod/web: the desired count is 0");
    assert_snapshot!(write_notice(&subject, Notice::Ended), @r#"
    Subject: web production: rollback not proven

    The rollback of production to pin 6 (production-20250716-101500-b2b2b2b2) ended as Incomplete.

    Why: prod/web: the desired count is 0.

    Services:
    - prod/web: applied; the desired count is 0

    What to do:
    - Check the services now: some may not run the pinned build.
    - Request the rollback again when the cause is fixed, or name another pin.

    Id: 0198184a-0100-7000-8000-000000000001

    {
      "description": "The rollback of production to pin 6 (production-20250716-101500-b2b2b2b2) ended as Incomplete.\n\nWhy: prod/web: the desired count is 0.\n\n• prod/web: applied; the desired count is 0",
      "nextSteps": [
        "Check the services now: some may not run the pinned build.",
        "Request the rollback again when the cause is fixed, or name another pin."
      ],
      "textType": "client-markdown",
      "title": "web production: rollback not proven"
    }
    "#);
    let failed = Progress::Failed { reason: CRASHED.to_owned() };
    let subject = rolled_back(RollbackState::Failed, failed, CRASHED);
    assert_snapshot!(write_notice(&subject, Notice::Ended), @r#"
    Subject: web production: rollback failed

    The rollback of production to pin 6 (production-20250716-101500-b2b2b2b2) ended as Failed.

    Why: prod/web: ECS deployment circuit breaker: tasks failed to start.

    Services:
    - prod/web: prod/web: ECS deployment circuit breaker: tasks failed to start

    What to do:
    - Stablepin changed nothing: what ran before still runs.
    - Request the rollback again when the cause is fixed, or name another pin.

    Id: 0198184a-0100-7000-8000-000000000001

    {
      "description": "The rollback of production to pin 6 (production-20250716-101500-b2b2b2b2) ended as Failed.\n\nWhy: prod/web: ECS deployment circuit breaker: tasks failed to start.\n\n• prod/web: prod/web: ECS deployment circuit breaker: tasks failed to start",
      "nextSteps": [
        "Stablepin changed nothing: what ran before still runs.",
        "Request the rollback again when the cause is fixed, or name another pin."
      ],
      "textType": "client-markdown",
      "title": "web production: rollback failed"
    }
    "#);
}

#[test]
fn notice_describes_each_state_of_a_service() {
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
        // A new variant does not compile until this test lists it.
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
    - prod/web: not started
    - prod/web: deploying
    - prod/web: proven, 2 running
    - prod/web: applied; the desired count is 0
    - prod/web: ECS is rolling back: ECS deployment circuit breaker: tasks failed to start.
    - prod/web: ECS deployment circuit breaker: tasks failed to start.
    - prod/web: ECS deployment circuit breaker: tasks failed to start.
    - prod/web: ECS deployment circuit breaker: tasks failed to start.
    ");
}

/// Each row has a state and the subject line of its mail, or a dash if there is no mail. A success
/// causes no mail.
#[test]
fn only_failures_cause_notices() {
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
                // Only a release in progress can roll back.
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
    promotion InProgress GoingBack: web production: release failed, rolling back
    promotion InProgress Ended: –
    promotion Completed  Ended: –
    promotion Cancelled  Ended: web production: promotion rejected
    promotion Failed     Ended: web production: release failed
    promotion RolledBack Ended: web production: release failed, rolled back
    rollback  Requested  Ended: –
    rollback  InProgress GoingBack: –
    rollback  InProgress Ended: –
    rollback  Completed  Ended: –
    rollback  Incomplete Ended: web production: rollback not proven
    rollback  Failed     Ended: web production: rollback failed
    ");
}

/// Returns a promotion with this number of services. Each service failed with the reason `words`.
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
fn notice_makes_hostile_text_inert() {
    let hostile = "x\n\n## Approved by everybody\r\n<!channel> <@U012AB3CD> @here <https://evil.example|approve> \
                   [approve](https://evil.example) *bold* `code` \u{202e}txt";
    let plain = notice(&failed(1, "plain words"), Notice::Ended).unwrap();
    let written = notice(&failed(1, hostile), Notice::Ended).unwrap();
    let description =
        |written: &WrittenNotice| written.chat["content"]["description"].as_str().unwrap().to_owned();
    assert_eq!(written.mail.body.lines().count(), plain.mail.body.lines().count(), "the text adds a line");
    assert_eq!(description(&written).lines().count(), description(&plain).lines().count());
    let why = description(&written).lines().find(|line| line.starts_with("Why")).unwrap().to_owned();
    assert_snapshot!(why, @"Why: x ＃＃ Approved by everybody ＜!channel＞ ＜＠U012AB3CD＞ ＠here ＜https：//evil.example｜approve＞ ［approve］(https：//evil.example) ＊bold＊ ｀code｀ txt.");
    // The rest of the message consists of Stablepin's own words and of names.
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
