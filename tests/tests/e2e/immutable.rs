//! Repositories with immutable tags.

use jiff::Timestamp;
use serde_json::{Value, json};
use stablepin_tests::Plan;
use stablepin_tests::ecr_fake::TagMutability;
use xtask::image::Spec;

/// Several builds of one commit within one second would all get the same build tag.
#[test]
fn build_gets_another_tag_if_its_build_tag_is_taken() {
    for plan in [Plan::new("taken-imm").tags_are(TagMutability::Immutable), Plan::new("taken")] {
        let app = plan.create_with_fakes();
        let at = Timestamp::now();
        let spec = |version: &str| Spec::new(version).revision("a1b2c3d4e5f60718293a4b5c6d7e8f9001122334");
        let builds = ["1", "2", "3"].map(|version| app.push(&format!("quiet-{version}"), &spec(version)));
        for digest in &builds {
            app.deliver(&app.push_event("main", digest, at));
        }
        let mut names = builds.clone().map(|digest| {
            app.link(&digest);
            let name = app.build(&digest).expect("a build")["build_tag"].as_str().expect("a tag").to_owned();
            assert_eq!(app.tag(&name), Some(digest), "{name} is on its own build");
            name
        });
        assert!(names[0].ends_with("-a1b2c3d4"), "{names:?}");
        assert!(names[1].ends_with(&builds[1]["sha256:".len()..][..8]), "{names:?}");
        names.sort();
        assert!(names.windows(2).all(|two| two[0] != two[1]), "{names:?}");
    }
}

/// According to the table the build tag is free, but another person has put the tag on an image.
#[test]
fn stablepin_does_not_move_another_persons_build_tag() {
    let app = Plan::new("theirs").tags_are(TagMutability::Immutable).create_with_fakes();
    let at = Timestamp::now();
    let name = format!("production-{}-a1b2c3d4", at.strftime("%Y%m%d-%H%M%S"));
    let spec = |version: &str| Spec::new(version).revision("a1b2c3d4e5f60718293a4b5c6d7e8f9001122334");
    let theirs = app.push("quiet-theirs", &spec("theirs"));
    app.push_image(Some(&name), &stablepin_tests::image(&spec("theirs")));
    let digest = app.push("quiet-ours", &spec("ours"));
    app.deliver(&app.push_event("main", &digest, at));
    app.link(&digest);
    let ours = app.build(&digest).expect("a build")["build_tag"].as_str().expect("a tag").to_owned();
    assert_ne!(ours, name);
    assert_eq!(app.tag(&name), Some(theirs));
    assert_eq!(app.tag(&ours), Some(digest));
}

/// A person puts the numbered stable tag of pin 1 on another image before pin 1 exists.
#[test]
fn promotion_completes_even_if_the_numbered_tag_is_taken() {
    let app = Plan::new("squatted").tags_are(TagMutability::Immutable).create_with_fakes();
    let theirs = app.push("quiet-theirs", &Spec::new("theirs"));
    let first = "prod-stable-000001";
    app.push_image(Some(first), &stablepin_tests::image(&Spec::new("theirs")));
    let digest = app.push("quiet-ours", &Spec::new("ours"));
    app.deliver(&app.push_event("main", &digest, Timestamp::now()));
    let link = app.link(&digest);
    assert_eq!(app.decides(&link, "approve").0, 200);
    app.ticks_until("the end of the promotion and its notice", |app| {
        let operation = app.operation(&format!("PROMOTION#{}", link.promotion()));
        operation["notified"] == json!(["tag-taken"]) && operation["wake_at"].is_null()
    });
    let (state, reason) = app.ended(link.promotion());
    let said = format!("pinned as pin 1; ECR did not accept the tag {first} of pin 1: it is on {theirs}");
    assert!(state == "Completed" && reason.starts_with(&said), "{state}: {reason}");
    let environment = app.environment();
    assert_eq!(
        (&environment["applied"], &environment["tag_taken"]["why"]["on"]),
        (&Value::Null, &json!(theirs))
    );
    assert_eq!(
        (app.pins(), app.tag(first)),
        (vec![(1, digest.clone())], Some(theirs)),
        "Stablepin does not move the taken tag"
    );

    // The numbered stable tag of the next pin is free.
    let next = app.push("quiet-next", &Spec::new("next"));
    app.deliver(&app.push_event("main", &next, Timestamp::now()));
    app.approve(&next);
    assert_eq!(app.tag("prod-stable-000002"), Some(next));
    assert_eq!(app.environment()["tag_taken"], Value::Null);
}

/// Stablepin puts the numbered tag on its pin after a person deletes the tag from the other image.
#[test]
fn stablepin_puts_a_freed_numbered_tag_on_its_pin() {
    let app = Plan::new("freed").tags_are(TagMutability::Immutable).create_with_fakes();
    let first = "prod-stable-000001";
    app.push("quiet-theirs", &Spec::new("theirs"));
    app.push_image(Some(first), &stablepin_tests::image(&Spec::new("theirs")));
    let digest = app.push("quiet-ours", &Spec::new("ours"));
    app.deliver(&app.push_event("main", &digest, Timestamp::now()));
    let link = app.link(&digest);
    assert_eq!(app.decides(&link, "approve").0, 200);
    app.ticks_until("the end of the promotion", |app| {
        app.promotion(link.promotion())["state"] == "Completed"
    });
    app.sweep_with_fakes(None);
    assert!(
        app.tag(first) != Some(digest.clone()) && app.audited("Drift Detected").is_empty(),
        "people already have a notice, so the sweep reports no drift"
    );
    app.web().is_untagged(first);
    app.hears();
    app.sweep_with_fakes(None);
    app.ticks_until("the tag", |app| app.tag(first) == Some(digest.clone()));
    assert_eq!((&app.environment()["applied"], &app.environment()["tag_taken"]), (&json!(1), &Value::Null));
}
