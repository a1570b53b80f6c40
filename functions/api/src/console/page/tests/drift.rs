//! Tests of how the console shows drift.

use std::collections::BTreeMap;

use insta::assert_snapshot;
use stablepin_rules::image::ImageTag;
use stablepin_rules::name::ApplicationName;
use stablepin_rules::records::{Current, NotPut, Slot, SlotKind, TakenTag};

use super::fixtures::{at, body, digest, healthy_environment, id, lists, pin, said, settings, shows, visit};
use crate::console::page::{Application, Found, application, standing};

#[test]
fn console_shows_drift_if_a_service_runs_another_image() {
    let mut drifted = healthy_environment();
    drifted.live[0].found =
        Found::Tasks(BTreeMap::from([(Some(digest(6)), 1), (Some(digest(9)), 2), (None, 1)]));
    let page = shows(&[drifted], &[]);
    assert_snapshot!(said(&page, &["<h2", "note", "Live", "details", "stable"]), @r#"
    <h2>production <span class="badges"><b class="badge bad">Drift</b> </span></h2>
    <p class="note"><strong>Drift: </strong>prod/production does not run pin 7.</p>
    <dt>Live</dt><dd><div><code>prod/production</code>: an unknown digest on 1 task, pin 6 on 1 task, <code>sha256:000000000000</code> on 2 tasks</div></dd>
    <dt>Stable tag</dt><dd><code>production-stable</code>, or <code>production-stable-000007</code> where tags cannot move, points to pin 7</dd>
    <details open><summary>Roll back to pin 7, which does not run everywhere</summary><label for="production-7">Back to pin 7, in a shell with your AWS credentials</label><textarea id="production-7" rows="7" readonly spellcheck="false">curl -sS --fail-with-body -X POST \
      --json '{&quot;confirm&quot;:&quot;ROLLBACK&quot;,&quot;reason&quot;:&quot;back to pin 7&quot;,&quot;to&quot;:&quot;stable&quot;}' \
      'https://api.example.com/v1/applications/web/environments/production/rollback'</textarea></details>
    <details><summary>Roll back to pin 6, production-20261121-143006-a1b2c3d4</summary><label for="production-6">Back to pin 6, in a shell with your AWS credentials</label><textarea id="production-6" rows="7" readonly spellcheck="false">curl -sS --fail-with-body -X POST \
      'https://api.example.com/v1/applications/web/environments/production/rollback'</textarea></details></section>
    <h2 id="history">Builds, promotions, pins and rollbacks</h2>
    "#);
}

#[test]
fn overview_shows_drift_if_the_proven_image_is_not_the_pin() {
    let mut drifted = healthy_environment();
    drifted.live.clear();
    drifted.subject.environment.current = Some(Current { digest: digest(9), by: id(9), tagged: true });
    assert_snapshot!(said(&lists(drifted), &["<h3", "note", "Live"]), @r#"
    <h3>production <span class="badges"><b class="badge bad">Drift</b> </span></h3>
    <dt>Live</dt><dd><code>sha256:000000000000</code>, when last proven</dd></dl>
    <p class="note"><strong>Drift: </strong>The last image that was proven to run is not pin 7.</p></article></section></div>
    "#);
}

#[test]
fn overview_shows_recorded_live_drift() {
    let web = stablepin_rules::live_drift::Deviation {
        task_definition: Some("arn:aws:ecs:eu-central-1:111122223333:task-definition/web:6".to_owned()),
        digest: None,
        registered_by: Some("<script>".to_owned()),
    };
    let mut drift = stablepin_rules::live_drift::LiveDrift {
        id: id(9),
        since: visit().now,
        services: [(stablepin_rules::application::ServiceName::parse("prod/web").unwrap(), web)].into(),
        ended_at: None,
        notified_at: None,
    };
    let shown = |drift| {
        let mut drifted = healthy_environment();
        drifted.live.clear();
        drifted.subject.environment.live_drift = Some(drift);
        said(&lists(drifted), &["note"])
    };
    let text = shown(drift.clone());
    assert!(text.contains("prod/web runs another image (task definition web:6"), "{text}");
    assert!(!text.contains("<script>"), "{text}");
    drift.ended_at = Some(visit().now);
    assert_eq!(shown(drift), "", "drift that ended is not shown");
}

#[test]
fn overview_shows_drift_if_the_stable_tag_is_outdated() {
    let mut behind = healthy_environment();
    behind.subject.environment.applied = Some(pin(6).number);
    assert_snapshot!(said(&lists(behind), &["<h3", "note"]), @r#"
    <h3>production <span class="badges"><b class="badge bad">Drift</b> </span></h3>
    <p class="note"><strong>Drift: </strong>production-stable still points to pin 6, not pin 7.</p></article></section></div>
    "#);
    let mut never = healthy_environment();
    never.subject.environment.applied = None;
    assert_snapshot!(said(&lists(never), &["note"]), @r#"<p class="note"><strong>Drift: </strong>production-stable does not point to pin 7 yet.</p></article></section></div>"#);
}

/// Checks that a service may run another image than the pin during a promotion.
#[test]
fn console_shows_no_drift_during_a_promotion() {
    let mut moving = healthy_environment();
    let since = at("2026-11-21T14:55:00Z");
    let slot =
        Slot { operation: id(9), kind: SlotKind::Promotion, digest: digest(9), since, moving_until: None };
    moving.subject.environment.slot = Some(slot);
    moving.live[0].found = Found::Tasks(BTreeMap::from([(Some(digest(9)), 2)]));
    assert_snapshot!(said(&shows(&[moving], &[]), &["badges", "note", "In progress"]), @r#"
    <h2>production <span class="badges"><b class="badge now">Promotion in progress</b> </span></h2>
    <dt>In progress</dt><dd>a promotion to <code>sha256:000000000000</code>, since 2026-11-21 14:55 UTC</dd>
    "#);
}

/// Another image has the tag of pin 7. The page says so twice: next to the stable tag, and as
/// drift.
#[test]
fn application_page_shows_a_tag_conflict_twice() {
    let mut environment = healthy_environment();
    let record = &mut environment.subject.environment;
    record.applied = None;
    record.tag_taken = Some(TakenTag {
        pin: pin(7).number,
        tag: ImageTag::parse("production-stable-000007").unwrap(),
        why: NotPut::Taken { on: digest(3), by: Some("arn:aws:iam::111122223333:user/anna".to_owned()) },
    });
    let words = format!(
        "ECR did not accept the tag production-stable-000007 of pin 7: it is on {}, put there by \
         arn:aws:iam::111122223333:user/anna, and the repository does not let it move",
        digest(3)
    );
    assert_eq!(standing::drift(&environment), [format!("{words}.")]);
    let name = ApplicationName::parse("web").unwrap();
    let environments = [environment];
    let shown =
        Application { name: &name, environments: &environments, history: &[], older: false, ignored: &[] };
    let response = application(visit(), &settings(), &shown);
    let page = body(&response);
    assert_eq!(page.matches(&words).count(), 2, "once as drift, once beside the stable tag: {page}");
}
