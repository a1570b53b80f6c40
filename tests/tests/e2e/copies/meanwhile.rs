//! Copies during which something else happens to the promotion, to the image, or to one of the
//! repositories.

use std::{mem, thread};

use serde_json::{Value, json};
use stablepin_tests::crash::rollback;
use stablepin_tests::ecr_fake::{Repository, TagMutability};
use stablepin_tests::retention::{Retention, days_ago};
use stablepin_tests::{App, Plan};
use xtask::image::Spec;

use super::{
    application, approve, approved, copies_until_it_ends, copy, copy_to, is_copied, pinned,
    push_index_with_sbom, reason, record, target, target_name,
};

/// Returns the application's file with another repository of production.
fn with_repository(app: &App, repository: &str) -> String {
    app.plan.toml().replace(&target_name(app), repository)
}

#[test]
fn file_that_changes_during_a_copy_begins_another_copy() {
    let (app, image) = approved();
    let former = target(&app);
    let upload = app.ecr().pauses("CompleteLayerUpload");
    thread::scope(|scope| {
        let copying = scope.spawn(|| copy(&app, None));
        upload.comes();
        let other = app.ecr().creates(&format!("{}-new", target_name(&app)), TagMutability::Mutable);
        app.registers(&app.plan.name, &with_repository(&app, other.name()));
        upload.goes_on();
        copying.join().expect("an invocation");
        let ended = copies_until_it_ends(&app);
        assert_eq!(ended["state"], "Completed", "{ended:#}");
        is_copied(&app, &other, &image, "the new repository");
        assert_eq!(other.tag("prod-stable").as_ref(), Some(&image));
    });
    assert_eq!(former.tag("prod-stable"), None, "the former repository gets no stable tag");
}

/// The first invocation goes on although a second one has taken the lease.
#[test]
fn two_invocations_of_one_copy_break_nothing() {
    let (app, image) = approved();
    let target = target(&app);
    let upload = app.ecr().pauses("UploadLayerPart");
    thread::scope(|scope| {
        let slow = scope.spawn(|| copy(&app, None));
        upload.comes();
        app.pauses_end();
        let fast = scope.spawn(|| copy(&app, None));
        upload.goes_on();
        slow.join().expect("an invocation");
        fast.join().expect("an invocation");
    });
    let ended = copies_until_it_ends(&app);
    assert_eq!(ended["state"], "Completed", "{ended:#}");
    assert_eq!(app.pins(), [(1, image.clone())]);
    assert_eq!(target.manifest(&image), app.web().manifest(&image));
    assert_eq!(target.referrers(&image).len(), 1);
}

#[test]
fn rollback_stops_a_copy() {
    let app = application("copy-stop");
    let target = target(&app);
    let good = pinned(&app, "1");
    pinned(&app, "2");
    let image = app.push("main", &Spec::new("3"));
    app.ticks_until("the approver is asked", App::everybody_is_asked);
    approve(&app, &app.link(&image));
    let upload = app.ecr().pauses("UploadLayerPart");
    thread::scope(|scope| {
        let copying = scope.spawn(|| copy(&app, None));
        upload.comes();
        let body = json!({ "to": 1, "confirm": "ROLLBACK", "reason": "500s since 14:30" });
        let answer = app.invoke(None, "rollback", &rollback(&app.plan.name, &body), None).answer;
        assert_eq!(answer.expect("the function was not killed")["statusCode"], 202);
        upload.goes_on();
        copying.join().expect("an invocation");
    });
    app.ticks_until("the promotion's end", |app| record(app)["state"] != "InProgress");
    assert_eq!(record(&app)["state"], "Failed", "{:#}", record(&app));
    assert!(reason(&record(&app)).contains("preempted"), "{:#}", record(&app));
    app.ticks_until("the rollback's end", |app| app.pins().len() == 3);
    assert_eq!(app.pins().pop(), Some((3, good.clone())));
    assert_eq!(target.tag("prod-stable"), Some(good));
}

/// Returns the promotion in an environment.
fn promotion_in(app: &App, environment: &str) -> Value {
    let items = app.items("PROMOTION#");
    let item = items.iter().find(|item| item["record"]["environment"] == environment).expect("a promotion");
    item["record"]["operation"]["work"]["Promotion"].clone()
}

/// The first copy is in the middle of a layer when the second copy begins.
#[test]
fn two_environments_copy_one_image_at_once() {
    let app = application("copy-two");
    let target = target(&app);
    let second = format!(
        "\n[[environment]]\nname = \"europe\"\nstable_tag = \"europe-stable\"\ndeploy = \"never\"\n\
         repository = \"{}\"\napproval = {{ required = 0, approvers = [] }}\n",
        target.name()
    );
    app.registers(&app.plan.name, &format!("{}{second}", app.plan.toml()));
    let image = push_index_with_sbom(&app);
    app.ticks_until("both promotions", |app| app.promotions().len() == 2 && !app.mails("lead").is_empty());
    assert_eq!(app.decides(&app.link(&image), "approve").0, 200);
    let upload = app.ecr().pauses("UploadLayerPart");
    thread::scope(|scope| {
        let first = scope.spawn(|| copy_to(&app, "production", &promotion_in(&app, "production"), None));
        upload.comes();
        copy_to(&app, "europe", &promotion_in(&app, "europe"), None);
        upload.goes_on();
        first.join().expect("an invocation");
    });
    for environment in ["production", "europe"] {
        app.ticks_until("the end", |app| promotion_in(app, environment)["state"] != "InProgress");
        let ended = promotion_in(&app, environment);
        assert_eq!(ended["state"], "Completed", "{ended:#}");
        assert_eq!(ended["copy"]["tries"], 0, "{ended:#}");
    }
    is_copied(&app, &target, &image, "two environments");
    let stable = ["prod-stable", "europe-stable"].map(|tag| target.tag(tag));
    assert_eq!(stable, [Some(image.clone()), Some(image)]);
}

/// Pushes, approves and begins to copy an image index. Runs retention over both repositories when
/// the target has the child images only, and ends the copy. Retention may delete images that are as
/// old as the image. Returns the digest of the image index.
fn copied_during_retention(story: &Retention, target: &Repository, children_are_old: bool) -> String {
    let app = &story.app;
    let image = push_index_with_sbom(app);
    app.ticks_until("the approver is asked", App::everybody_is_asked);
    approve(app, &app.link(&image));
    let grow_old = |repository: &Repository| {
        for digest in repository.digests() {
            repository.is_pushed_at(&digest, days_ago(400));
        }
    };
    grow_old(app.web());
    let mut put = app.ecr().pauses("PutImage");
    thread::scope(|scope| {
        let copying = scope.spawn(|| copy(app, None));
        for _ in ["amd64", "arm64"] {
            put.comes();
            let next = app.ecr().pauses("PutImage");
            mem::replace(&mut put, next).goes_on();
        }
        put.comes();
        assert_eq!(target.count(), 2, "the children, to which nothing in the target refers yet");
        if children_are_old {
            grow_old(target);
        }
        story.begins(&json!({ "share": 100 }));
        let messages = story.messages();
        assert_eq!(messages.len(), 2, "{messages:#?}");
        for message in &messages {
            assert_eq!(story.run_of(message).ends()["state"], "Done");
        }
        put.goes_on();
        copying.join().expect("an invocation");
    });
    assert_eq!(app.web().count(), 4, "the open promotion's image, its children and its SBOM");
    let ended = copies_until_it_ends(app);
    assert_eq!(ended["state"], "Completed", "{ended:#}");
    image
}

/// Returns an application with retention, whose production environment has its own repository.
fn with_retention(story: &str) -> (Retention, Repository) {
    let plan = Plan::new(story);
    let own = format!("repository = \"prod/{}\"", plan.repository);
    let story = Retention::of(plan.with(&own), "mode = \"delete\"\nkeep = 5");
    let target = target(&story.app);
    (story, target)
}

#[test]
fn retention_deletes_nothing_of_a_copy_in_progress() {
    let (story, target) = with_retention("copy-retention");
    let image = copied_during_retention(&story, &target, false);
    is_copied(&story.app, &target, &image, "after retention");
}

/// An earlier copy, which ended without an image index, left the children in the target.
#[test]
fn copy_puts_children_again_that_retention_has_deleted() {
    let (story, target) = with_retention("copy-orphans");
    let image = copied_during_retention(&story, &target, true);
    assert_eq!(target.digests(), story.app.web().digests());
    assert_eq!(target.tag("prod-stable"), Some(image));
}

/// Deletes the target while the copy completes its first layer.
fn target_is_deleted(app: &App) {
    let upload = app.ecr().pauses("CompleteLayerUpload");
    let former = target(app);
    thread::scope(|scope| {
        let copying = scope.spawn(|| copy(app, None));
        upload.comes();
        former.is_deleted();
        upload.goes_on();
        copying.join().expect("an invocation");
    });
}

#[test]
fn copy_begins_again_if_its_target_is_created_anew() {
    let (app, image) = approved();
    target_is_deleted(&app);
    assert_eq!(record(&app)["copy"]["refusals"], 1, "{:#}", record(&app));
    let target = target(&app);
    let ended = copies_until_it_ends(&app);
    assert_eq!(ended["state"], "Completed", "{ended:#}");
    is_copied(&app, &target, &image, "a new target");
}

#[test]
fn copy_fails_if_its_target_is_deleted() {
    let (app, _) = approved();
    target_is_deleted(&app);
    let ended = copies_until_it_ends(&app);
    assert_eq!(ended["state"], "Failed", "{ended:#}");
    assert!(reason(&ended).contains("there is no such repository"), "{ended:#}");
    assert_eq!(app.pins(), []);
}
