//! Drift of Stablepin's tags, and pushes whose event never arrived.

use jiff::SignedDuration;
use serde_json::{Value, json};
use stablepin_tests::ecr_fake::{NewImage, TagMutability};
use stablepin_tests::{App, Plan, Release, until};
use xtask::image::Spec;

#[test]
fn stablepin_reports_and_restores_a_tag_moved_by_hand() {
    let app = Plan::new("moved").create();
    let pinned = app.pin("main", &Spec::new("1"));
    let other = app.push("quiet", &Spec::new("2"));
    app.push_image(Some("prod-stable"), &stablepin_tests::image(&Spec::new("2")));
    until("the stable tag back", || (app.tag("prod-stable") == Some(pinned.clone())).then_some(()));
    until("both audit records", || {
        let drifts = app.audited("Drift Detected");
        (drifts == [format!("{other} → Detected"), format!("{other} → Repaired")]).then_some(())
    });
    assert_eq!(
        (app.pins().len(), app.environment()["applied"].clone()),
        (1, json!(1)),
        "the pin did not move"
    );
}

/// A person moves the stable tag to the digest of an earlier pin. This is drift, although Stablepin
/// itself once put the tag on that digest.
#[test]
fn sweep_restores_a_stable_tag_moved_to_an_earlier_pin() {
    let app = Plan::new("back").create_with_fakes();
    app.pin("main", &Spec::new("1"));
    let second = app.pin("main", &Spec::new("2"));
    app.push_unheard("prod-stable", &Spec::new("1"));
    assert_eq!(sweep(&app), json!({ "missed_pushes": 0, "drifted_tags": 1 }));
    assert_eq!(app.tag("prod-stable"), Some(second));
    assert_eq!(app.audited("Drift Detected").len(), 2);
    assert_eq!(sweep(&app), json!({ "missed_pushes": 0, "drifted_tags": 0 }));
}

#[test]
fn sweep_without_drift_changes_nothing() {
    let app = Plan::new("sweep").create_with_fakes();
    app.pin("main", &Spec::new("1"));
    app.push("latest", &Spec::new("2"));
    let (before, tags) = (app.everything(), app.ecr().count("PutImage"));
    assert_eq!(sweep(&app), json!({ "missed_pushes": 0, "drifted_tags": 0 }));
    assert_eq!(sweep(&app), json!({ "missed_pushes": 0, "drifted_tags": 0 }));
    assert_eq!((app.everything(), app.ecr().count("PutImage")), (before, tags));
}

/// The event of a recent push may still arrive. The sweep handles a push only when its event is
/// overdue.
#[test]
fn sweep_ignores_a_push_until_its_event_is_overdue() {
    let app = Plan::new("young").create_with_fakes();
    app.pin("main", &Spec::new("1"));
    app.push_unheard("main", &Spec::new("2"));
    was_followed_long_ago(&app, "main");
    let before = app.everything();
    assert_eq!(sweep(&app), json!({ "missed_pushes": 0, "drifted_tags": 0 }));
    assert_eq!(app.everything(), before);
}

/// Invokes the promoter with a message of the sweep queue about the application.
#[track_caller]
fn sweep(app: &App) -> Value {
    app.sweep_with_fakes(None).answer.expect("the function was not killed")
}

/// A digest that belongs to no build.
const ELSE: &str = "sha256:eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";

/// Creates the application with a registry clock that is ten minutes slow, so that the sweep treats
/// each missing event as overdue.
#[track_caller]
fn created_ten_minutes_ago(plan: Plan) -> App {
    let app = plan.create_with_fakes();
    app.ecr().time_passes(SignedDuration::from_mins(-10));
    app
}

/// Creates the plan's application and releases its first build. `before` runs before the push.
#[track_caller]
fn live(plan: Plan, tag: &str, before: impl FnOnce(&App)) -> Release {
    let app = created_ten_minutes_ago(plan.services(["web"]).deployed("bake = \"0s\""));
    before(&app);
    let digest = app.push(tag, &Spec::new("1"));
    let link = app.link(&digest);
    let release = Release::of(app, &digest, ELSE, Some(&link)).with(&["web"]);
    let record = release.runs_its_course();
    assert_eq!(record["state"], "Completed", "{record:#}");
    release
}

/// Deletes one tag of the first build. The build keeps other tags.
#[track_caller]
fn untag(release: &Release, tag: &str) {
    let app = &release.app;
    app.web().is_untagged(tag);
    assert_eq!(app.tag(tag), None);
    assert_ne!(app.tags(&release.digest), Vec::<String>::new(), "the image still exists");
}

/// Sets the recorded time of the tag's last push far into the past, so that the sweep treats a
/// newer push as missed.
#[track_caller]
fn was_followed_long_ago(app: &App, tag: &str) {
    let followed = format!("TAG#{}#{tag}", app.plan.repository);
    app.rewrite(&followed, "followed_at", "2025-01-01T00:00:00Z");
}

#[test]
fn sweep_restores_a_deleted_current_tag() {
    let release = live(Plan::new("current"), "main", |_| ());
    assert_eq!(release.app.tag("production-current"), Some(release.digest.clone()));
    untag(&release, "production-current");
    let swept = release.app.sweep_with_fakes(Some(&release.ecs)).answer;
    assert_eq!(swept, Some(json!({ "missed_pushes": 0, "drifted_tags": 1 })));
    assert_eq!(release.app.tag("production-current"), Some(release.digest.clone()));
    assert_eq!(release.app.audited("Drift Detected"), ["deleted → Detected", "deleted → Repaired"]);
}

#[test]
fn sweep_restores_a_deleted_numbered_stable_tag() {
    let release = live(Plan::new("numbered").tags_are(TagMutability::Immutable), "v1.0.0", |_| ());
    let tag = "prod-stable-000001";
    assert_eq!(release.app.tag(tag), Some(release.digest.clone()));
    untag(&release, tag);
    let swept = release.app.sweep_with_fakes(Some(&release.ecs)).answer;
    assert_eq!(swept, Some(json!({ "missed_pushes": 0, "drifted_tags": 1 })));
    assert_eq!(release.app.tag(tag), Some(release.digest.clone()));
    assert_eq!(release.app.audited("Drift Detected"), ["deleted → Detected", "deleted → Repaired"]);
}

#[test]
fn sweep_opens_one_promotion_for_a_missed_push() {
    let app = created_ten_minutes_ago(Plan::new("missed"));
    app.push("main", &Spec::new("1"));
    let missed = app.push_unheard("main", &Spec::new("2"));
    was_followed_long_ago(&app, "main");
    let opened =
        || app.promotions().iter().filter(|promotion| promotion["digest"] == missed.as_str()).count();
    assert_eq!(opened(), 0);
    assert_eq!(sweep(&app), json!({ "missed_pushes": 1, "drifted_tags": 0 }));
    assert_eq!(opened(), 1);
    let promotion = app.promotions().pop().expect("a promotion");
    assert_eq!(promotion["digest"], missed.as_str());
    assert_eq!(promotion["state"], "Pending", "{promotion:#}");
    assert_eq!(promotion["asked"].as_object().map(serde_json::Map::len), Some(1), "the approver got a mail");
    assert_eq!(sweep(&app), json!({ "missed_pushes": 0, "drifted_tags": 0 }));
    assert_eq!(opened(), 1);
}

#[test]
fn sweep_lists_a_missed_push_that_is_no_build() {
    let app = created_ten_minutes_ago(Plan::new("missed-artifact"));
    let image = app.push("main", &Spec::new("1"));
    let signature = app.web().put(NewImage::referrer(&image, "application/vnd.example.signature"));
    app.web().is_tagged("main", &signature);
    was_followed_long_ago(&app, "main");
    assert_eq!(sweep(&app), json!({ "missed_pushes": 0, "drifted_tags": 0 }));
    let ignored = app.items("IGNORED#");
    assert_eq!(ignored.len(), 1, "{ignored:#?}");
    assert_eq!(ignored[0]["record"]["digest"], signature);
    assert_eq!(ignored[0]["record"]["reason"], "it is a signature, an attestation or another artifact");
    assert_eq!(sweep(&app), json!({ "missed_pushes": 0, "drifted_tags": 0 }));
    assert_eq!(app.items("IGNORED#").len(), 1);
}

#[test]
fn sweep_continues_after_it_fails_to_handle_a_push() {
    let mut second = String::new();
    let release = live(Plan::new("one-bad"), "main", |app| {
        second = app.push("v1.0.0", &Spec::new("2"));
    });
    let app = &release.app;
    // The two pushes send no event. `main` now refers to a build with an unreadable record, and
    // `v1.0.0` refers to an unknown build.
    app.push_unheard("main", &Spec::new("2"));
    let third = app.push_unheard("v1.0.0", &Spec::new("3"));
    for tag in ["main", "v1.0.0"] {
        was_followed_long_ago(app, tag);
    }
    app.rewrite(&format!("BUILD#{second}"), "record", "not a record");
    untag(&release, "production-current");
    let answer = app.sweep_with_fakes(Some(&release.ecs)).answer.expect("the sweep ends");
    assert_eq!(answer["errorMessage"], "an application could not be swept", "the queue retries");
    assert!(app.promotions().iter().any(|promotion| promotion["digest"] == third.as_str()));
    assert_eq!(app.tag("production-current"), Some(release.digest.clone()));
    assert_eq!(app.audited("Drift Detected"), ["deleted → Detected", "deleted → Repaired"]);
}
