//! Rule 8: retention keeps an image in use, however old the image is and whenever its use began.

use std::thread;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stablepin_tests::crash::{decision, promotion};
use stablepin_tests::ecr_fake::{NewImage, StorageStatus};
use stablepin_tests::ecs_fake::Reported;
use stablepin_tests::retention::{Retention, days_ago};
use stablepin_tests::{Link, until};
use xtask::image::Spec;
use xtask::podman::ECR_HOST;

const DELETE: &str = "mode = \"delete\"\nkeep = 5";

/// Returns an image that was pushed 400 days ago and that nothing needs.
fn old(name: &str) -> NewImage {
    NewImage::named(name).pushed_at(days_ago(400))
}

/// Pushes a build as a pipeline does. The time in the tagger's push event is `at`.
#[track_caller]
fn is_pushed(story: &Retention, tag: &str, version: &str, at: Timestamp) -> String {
    let digest = story.app.push_unheard(tag, &Spec::new(version));
    for mut event in story.ecr.events() {
        event["time"] = json!(at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        let answer = story.invoke("tagger", &event);
        assert!(answer["errorMessage"].is_null(), "{event:#}: {answer:#}");
    }
    digest
}

/// Pushes a build, with a push event of 400 days ago. The approver rejects the build.
#[track_caller]
fn was_rejected(story: &Retention, tag: &str, version: &str) -> String {
    let digest = is_pushed(story, tag, version, long_ago());
    decides(story, &story.app.link(&digest), "reject");
    story.app.pauses_end();
    story.app.tick_with_fakes(Some(&story.ecs), None);
    story.web.is_pushed_at(&digest, days_ago(400));
    digest
}

/// Puts as many newer builds into the repository as retention always keeps.
#[track_caller]
fn newer_builds(story: &Retention) {
    for number in 0..5 {
        let tag = format!("production-20261101-00000{number}-a1b2c3d4");
        let digest = story.web.put(NewImage::named(&tag).tag(&tag).pushed_at(days_ago(20)));
        story.is_ours(&tag, &digest);
    }
}

fn long_ago() -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(400 * 24)
}

/// Approves the newest promotion as the lead.
#[track_caller]
fn approves(story: &Retention) {
    let promotions = story.app.promotions();
    let id = promotions.last().and_then(|one| one["id"].as_str()).expect("a promotion");
    let link = until("the mail", || {
        let mails = story.app.mails("lead");
        let link = mails.iter().map(Link::of).find(|link| link.promotion() == id);
        if link.is_none() {
            story.app.pauses_end();
            story.app.tick_with_fakes(Some(&story.ecs), None);
        }
        link
    });
    decides(story, &link, "approve");
}

#[track_caller]
fn decides(story: &Retention, link: &Link, what: &str) {
    let answer = story.invoke("approval", &decision(link, what, "tried it"));
    assert_eq!(answer["statusCode"], 200);
}

#[track_caller]
fn asks_to_promote(story: &Retention, digest: &str) -> (u64, Value) {
    let answer = story.invoke("approval", &promotion(&story.app.plan.name, &json!({ "digest": digest })));
    let body = answer["body"].as_str().and_then(|body| serde_json::from_str(body).ok());
    (answer["statusCode"].as_u64().unwrap_or_default(), body.unwrap_or(answer))
}

fn image(story: &Retention, digest: &str) -> String {
    format!("{ECR_HOST}/{}@{digest}", story.web.name())
}

#[test]
fn retention_does_not_delete_images_in_use() {
    let (story, goes) = survive(DELETE);
    assert_eq!((story.web.count(), story.web.status(&goes)), (3, None));
}

#[test]
fn retention_does_not_archive_images_in_use() {
    let (story, goes) = survive("mode = \"archive\"\nkeep = 5");
    assert_eq!((story.web.count(), story.web.status(&goes)), (4, Some(StorageStatus::Archived)));
    assert_eq!(story.ecr.count("UpdateImageStorageClass"), 1);
}

/// Asserts that retention keeps images in use. Returns the retention under test, and the digest of
/// the one image that retention deletes or archives.
#[track_caller]
fn survive(settings: &str) -> (Retention, String) {
    let story = Retention::begin("ret-needed", settings);
    let pinned = is_pushed(&story, "main", "1", long_ago());
    approves(&story);
    assert_eq!(story.app.pins(), [(1, pinned.clone())]);
    story.web.is_pushed_at(&pinned, days_ago(400));

    let [running, resolved, unneeded] =
        ["running", "resolved", "unneeded"].map(|name| story.web.put(old(name)));
    story.ecs.service("prod/web").runs(&image(&story, &running)).desired(2).create();
    // Only the ECS service revision still names this image: no tag refers to the image, and the
    // tasks ended long ago.
    let named = format!("{ECR_HOST}/{}:release", story.web.name());
    story.ecs.reports(&named, &Reported::Digest(resolved.clone()));
    let idle = story.ecs.service("prod/idle").runs(&named).create();
    idle.scales_to(0);
    (0..5).for_each(|_| story.ecs.advance());
    story.ecs.time_passes(SignedDuration::from_hours(2));
    assert!(idle.tasks().iter().all(|task| task["lastStatus"] != "RUNNING"));

    let run = story.runs();
    assert_eq!(run.in_repository()["state"], "Done", "{:#}", run.record());
    for (digest, rule) in [(&pinned, "pin"), (&running, "in-use"), (&resolved, "in-use"), (&unneeded, "old")]
    {
        assert_eq!(run.rule(digest), rule, "{:#}", run.plan()[digest]);
        assert_eq!(story.web.status(digest) == Some(StorageStatus::Active), rule != "old");
    }
    let why = run.plan()[&resolved]["why"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains("service revision") && why.contains("prod/idle"), "{why}");
    assert_eq!(run.number("deleted") + run.number("archived"), 1);
    (story, unneeded)
}

#[test]
fn retention_keeps_an_image_approved_after_the_plan() {
    let story = Retention::begin("ret-between", DELETE);
    let [wanted, unneeded] =
        [("v1", "1"), ("v2", "2")].map(|(tag, version)| was_rejected(&story, tag, version));
    // ECR does not protect a signature whose image is in use, so retention must keep the signature.
    let [signed, other] =
        [&wanted, &unneeded].map(|of| story.web.put(NewImage::cosign_signature(of).pushed_at(days_ago(400))));
    newer_builds(&story);
    let run = story.begins(&json!({ "share": 100 }));
    thread::scope(|scope| {
        // The repository has no image index. So the run sends its first `BatchGetImage` after the
        // plan, to sum the freed bytes.
        let planned = story.ecr.pauses("BatchGetImage");
        let applies = scope.spawn(|| run.ends());
        planned.comes();
        let (status, answer) = asks_to_promote(&story, &wanted);
        assert_eq!(status, 202, "{answer:#}");
        approves(&story);
        planned.goes_on();
        applies.join().expect("the run ends");
    });
    assert_eq!(run.plan()[&wanted]["action"], "delete", "the plan deletes the image");
    let outcome = &run.outcomes()[&wanted];
    assert_eq!(outcome["outcome"], "skipped", "{outcome}");
    assert!(story.web.exists(&wanted) && !story.web.exists(&unneeded));
    assert!(story.web.exists(&signed) && !story.web.exists(&other));
    assert_eq!(story.app.pins(), [(1, wanted.clone())]);
    assert_eq!(story.web.tag("prod-stable"), Some(wanted));
    assert_eq!((run.number("deleted"), run.number("skipped")), (2, 2));
    assert_eq!(story.marked(), Vec::<String>::new());
}

#[test]
fn retention_keeps_an_image_approved_during_a_deletion() {
    let story = Retention::begin("ret-moment", DELETE);
    let [wanted, goes] = [("v1", "1"), ("v2", "2")].map(|(tag, version)| was_rejected(&story, tag, version));
    newer_builds(&story);
    let (status, answer) = asks_to_promote(&story, &wanted);
    assert_eq!(status, 202, "{answer:#}");
    let run = story.begins(&json!({ "share": 100 }));
    thread::scope(|scope| {
        let deletes = story.ecr.pauses("BatchDeleteImage");
        let applies = scope.spawn(|| run.ends());
        let asked = deletes.comes();
        assert_eq!(asked["imageIds"], json!([{ "imageDigest": goes }]), "the run read the images again");
        let before = story.app.everything();
        let (status, problem) = asks_to_promote(&story, &goes);
        assert_eq!(
            (status, &problem["type"]),
            (409, &json!("urn:stablepin:problem:image-marked-for-deletion")),
            "{problem}"
        );
        assert_eq!(story.app.everything(), before, "the refused request changed nothing");
        approves(&story);
        deletes.goes_on();
        applies.join().expect("the run ends");
    });
    assert!(story.web.exists(&wanted) && !story.web.exists(&goes));
    assert_eq!(story.app.pins(), [(1, wanted.clone())]);
    assert_eq!(run.rule(&wanted), "open");
    assert_eq!((run.number("deleted"), story.marked().len()), (1, 0));
    assert_eq!(story.app.promotions().len(), 3, "no promotion was opened for the deleted image");
}
