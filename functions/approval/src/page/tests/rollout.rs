//! Tests of the page of a promotion after its approval.

use insta::assert_snapshot;
use stablepin_rules::application::{Deploy, ServiceName};
use stablepin_rules::audit::Actor;
use stablepin_rules::containing_index::ContainingIndex;
use stablepin_rules::image::ImageTag;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{
    Aftermath, Bake, Blocker, Destination, Freeze, Live, Progress, Promotion, PromotionReason,
    PromotionState, Rollout, RolloutFailure, ServiceRollout, Slot, SlotKind, Subject, Verdict, Work,
};
use stablepin_rules::refusal::Refusal;

use super::fixtures::{after, asking, asks, at, decided, ended, held, id, lead, said, shown};

/// Returns the subject with a changed promotion.
fn having(mut subject: Subject, change: impl FnOnce(&mut Promotion)) -> Subject {
    let Some(Work::Promotion(promotion)) = subject.operation.as_mut().map(|operation| &mut operation.work)
    else {
        panic!("it is a promotion")
    };
    change(promotion);
    subject
}

/// Returns a promotion that the lead has approved. Its rollout has one service with this progress.
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

const CRASHED: &str = "prod/web: ECS deployment circuit breaker: tasks failed to start";

fn crash() -> RolloutFailure {
    RolloutFailure::Reported(CRASHED.to_owned())
}

/// The cases cover each way in which a promotion can continue after its approval.
#[test]
fn page_shows_each_state_of_a_rollout() {
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
    let failed = |promotion: &mut Promotion| promotion.failure = Some(crash());
    let became = |aftermath| {
        let reason = PromotionReason::Failed { failure: crash(), aftermath };
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
        deployed(PromotionState::RolledBack, crashed.clone(), became(Aftermath::Reverted)),
        deployed(PromotionState::Failed, crashed.clone(), became(Aftermath::NoWayBack)),
        deployed(PromotionState::Failed, crashed, |promotion| {
            promotion.reason = Some(PromotionReason::Preempted { rollback: None, hold: None });
        }),
    ];
    let told = states.map(|subject| said(&decided(&subject)).replace("&quot;", "\""));
    assert_snapshot!(told.join("\n\n"), @r#"
    200 Approved · Stablepin
    <h1>Approved</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. When it is proven to run, it becomes the pin.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="now"><b>Deployed<i> now</i></b><span>reading the services</span></li>
    <li class="ahead"><b>Verified<i> ahead</i></b><span></span></li>
    <li class="ahead"><b>Pinned<i> ahead</i></b><span></span></li></ol>
    <noscript>
    <p><a href="/decide/web/production/1?t=SECRET">Reload</a></p></noscript>
    <script>…</script>

    200 Approved · Stablepin
    <h1>Approved</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. When it is proven to run, it becomes the pin.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="now"><b>Deployed<i> now</i></b><span>0 of 1 services; prod/web: IN_PROGRESS: 1 of 2 tasks running</span></li>
    <li class="ahead"><b>Verified<i> ahead</i></b><span></span></li>
    <li class="ahead"><b>Pinned<i> ahead</i></b><span></span></li></ol>
    <noscript>
    <p><a href="/decide/web/production/1?t=SECRET">Reload</a></p></noscript>
    <script>…</script>

    200 Approved · Stablepin
    <h1>Approved</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. When it is proven to run, it becomes the pin.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="done"><b>Deployed<i> done</i></b><span>1 of 1 services</span></li>
    <li class="now"><b>Verified<i> now</i></b><span>must stay healthy until 2025-07-17 15:15 UTC</span></li>
    <li class="ahead"><b>Pinned<i> ahead</i></b><span></span></li></ol>
    <noscript>
    <p><a href="/decide/web/production/1?t=SECRET">Reload</a></p></noscript>
    <script>…</script>

    200 Approved · Stablepin
    <h1>Approved</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. It is the pin; its tag follows within a minute.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="done"><b>Deployed<i> done</i></b><span>1 of 1 services</span></li>
    <li class="done"><b>Verified<i> done</i></b><span>every running task runs this digest</span></li>
    <li class="now"><b>Pinned<i> now</i></b><span>pin 1; its tag follows within a minute</span></li></ol>
    <noscript>
    <p><a href="/decide/web/production/1?t=SECRET">Reload</a></p></noscript>
    <script>…</script>

    200 Released and pinned · Stablepin
    <h1>Released and pinned</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. It is pin 1 of production.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="done"><b>Deployed<i> done</i></b><span>1 of 1 services</span></li>
    <li class="done"><b>Verified<i> done</i></b><span>every running task runs this digest</span></li>
    <li class="done"><b>Pinned<i> done</i></b><span>pin 1 of production</span></li></ol>

    200 Release failed, rolling back · Stablepin
    <h1>Release failed, rolling back</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. Why: prod/web: ECS deployment circuit breaker: tasks failed to start. Stablepin is rolling the services back.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="failed"><b>Deployed<i> failed</i></b><span>prod/web: ECS deployment circuit breaker: tasks failed to start. Stablepin is rolling the services back</span></li></ol>
    <noscript>
    <p><a href="/decide/web/production/1?t=SECRET">Reload</a></p></noscript>
    <script>…</script>

    200 Release failed, rolled back · Stablepin
    <h1>Release failed, rolled back</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. Why: prod/web: ECS deployment circuit breaker: tasks failed to start. Every service was rolled back.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="failed"><b>Deployed<i> failed</i></b><span>prod/web: ECS deployment circuit breaker: tasks failed to start. Every service was rolled back</span></li></ol>

    200 Release failed · Stablepin
    <h1>Release failed</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. Why: prod/web: ECS deployment circuit breaker: tasks failed to start. There is no earlier image to roll back to.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="failed"><b>Deployed<i> failed</i></b><span>prod/web: ECS deployment circuit breaker: tasks failed to start. There is no earlier image to roll back to</span></li></ol>

    200 Stopped by a rollback · Stablepin
    <h1>Stopped by a rollback</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. Why: pre-empted by a rollback, which has ended: its record says what happened to the services.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="failed"><b>Deployed<i> failed</i></b><span>pre-empted by a rollback, which has ended: its record says what happened to the services</span></li></ol>
    "#);
}

#[test]
fn page_says_why_a_promotion_was_cancelled() {
    let by = Actor::Principal { arn: "arn:aws:iam::111122223333:role/lead".to_owned() };
    let index = ContainingIndex {
        digest: asking(1, "main").promotion().unwrap().digest.clone(),
        tag: ImageTag::parse("main").unwrap(),
        pushed_at: at("2025-07-17T14:31:00Z"),
    };
    let reasons = [
        PromotionReason::Superseded(PinNumber::new(8).unwrap()),
        PromotionReason::Expired(Blocker::Decision),
        PromotionReason::Withdrawn { by, reason: Some("wrong branch".to_owned()) },
        PromotionReason::PartOfIndex(index),
        PromotionReason::EnvironmentRemoved,
    ];
    let told = reasons.map(|reason| {
        let words = reason.to_string();
        let subject = having(asking(1, "main"), |promotion| {
            promotion.state = PromotionState::Cancelled;
            promotion.reason = Some(reason);
        });
        let refusal = Refusal::NotPending { state: PromotionState::Cancelled, reason: words };
        said(&ended(&subject, &lead(), &refusal))
    });
    assert_snapshot!(told.join("\n\n"), @r#"
    409 Superseded by a later build · Stablepin
    <h1>Superseded by a later build</h1>
    <p id="told" role="status">Superseded: a later build became pin 8.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="failed"><b>Approved<i> failed</i></b><span>superseded: a later build became pin 8</span></li></ol>

    409 Expired · Stablepin
    <h1>Expired</h1>
    <p id="told" role="status">Expired: nobody decided in time.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="failed"><b>Approved<i> failed</i></b><span>expired: nobody decided in time</span></li></ol>

    409 Withdrawn · Stablepin
    <h1>Withdrawn</h1>
    <p id="told" role="status">Withdrawn by arn:aws:iam::111122223333:role/lead: wrong branch.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="failed"><b>Approved<i> failed</i></b><span>withdrawn by arn:aws:iam::111122223333:role/lead: wrong branch</span></li></ol>

    409 Part of an image index · Stablepin
    <h1>Part of an image index</h1>
    <p id="told" role="status">Part of an image index: main (sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1), pushed at 2025-07-17 14:31 UTC, contains it and is promoted instead.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="failed"><b>Approved<i> failed</i></b><span>part of an image index: main (sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1), pushed at 2025-07-17 14:31 UTC, contains it and is promoted instead</span></li></ol>

    409 Environment removed · Stablepin
    <h1>Environment removed</h1>
    <p id="told" role="status">The environment was removed from the configuration.</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="failed"><b>Approved<i> failed</i></b><span>the environment was removed from the configuration</span></li></ol>
    "#);
}

#[test]
fn page_names_a_freeze_before_and_after_approval() {
    let mut subject = asking(1, "main");
    let (since, reason) = (at("2025-07-17T09:15:00Z"), "autumn sale".to_owned());
    subject.environment.freeze = Some(Freeze { since, reason, by: Actor::Stablepin });
    let page = shown(&asks(&subject));
    let note = page.lines().find(|line| line.contains("note")).unwrap();
    assert_snapshot!(note, @r#"<p class="note">production has been frozen since 2025-07-17 09:15 UTC (autumn sale). If you approve, the build waits until the freeze ends.</p>"#);
    assert_snapshot!(said(&decided(&after(&subject, Verdict::Approve, None))), @r#"
    200 Approved · Stablepin
    <h1>Approved</h1>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. It waits: production is frozen (autumn sale).</p>
    <ol id="steps" data-status="/decide/web/production/1/status?t=SECRET">
    <li class="done"><b>Validated<i> done</i></b><span>the image is valid</span></li>
    <li class="done"><b>Approved<i> done</i></b><span>by lead</span></li>
    <li class="now"><b>Pinned<i> now</i></b><span>waits: production is frozen (autumn sale)</span></li></ol>
    <noscript>
    <p><a href="/decide/web/production/1?t=SECRET">Reload</a></p></noscript>
    <script>…</script>
    "#);
}

/// Covers a hold, another promotion, and no obstacle. Other tests cover a freeze and a rollback.
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
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. It waits: production is held (rollback to pin 6) until somebody approves it again.</p>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. It waits until another promotion has ended.</p>
    <p id="told" role="status">You approved it on 2025-07-17 15:00 UTC. It starts within a minute.</p>
    "#);
}
