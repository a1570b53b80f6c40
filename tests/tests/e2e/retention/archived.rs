//! Archived images. In archive mode, retention archives an image before deleting it, so that a
//! person can restore the image for some time.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use serde_json::json;
use stablepin_tests::ecr_fake::{NewImage, StorageStatus};
use stablepin_tests::retention::{Retention, days_ago};
use xtask::podman::ECR_HOST;

const ARCHIVE: &str = "mode = \"archive\"\nkeep = 5\narchive_days = 90";

fn days(days: i64) -> SignedDuration {
    SignedDuration::from_hours(24 * days)
}

/// Begins a test with ECR's clock this many days in the past.
#[track_caller]
fn begin_days_ago(story: &str, ago: i64) -> Retention {
    let story = Retention::begin(story, ARCHIVE);
    story.ecr.time_passes(-days(ago));
    story
}

fn old(name: &str) -> NewImage {
    NewImage::named(name).pushed_at(days_ago(500))
}

#[test]
fn retention_archives_images_then_restores_or_deletes_them() {
    let story = begin_days_ago("ret-archive", 200);
    let web = &story.web;
    let [wanted, unneeded, running] = ["wanted", "unneeded", "running"].map(|name| web.put(old(name)));
    let image = format!("{ECR_HOST}/{}@{running}", web.name());
    story.ecs.service("prod/web").runs(&image).create();
    let status = |digest: &str| web.status(digest);

    let first = story.runs();
    assert_eq!((first.number("archived"), first.number("deleted")), (2, 0), "{:#}", first.record());
    assert_eq!(status(&wanted), Some(StorageStatus::Archived));
    assert_eq!(status(&unneeded), Some(StorageStatus::Archived));
    assert_eq!(status(&running), Some(StorageStatus::Active), "a running image must stay pullable");
    assert_eq!(story.ecr.count("BatchDeleteImage"), 0);
    assert_eq!(story.marked(), Vec::<String>::new());

    // A person needs the archived images after all.
    let back = story.begins_of(&first, "undo");
    back.ends();
    assert_eq!(back.number("restored"), 2, "{:#}", back.record());
    assert_eq!(status(&wanted), Some(StorageStatus::Activating));
    // ECR needs 20 minutes to restore an image. Meanwhile retention does not change the image, and
    // a second restore request succeeds.
    let meanwhile = story.runs();
    assert_eq!((meanwhile.number("archived"), meanwhile.number("deleted")), (0, 0));
    assert_eq!(meanwhile.rule(&wanted), "activating");
    let again = story.begins_of(&first, "undo");
    assert_eq!(again.ends()["state"], "Done");
    story.ecr.time_passes(SignedDuration::from_mins(20));
    assert_eq!(
        (status(&wanted), status(&unneeded)),
        (Some(StorageStatus::Active), Some(StorageStatus::Active))
    );

    // By ECR's clock, the two images were restored 200 days ago, so both count as old again. The
    // new tag protects `wanted`.
    web.is_tagged("latest", &wanted);
    let second = story.runs();
    assert_eq!((second.number("archived"), second.number("deleted")), (1, 0), "{:#}", second.record());
    assert_eq!(
        (status(&wanted), status(&unneeded)),
        (Some(StorageStatus::Active), Some(StorageStatus::Archived))
    );

    let third = story.runs();
    assert_eq!(third.rule(&unneeded), "archived-long-ago");
    assert_eq!((third.number("deleted"), third.number("archived")), (1, 0));
    let there: BTreeSet<String> = web.digests().into_iter().collect();
    assert_eq!(there, [wanted, running].into());
    assert_eq!(story.marked(), Vec::<String>::new());
}

#[test]
fn retention_keeps_an_archived_image_for_archive_days() {
    let story = begin_days_ago("ret-window", 60);
    let image = story.web.put(old("1"));
    assert_eq!(story.runs().number("archived"), 1);
    let run = story.runs();
    assert_eq!((run.number("deleted"), run.rule(&image).as_str()), (0, "archived"));
    assert!(run.plan()[&image]["why"].as_str().unwrap_or_default().contains("can be restored for 90 days"));
    assert_eq!(story.web.status(&image), Some(StorageStatus::Archived));
}

#[test]
fn archived_image_index_is_read_from_its_saved_manifest() {
    let story = begin_days_ago("ret-index", 200);
    let web = &story.web;
    let [amd64, arm64] = ["amd64", "arm64"].map(|name| web.put(old(name)));
    let index = web.put(NewImage::index([&amd64, &arm64]).pushed_at(days_ago(500)));
    let before = web.layer_bytes();
    let first = story.runs();
    assert_eq!(first.number("archived"), 3, "{:#}", first.record());
    for digest in [&index, &amd64, &arm64] {
        assert_eq!(web.status(digest), Some(StorageStatus::Archived));
    }
    let bytes = [&index, &amd64, &arm64].map(|digest| web.manifest(digest).expect("the image exists"));
    story.ecr.forgets_calls();
    let run = story.runs();
    assert_eq!((run.number("deleted"), web.count()), (3, 0), "{:#}", run.record());
    assert_eq!((run.number("freed_bytes"), before - web.layer_bytes()), (before, before));
    assert_eq!(run.in_repository()["freed_is_exact"], true);
    // Retention deletes an image index before the images in that image index.
    let deletes: Vec<_> =
        story.ecr.calls().into_iter().filter(|call| call.operation == "BatchDeleteImage").collect();
    assert_eq!(deletes[0].body["imageIds"], json!([{ "imageDigest": index }]));
    // The first run saved each manifest before archiving the image, because ECR does not return the
    // manifest of an archived image.
    let kept = first.manifests();
    for (digest, bytes) in [&index, &amd64, &arm64].iter().zip(bytes) {
        assert_eq!(kept[*digest].1, bytes);
    }
}

#[test]
fn unreadable_archived_image_index_protects_untagged_images() {
    let story = begin_days_ago("ret-unread", 200);
    let web = &story.web;
    let [child, other] = ["child", "other"].map(|name| web.put(old(name)));
    // Retention always keeps the five newest tagged images, and may archive the sixth.
    web.put_all((0..6).map(|n| old(&format!("tagged {n}")).tag(format!("old-{n}"))));
    let index = web.put(NewImage::index([&child]).pushed_at(days_ago(500)).status(StorageStatus::Archived));
    let run = story.runs();
    assert_eq!(run.in_repository()["state"], "Done", "{:#}", run.record());
    let by_rule = &run.in_repository()["by_rule"];
    assert_eq!((&by_rule["not-understood"], &by_rule["may-be-part"]), (&json!(1), &json!(2)), "{by_rule}");
    for kept in [&child, &other] {
        assert_eq!(web.status(kept), Some(StorageStatus::Active), "the image may be a part of the index");
    }
    assert_eq!(web.status(&index), Some(StorageStatus::Archived));
    assert_eq!(run.number("archived"), 1, "a tagged image is no part: {:#}", run.record());
}

#[test]
fn retention_can_archive_the_images_of_a_dry_run_plan() {
    let story = Retention::begin("ret-chosen", "mode = \"dry-run\"\nkeep = 5");
    let planned = story.web.put_all((0..3).map(|number| old(&format!("{number}"))));
    let plan = story.runs();
    assert_eq!((plan.number("to_remove"), story.changes()), (3, 0), "{:#}", plan.record());
    let other = story.web.put(old("other"));
    story.configures(ARCHIVE);
    let run = story.begins_of(&plan, "apply");
    run.ends();
    assert_eq!((run.number("archived"), run.number("deleted")), (3, 0), "{:#}", run.record());
    assert!(planned.iter().all(|digest| story.web.status(digest) == Some(StorageStatus::Archived)));
    assert_eq!(story.web.status(&other), Some(StorageStatus::Active), "no image is added to the plan");
}

#[test]
fn images_archived_by_a_failed_run_can_be_restored() {
    let story = Retention::begin("ret-half", ARCHIVE);
    let images = story.web.put_all((0..101).map(|number| old(&format!("{number}"))));
    let archived = |status| images.iter().filter(|digest| story.web.status(digest) == Some(status)).count();
    let run = story.begins(&json!({ "share": 100 }));
    story.ecr.keeps_failing("UpdateImageStorageClass", 101, 400, "AccessDeniedException");
    let answer = run.comes(None).answer.expect("the function was not killed");
    assert_eq!(answer["how"], "failed, tried again later");
    assert_eq!((archived(StorageStatus::Archived), run.number("archived")), (100, 100));

    let undo = || story.asks(&run.application, Some((&run.id, "undo")), &json!({}));
    let (status, problem) = undo();
    assert_eq!((status, &problem["type"]), (409, &json!("urn:stablepin:problem:run-not-over")), "{problem}");
    run.comes_the_last_time();
    assert_eq!((&run.in_repository()["state"], archived(StorageStatus::Archived)), (&json!("Failed"), 100));

    story.ecr.is_well();
    let back = story.begins_of(&run, "undo");
    assert_eq!(back.ends()["state"], "Done", "{:#}", back.record());
    assert_eq!((back.number("restored"), archived(StorageStatus::Activating)), (100, 100));
}
