//! Retention plans: what a plan contains, and what retention does when it applies a plan.

use std::collections::BTreeSet;
use std::thread;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stablepin_tests::ecr_fake::{NewImage, PushedAt};
use stablepin_tests::retention::{Retention, days_ago};
use stablepin_tests::sources_fake::{cluster, task_definition};

const DELETE: &str = "mode = \"delete\"\nkeep = 5";

fn old(name: &str) -> NewImage {
    NewImage::named(name).pushed_at(days_ago(400))
}

/// Returns unneeded images. Each image is a day younger than the image before it.
fn olds(count: i64) -> impl Iterator<Item = NewImage> {
    (0..count).map(|n| NewImage::named(format!("old {n}")).pushed_at(days_ago(1000 - n)))
}

#[test]
fn applied_plan_skips_changed_images_and_adds_no_image() {
    let story = Retention::begin("ret-saved", DELETE);
    let web = &story.web;
    let [goes, tagged, lost, deployed] =
        ["goes", "tagged", "lost", "deployed"].map(|name| web.put(old(name)));
    let plan = story.begins(&json!({ "share": 100, "dry_run": true }));
    assert_eq!(plan.ends()["state"], "Done");
    assert_eq!((plan.number("to_remove"), plan.number("deleted"), story.changes()), (4, 0, 0));
    let saved = plan.plan();

    web.is_tagged("somebody-needs-it", &tagged);
    web.loses(&lost);
    let image = format!("{}/{}@{deployed}", xtask::podman::ECR_HOST, web.name());
    story.ecs.service("prod/web").runs(&image).create();
    let late = web.put(old("late"));

    let run = story.begins_of(&plan, "apply");
    assert_eq!(run.ends()["state"], "Done", "{:#}", run.record());
    assert_eq!((run.number("deleted"), run.number("skipped")), (1, 3), "{:#}", run.in_repository());
    let there: BTreeSet<String> = web.digests().into_iter().collect();
    assert_eq!(there, [tagged.clone(), deployed.clone(), late].into());
    assert_eq!(run.plan(), saved, "the run applies the saved plan");
    let outcomes = run.outcomes();
    let why = |digest: &str| outcomes[digest]["why"].as_str().unwrap_or_default().to_owned();
    assert_eq!(outcomes[&goes]["outcome"], "deleted");
    assert_eq!(why(&tagged), "its tags have changed");
    assert_eq!(why(&lost), "no longer exists");
    assert!(why(&deployed).contains("in use by"), "{}", why(&deployed));
    assert_eq!(story.marked(), Vec::<String>::new());
}

#[test]
fn retention_does_not_apply_a_forged_plan() {
    let story = Retention::begin("ret-forged", DELETE);
    let image = story.web.put(old("1"));
    for forged in [true, false] {
        let plan = story.begins(&json!({ "dry_run": true }));
        plan.ends();
        let key = plan.in_repository()["plan"]["key"].as_str().expect("a plan").to_owned();
        let text = String::from_utf8(story.object(&key)).expect("a plan is text");
        story
            .overwrites(&key, &if forged { text.replace("\"delete\"", "\"keep\"") } else { "{}".to_owned() });
        let run = story.begins_of(&plan, "apply");
        assert_eq!(run.ends()["state"], "Failed");
        assert!(run.problem().contains("is not the one that was kept there"), "{}", run.problem());
        assert!(story.web.exists(&image) && story.changes() == 0);
    }
    assert_eq!(story.app.retention_leases(), Vec::<Value>::new(), "the repository is free for other runs");
}

#[test]
fn run_deletes_a_fifth_of_the_images_and_counts_the_rest() {
    let story = Retention::begin("ret-share", DELETE);
    let digests = story.web.put_all(olds(20));
    let run = story.begins(&json!({}));
    run.ends();
    let recorded = ["images", "to_remove", "deleted", "later"].map(|name| run.number(name));
    assert_eq!(recorded, [20, 4, 4, 16], "{:#}", run.in_repository());
    let there: BTreeSet<String> = story.web.digests().into_iter().collect();
    assert_eq!(there, digests[4..].iter().cloned().collect());
    assert_eq!(run.in_repository()["by_rule"], json!({ "over-share": 16 }));
    assert_eq!(story.runs().number("deleted"), 16, "a share of 100 deletes the rest");
    assert_eq!(story.web.count(), 0);
}

#[test]
fn dry_run_is_the_default_and_deletes_nothing() {
    let story = Retention::begin("ret-dry", "");
    story.web.put_all(olds(10));
    let (status, problem) =
        story.asks(&story.app.plan.name, None, &json!({ "dry_run": false, "share": 100 }));
    assert_eq!((status, &problem["type"]), (409, &json!("urn:stablepin:problem:dry-run")), "{problem}");
    let run = story.runs();
    assert_eq!((run.number("to_remove"), run.number("deleted")), (10, 0), "{:#}", run.in_repository());
    assert_eq!(run.number("freed_bytes"), story.web.layer_bytes());
    assert_eq!((story.web.count(), story.changes()), (10, 0));
    assert_eq!(story.app.marks(), Vec::<Value>::new());

    // A run begins in delete mode. The application file then changes to dry-run, so the run deletes
    // nothing.
    story.configures(DELETE);
    let run = story.begins(&json!({ "share": 100 }));
    story.configures("mode = \"dry-run\"");
    assert_eq!(run.ends()["state"], "LeftAlone");
    assert_eq!((story.web.count(), story.changes()), (10, 0));
}

#[test]
fn repository_shared_with_another_account_needs_a_waiver() {
    let story = Retention::begin("ret-policy", DELETE);
    story.web.put_all(olds(3));
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::111122223333:root" },
        "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
    }] });
    story.web.has_policy(Some(&policy.to_string()));
    story.web.has_lifecycle_policy(Some("{\"rules\":[]}"));
    let run = story.runs();
    assert_eq!(run.in_repository()["state"], "LeftAlone");
    let problem = run.problem();
    assert!(problem.contains("lets 111122223333 pull") && problem.contains("retention.waive"), "{problem}");
    assert_eq!((story.web.count(), story.changes()), (3, 0));
    assert_eq!(run.number("to_remove"), 3, "the run still makes a plan");
    let warnings = run.in_repository()["warnings"].to_string();
    assert!(warnings.contains("lifecycle policy"), "{warnings}");

    story.configures(&format!("{DELETE}\nwaive = [\"111122223333\"]"));
    assert_eq!((story.runs().number("deleted"), story.web.count()), (3, 0));
}

#[test]
fn retention_keeps_images_of_eventbridge_rules_and_schedules() {
    let story = Retention::begin("ret-started", DELETE);
    let images = story.web.put_all((0..8).map(|n| old(&format!("{n}"))));
    let register = |digest: &String| {
        let image = format!("{}/{}@{digest}", xtask::podman::ECR_HOST, story.web.name());
        let containers = json!([{ "name": "main", "image": image, "memory": 64 }]);
        story.ecs.registers(&json!({ "family": "nightly-report", "containerDefinitions": containers }))
    };
    story.ecs.cluster("prod");
    images.iter().take(6).for_each(|digest| drop(register(digest)));
    let runs = |revision: u8| {
        let definition = task_definition(&format!("nightly-report:{revision}"));
        json!({ "Arn": cluster("prod"), "EcsParameters": { "TaskDefinitionArn": definition } })
    };
    story.sources.rule("default", "night", json!([runs(1)]));
    story.sources.schedule("noon", runs(2));
    let image = format!("{}/{}@{}", xtask::podman::ECR_HOST, story.web.name(), images[6]);
    story.sources.job_definition("etl", 1, json!({ "containerProperties": { "image": image } }));
    let run = story.runs();
    let plan = run.plan();
    assert_eq!(run.number("deleted"), 2, "the images of revision 3 and of no source: {plan:#?}");
    let kept = |n: usize| story.web.exists(&images[n]);
    assert_eq!((0..8).map(kept).collect::<Vec<_>>(), [true, true, false, true, true, true, true, false]);
    let why = plan[&images[0]]["why"].as_str().unwrap_or_default();
    assert_eq!(why, "in use by the rule night, task definition nightly-report:1");

    story.sources.refuses("DescribeJobDefinitions", 403, "AccessDeniedException");
    let run = story.runs();
    assert_eq!(run.in_repository()["state"], "LeftAlone");
    assert!(run.problem().contains("waive = [\"batch\"]"), "{}", run.problem());
    story.configures(&format!("{DELETE}\nwaive = [\"batch\"]"));
    let run = story.runs();
    assert_eq!((run.number("deleted"), kept(6)), (1, false));
    assert_eq!(run.in_repository()["waived"], json!(["batch"]));
    let audit = story.app.audit();
    let recorded = audit.last().expect("the run is audited")["reason"].as_str().unwrap_or_default();
    assert!(recorded.contains("waived, not read: batch"), "{recorded}");
}

#[test]
fn run_counts_a_refused_deletion_and_removes_the_mark() {
    let story = Retention::begin("ret-codes", DELETE);
    let web = &story.web;
    let [referred, goes] = ["referred", "goes"].map(|name| web.put(old(name)));
    let run = story.begins(&json!({ "share": 100 }));
    let index = thread::scope(|scope| {
        let deletes = story.ecr.pauses("BatchDeleteImage");
        let applies = scope.spawn(|| run.ends());
        deletes.comes();
        let index = web.put(NewImage::index([&referred]).tag("quiet"));
        deletes.goes_on();
        applies.join().expect("the run ends");
        index
    });
    let recorded = run.in_repository();
    assert_eq!(recorded["errors"], json!({ "ImageReferencedByManifestList": 1 }), "{recorded:#}");
    assert_eq!((run.number("deleted"), run.record()["ended_at"].is_string()), (1, true));
    assert_eq!(run.outcomes()[&referred]["code"], "ImageReferencedByManifestList");
    assert!(web.exists(&referred) && web.exists(&index) && !web.exists(&goes));
    assert_eq!(story.marked(), Vec::<String>::new());
    assert_eq!(story.runs().rule(&referred), "part-of-kept");
}

#[test]
fn retention_saves_manifests_before_it_deletes_images() {
    let story = Retention::begin("ret-bytes", DELETE);
    let web = &story.web;
    let image = web.put(old("image").tag("feature-1").label("team", "a \"quoted\" \u{e9}"));
    let index = web.put(NewImage::index([&image]).pushed_at(days_ago(400)));
    let sbom = web.put(NewImage::referrer(&image, "application/spdx+json").pushed_at(days_ago(400)));
    let newer = (0..5).map(|n| NewImage::named(format!("newer {n}")).tag(format!("n{n}")));
    web.put_all(newer);
    let before: Vec<_> = [&image, &index, &sbom].map(|digest| (digest.clone(), web.manifest(digest))).into();
    let freed = web.layer_bytes();
    let run = story.runs();
    assert_eq!((run.number("deleted"), web.count()), (3, 5), "{:#}", run.plan()[&image]);
    assert_eq!(run.number("freed_bytes"), freed - web.layer_bytes());
    let kept = run.manifests();
    for (digest, bytes) in before {
        assert_eq!(Some(&kept[&digest].1), bytes.as_ref());
        assert_eq!(xtask::image::digest(kept[&digest].1.as_bytes()), digest);
    }
    assert_eq!(kept[&index].0, "application/vnd.oci.image.index.v1+json");
}

#[test]
fn retention_keeps_an_image_with_an_impossible_push_time() {
    let story = Retention::begin("ret-times", DELETE);
    let web = &story.web;
    let at = |name: &str, at: PushedAt| web.put(NewImage::named(name).pushed_at(at));
    let none = at("none", PushedAt::Nothing);
    let negative = at("negative", PushedAt::Seconds(-1e18));
    let endless = at("endless", PushedAt::Seconds(1e18));
    let future = at("future", PushedAt::At(Timestamp::now() + SignedDuration::from_hours(24 * 30)));
    let tags = (0..1_000).map(|n| format!("feature-{n:04}"));
    let many = web.put(tags.fold(old("many"), NewImage::tag));
    let newer = (0..5).map(|n| NewImage::named(format!("newer {n}")).tag(format!("n{n}")));
    web.put_all(newer);
    let run = story.runs();
    assert_eq!(run.in_repository()["state"], "Done", "{:#}", run.in_repository());
    for (digest, rule) in
        [(&none, "no-time"), (&negative, "no-time"), (&endless, "no-time"), (&future, "future")]
    {
        assert_eq!(run.rule(digest), rule, "{:#}", run.plan()[digest]);
        assert!(web.exists(digest));
        assert!(!run.plan()[digest]["why"].as_str().unwrap_or_default().is_empty());
    }
    assert_eq!(run.plan()[&many]["tags"].as_array().map(Vec::len), Some(1_000));
    assert!(!web.exists(&many), "its tags had not changed since the plan");
    assert_eq!(run.number("deleted"), 1);
}

#[test]
fn retention_removes_an_expired_backup_tag() {
    let story = Retention::begin("ret-untag", &format!("{DELETE}\nbackup_days = 30"));
    let (build, backup, recent) = (
        "production-20261101-000000-a1b2c3d4",
        "production-rollback-20260901-000000",
        "production-rollback-20261115-000000",
    );
    let digest =
        story.web.put(NewImage::named("1").tag(build).tag(backup).tag(recent).pushed_at(days_ago(20)));
    for tag in [build, backup, recent] {
        story.is_ours(tag, &digest);
    }
    let run = story.runs();
    assert_eq!((run.number("untagged"), run.number("deleted")), (1, 0), "{:#}", run.in_repository());
    assert_eq!(story.web.tags(&digest), [build, recent]);
}
