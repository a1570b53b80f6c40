//! Tags of ours that somebody moves by hand, and what no event told of.

use serde_json::{Value, json};
use stablepin_tests::{App, Plan, stack, until};
use xtask::image::Spec;

/// As the sweep's queue wakes the promoter for this application.
#[track_caller]
fn sweep(app: &App) -> Value {
    let body = json!({ "sweep": app.plan.name }).to_string();
    let event = json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "1", "body": body }] });
    app.aws.invoke(stack().variable("STABLEPIN_PROMOTER_FUNCTION"), &event).expect("the sweep ends well")
}

#[test]
fn a_stable_tag_moved_by_hand_is_told_and_put_back() {
    let app = Plan::new("moved").create();
    let pinned = app.pin("main", &Spec::new("1"));
    let other = app.push("quiet", &Spec::new("2"));
    app.push_image(Some("prod-stable"), &stablepin_tests::app::image(&Spec::new("2")));
    until("the stable tag back", || (app.tag("prod-stable") == Some(pinned.clone())).then_some(()));
    until("both records", || {
        let told = app.audited("Drift Detected");
        (told == [format!("{other} → Detected"), format!("{other} → Repaired")]).then_some(())
    });
    assert_eq!(
        (app.pins().len(), app.environment()["applied"].clone()),
        (1, json!(1)),
        "the pin never moved"
    );
}

/// By our own doing it was on that digest before: that is a drift all the same. Here the sweep finds it; an event
/// may have told of it already.
#[test]
fn a_stable_tag_moved_back_to_an_earlier_pin_is_found_by_the_sweep() {
    let app = Plan::new("back").create();
    app.pin("main", &Spec::new("1"));
    let second = app.pin("main", &Spec::new("2"));
    app.push_image(Some("prod-stable"), &stablepin_tests::app::image(&Spec::new("1")));
    until("the stable tag back", || {
        sweep(&app);
        (app.tag("prod-stable").as_deref() == Some(second.as_str())).then_some(())
    });
    until("the repair's end", || (app.audited("Drift Detected").len() == 2).then_some(()));
    assert_eq!(sweep(&app), json!({ "missed_pushes": 0, "drifted_tags": 0 }));
}

#[test]
fn a_sweep_where_nothing_is_wrong_changes_nothing() {
    let app = Plan::new("sweep").create();
    app.pin("main", &Spec::new("1"));
    app.push("latest", &Spec::new("2"));
    let before = app.everything();
    assert_eq!(sweep(&app), json!({ "missed_pushes": 0, "drifted_tags": 0 }));
    assert_eq!(sweep(&app), json!({ "missed_pushes": 0, "drifted_tags": 0 }));
    assert_eq!(app.everything(), before);
}

/// Its event may still be on its way: the sweep finds it when that is late, and not before.
#[test]
fn a_push_that_may_still_be_told_of_is_left_to_its_event() {
    let app = Plan::new("young").create();
    let first = app.pin("main", &Spec::new("1"));
    let second = app.push("main", &Spec::new("2"));
    app.link(&second);
    let followed = format!("TAG#{}#main", app.plan.repository);
    app.settled(&second);
    // As if the second had not been answered.
    app.rewrite(&followed, "followed", &first);
    app.rewrite(&followed, "followed_at", "2025-01-01T00:00:00Z");
    let asked = app.mails("lead").len();
    assert_eq!(sweep(&app), json!({ "missed_pushes": 0, "drifted_tags": 0 }));
    assert_eq!(app.mails("lead").len(), asked);
}
