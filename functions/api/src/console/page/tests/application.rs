//! Tests of the page of one application.

use insta::assert_snapshot;
use stablepin_rules::image::{ImageTag, RepositoryName};
use stablepin_rules::name::{ApplicationName, ApproverName};
use stablepin_rules::records::{
    IgnoredPush, Operation, PromotionReason, PromotionState, Repair, Slot, SlotKind, Verdict, Work,
};

use super::fixtures::{
    at, body, digest, healthy_environment, id, of_production, pin, promotion, said, settings, shown, shows,
    subjects, visit, voted,
};
use crate::console::page::{Application, Environment, Pending, application, ignored_pushes};

#[test]
fn application_page_lists_ignored_pushes_and_awaited_conditions() {
    let mut waiting = promotion(8, PromotionState::Pending);
    waiting.waits_for = vec!["the check staging-tests".to_owned()];
    let history = [of_production(waiting)];
    let name = ApplicationName::parse("web").unwrap();
    let ignored = [IgnoredPush {
        repository: RepositoryName::parse("web").unwrap(),
        tag: ImageTag::parse("feature-x").unwrap(),
        digest: digest(9),
        at: at("2026-11-21T14:00:00Z"),
        reason: "<b>no pattern</b>".to_owned(),
    }];
    let shown =
        Application { name: &name, environments: &[], history: &history, older: false, ignored: &ignored };
    let response = application(visit(), &settings(), &shown);
    let page = body(&response);
    assert!(page.contains("waits for the check staging-tests"), "{page}");
    assert!(
        page.contains("<code>feature-x</code>") && page.contains("&lt;b&gt;no pattern&lt;/b&gt;"),
        "{page}"
    );
}

#[test]
fn pages_of_ignored_pushes_list_every_push_once() {
    let name = ApplicationName::parse("web").unwrap();
    let pushes: Vec<IgnoredPush> = (0..100)
        .map(|n| IgnoredPush {
            repository: RepositoryName::parse("web").unwrap(),
            tag: ImageTag::parse(&format!("{}-{n:03}", "x".repeat(100))).unwrap(),
            digest: digest(9),
            at: at("2026-11-21T14:00:00Z"),
            reason: "no pattern of the application's `builds` names the tag".repeat(3),
        })
        .collect();
    let first = Application { name: &name, environments: &[], history: &[], older: false, ignored: &pushes };
    let mut page = body(&application(visit(), &settings(), &first)).to_owned();
    let mut listed = Vec::new();
    loop {
        assert!(page.len() < 20_000, "{} bytes", page.len());
        listed.extend((0..100).filter(|n| page.contains(&format!("x-{n:03}</code>"))));
        let Some((_, more)) = page.split_once("href=\"/console/web?ignored=") else { break };
        let from = more.split_once('"').unwrap().0.parse().unwrap();
        page = body(&ignored_pushes(visit(), &name, &pushes, from)).to_owned();
    }
    assert_eq!(listed, (0..100).collect::<Vec<_>>());
}

#[test]
fn application_page_shows_history_and_rollback_commands() {
    let mut completed = voted(promotion(7, PromotionState::Completed), Verdict::Approve, "tried it");
    completed.pin = Some(pin(7).number);
    let mut rejected = voted(promotion(6, PromotionState::Cancelled), Verdict::Reject, "too slow");
    let by = ApproverName::parse("lead").unwrap();
    rejected.reason = Some(PromotionReason::Rejected { by, reason: Some("too slow".to_owned()) });
    let repair = Repair {
        id: id(5),
        tag: ImageTag::parse("prod-stable").unwrap(),
        found: Some(digest(4)),
        detected_at: at("2026-11-21T14:00:00Z"),
        repaired_at: Some(at("2026-11-21T14:01:00Z")),
        moved_by: None,
        refused: false,
    };
    let (name, _) = of_production(promotion(1, PromotionState::Pending));
    let repair = (name, Operation::new(Work::Repair(repair), visit().now));
    let history = [of_production(completed), of_production(rejected), repair];
    assert_snapshot!(shown(&shows(&[healthy_environment()], &history)), @r#"
    200 web · Stablepin
    <p class="brand"><a href="/console">Stablepin console</a></p>
    <h1>web</h1>
    <section>
    <h2>production <span class="badges"><b class="badge good">Stable</b></span></h2>
    <dl>
    <dt>Pin</dt><dd><strong>7</strong>, since 2026-11-21 14:40 UTC<br><code>production-20261121-143007-a1b2c3d4</code><br><code>sha256:0000000000000000000000000000000000000000000000000000000000000007</code></dd>
    <dt>Live</dt><dd><div><code>prod/production</code>: pin 7 on 2 tasks</div></dd>
    <dt>Stable tag</dt><dd><code>production-stable</code>, or <code>production-stable-000007</code> where tags cannot move, points to pin 7</dd>
    <dt>Pending</dt><dd>none</dd>
    <dt>Earlier pins</dt><dd><div>6, <code>production-20261121-143006-a1b2c3d4</code></div><div>5, <code>production-20261121-143005-a1b2c3d4</code></div></dd></dl>
    <details><summary>Roll back to pin 6, production-20261121-143006-a1b2c3d4</summary><label for="production-6">Back to pin 6, in a shell with your AWS credentials</label><textarea id="production-6" rows="7" readonly spellcheck="false">curl -sS --fail-with-body -X POST \
      --aws-sigv4 'aws:amz:eu-central-1:execute-api' \
      --user &quot;$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY&quot; \
      --header &quot;x-amz-security-token: ${AWS_SESSION_TOKEN:-}&quot; \
      --json '{&quot;confirm&quot;:&quot;ROLLBACK&quot;,&quot;reason&quot;:&quot;back to pin 6&quot;,&quot;to&quot;:&quot;6&quot;}' \
      'https://api.example.com/v1/applications/web/environments/production/rollback'</textarea></details></section>
    <h2 id="history">Builds, promotions, pins and rollbacks</h2>
    <ol>
    <li id="0198184a-0100-7000-8000-000000000007" class="done"><b>Promotion to production<i> Completed</i></b> <b class="badge good">Pin 7</b><span>2026-11-21 14:31 UTC, build <code>production-20261121-143007-a1b2c3d4</code> <code>sha256:000000000000</code>, pushed as <code>main</code></span><span>approved by lead (tried it)</span></li>
    <li id="0198184a-0100-7000-8000-000000000006" class="ahead"><b>Promotion to production<i> Cancelled</i></b><span>2026-11-21 14:31 UTC, build <code>production-20261121-143006-a1b2c3d4</code> <code>sha256:000000000000</code>, pushed as <code>main</code></span><span>rejected by lead: too slow</span></li>
    <li class="done"><b>Drift of production<i> corrected</i></b><span>2026-11-21 14:00 UTC, <code>prod-stable</code> was found on <code>sha256:000000000000</code></span></li></ol>
    <p class="small">As of 2026-11-21 15:00 UTC. Your link expires on 2026-11-21 15:40 UTC. This page changes nothing: a change needs a signed request.</p>
    "#);
}

#[test]
fn application_page_shows_an_environment_without_a_pin() {
    let untouched = Environment {
        subject: subjects("web", 1).remove(0),
        pending: Pending::default(),
        live: Vec::new(),
        pins: Vec::new(),
    };
    assert_snapshot!(shown(&shows(&[untouched], &[])), @r#"
    200 web · Stablepin
    <p class="brand"><a href="/console">Stablepin console</a></p>
    <h1>web</h1>
    <section>
    <h2>production <span class="badges"><b class="badge">Nothing pinned</b></span></h2>
    <dl>
    <dt>Pin</dt><dd>none yet</dd>
    <dt>Live</dt><dd>no services are configured</dd>
    <dt>Stable tag</dt><dd><code>production-stable</code> is not set yet</dd>
    <dt>Pending</dt><dd>none</dd></dl></section>
    <h2 id="history">Builds, promotions, pins and rollbacks</h2>
    <p>Nothing has happened yet. A push to the repository starts the history.</p>
    <p class="small">As of 2026-11-21 15:00 UTC. Your link expires on 2026-11-21 15:40 UTC. This page changes nothing: a change needs a signed request.</p>
    "#);
}

#[test]
fn running_rollback_hides_the_rollback_commands() {
    let mut going_back = healthy_environment();
    let since = at("2026-11-21T14:55:00Z");
    let slot =
        Slot { operation: id(9), kind: SlotKind::Rollback, digest: digest(7), since, moving_until: None };
    going_back.subject.environment.slot = Some(slot);
    let page = shows(&[going_back], &[]);
    assert_snapshot!(said(&page, &["badges", "In progress", "details", "small"]), @r#"
    <h2>production <span class="badges"><b class="badge now">Rollback in progress</b> </span></h2>
    <dt>In progress</dt><dd>a rollback to pin 7, since 2026-11-21 14:55 UTC</dd>
    <p class="small">A rollback is in progress. The next one can start when it has ended.</p></section>
    <p class="small">As of 2026-11-21 15:00 UTC. Your link expires on 2026-11-21 15:40 UTC. This page changes nothing: a change needs a signed request.</p>
    "#);
}
