//! Pushes, builds and stable tags against a strict ECR fake. The fake enforces limits of ECR that
//! the emulator ignores.

use stablepin_tests::ecr_fake::TagMutability;
use stablepin_tests::{App, Plan, Release};
use xtask::image::Spec;

/// Returns the stable tag of the pin with this number.
fn stable_tag(app: &App, number: u64, moves: bool) -> String {
    let stable = &app.plan.stable_tag;
    if moves { stable.clone() } else { format!("{stable}-{number:06}") }
}

#[track_caller]
fn two_pins(mutability: TagMutability, moves: bool) {
    let app = Plan::new("modes").tags_are(mutability).create_with_fakes();
    let first = app.pin("v1.0.0", &Spec::new("1"));
    let second = app.pin("v1.0.1", &Spec::new("2"));
    assert_eq!(app.pins(), [(1, first.clone()), (2, second.clone())]);
    let (one, two) = (stable_tag(&app, 1, moves), stable_tag(&app, 2, moves));
    assert_eq!(app.tag(&two), Some(second.clone()));
    assert_eq!(app.tag(&one), Some(if moves { second.clone() } else { first.clone() }));
    assert_eq!(app.tag("prod-stable").is_some(), moves);
    let mut expected = ["v1.0.0".to_owned(), app.build_tag(&first)].to_vec();
    expected.extend((!moves).then_some(one));
    expected.sort();
    assert_eq!(app.tags(&first), expected, "the first build keeps its tags");
    assert_eq!(app.tag(&app.build_tag(&second)), Some(second));
    assert_eq!(app.web().count(), 2, "retagging created no other image");
    assert_eq!(app.promotions().len(), 2, "Stablepin's own tags open no promotion");
    assert_eq!(app.environment()["applied"], 2);
}

#[test]
fn stable_tag_moves_to_each_new_pin_in_a_mutable_repository() {
    two_pins(TagMutability::Mutable, true);
}

#[test]
fn each_pin_has_its_own_stable_tag_if_tags_are_immutable() {
    two_pins(TagMutability::Immutable, false);
}

#[test]
fn stable_tag_moves_to_each_new_pin_if_a_filter_permits() {
    two_pins(TagMutability::ImmutableExcept(vec!["latest".to_owned(), "*-stable".to_owned()]), true);
}

#[test]
fn each_pin_has_its_own_stable_tag_if_a_filter_forbids_moves() {
    two_pins(TagMutability::MutableExcept(vec!["prod-*".to_owned()]), false);
}

#[test]
fn pinning_succeeds_although_ecr_throttles_every_tenth_call() {
    let app = Plan::new("throttled").create_with_fakes();
    app.ecr().throttles_every(10);
    let digests = ["1", "2", "3"].map(|version| {
        let digest = app.push("main", &Spec::new(version));
        app.ticks_until("asked", App::everybody_is_asked);
        let (status, page) = app.decides(&app.link(&digest), "approve");
        assert_eq!(status, 200, "{page}");
        app.ticks_until("tagged", |app| {
            let environment = app.environment();
            environment["pin"]["digest"] == *digest && environment["applied"] == environment["pin"]["number"]
        });
        digest
    });
    let throttled = app.ecr().calls().iter().filter(|call| call.status == 400).count();
    assert!(throttled >= 2, "{:?}", app.ecr().counts());
    let pins: Vec<_> = app.pins().into_iter().map(|(_, digest)| digest).collect();
    assert_eq!(pins, digests);
    assert_eq!(app.tag("prod-stable").as_ref(), digests.last());
    for digest in &digests {
        assert_eq!(app.tag(&app.build_tag(digest)).as_ref(), Some(digest));
    }
}

/// The promoter calls the ECR fake and the ECS fake. One counter numbers the requests to the two
/// fakes.
#[test]
fn release_against_the_ecr_and_ecs_fakes_becomes_the_pin() {
    let plan = Plan::new("both").services(["web"]).deployed("bake = \"0s\"");
    let app = plan.tags_are(TagMutability::Immutable).create_with_fakes();
    let before = app.push("quiet", &Spec::new("0"));
    let digest = app.push("v1.0.0", &Spec::new("1"));
    let link = app.link(&digest);
    let release = Release::of(app, &digest, &before, Some(&link)).with(&["web"]);
    let record = release.runs_its_course();
    assert_eq!(record["state"], "Completed", "{record:#}");
    release.runs("web", &digest);
    let app = &release.app;
    assert_eq!(app.pins(), [(1, digest.clone())]);
    assert_eq!(app.tag(&stable_tag(app, 1, false)), Some(digest.clone()));
    assert_eq!(app.tag("production-current"), Some(digest));
    assert_eq!((release.ecs.count("UpdateService"), app.ecr().count("PutImage")), (1, 3));
}
