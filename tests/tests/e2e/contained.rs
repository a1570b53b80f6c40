//! Releases that are pushed as several images: one image for each architecture, and an image index
//! of these images.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use stablepin_tests::ecr_fake::{NewImage, StorageStatus};
use stablepin_tests::{App, Plan};

const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Puts images into the ECR fake without events. Each test delivers its own events.
fn quiet<const N: usize>(app: &App, images: [NewImage; N]) -> [String; N] {
    images.map(|image| app.web().put(image))
}

/// Returns the digest and the state of each promotion, oldest first.
fn ends(app: &App) -> Vec<(String, Value)> {
    let promotions = app.promotions().into_iter();
    promotions
        .map(|one| (one["digest"].as_str().expect("a digest").to_owned(), one["state"].clone()))
        .collect()
}

#[track_caller]
fn asks_for_the_index_only(app: &App, index: &str, images: &[&String]) {
    let ends = ends(app);
    let open: Vec<_> = ends.iter().filter(|(_, state)| state == "Pending").collect();
    assert_eq!(open, [&(index.to_owned(), json!("Pending"))], "{ends:?}");
    for (digest, state) in &ends {
        assert!(digest == index || (images.contains(&digest) && state == "Cancelled"), "{ends:?}");
    }
    app.approve(index);
    assert_eq!(app.pins(), [(1, index.to_owned())]);
}

fn after(seconds: i64) -> Timestamp {
    Timestamp::now() - SignedDuration::from_secs(600) + SignedDuration::from_secs(seconds)
}

#[test]
fn pushed_image_index_cancels_promotions_of_its_images() {
    let app = Plan::new("per-architecture").create_with_fakes();
    let [amd, arm] = quiet(&app, [NewImage::named("amd"), NewImage::named("arm")]);
    let [index] = quiet(&app, [NewImage::index([&amd, &arm])]);
    app.deliver(&app.push_event("main-amd64", &amd, after(0)));
    app.deliver(&app.push_event("main-arm64", &arm, after(1)));
    assert_eq!(app.promotions().len(), 2, "no index is known yet");
    let event = app.push_event("main", &index, after(2));
    app.deliver(&event);
    app.deliver(&event);
    let cancelled = app.audit().into_iter().filter(|record| record["to"] == "Cancelled");
    let reasons: Vec<String> =
        cancelled.map(|record| record["reason"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    let part = format!("part of an image index: main ({index})");
    assert!(reasons.iter().all(|reason| reason.starts_with(&part)), "{reasons:?}");
    asks_for_the_index_only(&app, &index, &[&amd, &arm]);
}

#[test]
fn image_of_a_pushed_image_index_opens_no_promotion() {
    let app = Plan::new("index-first").create_with_fakes();
    let [amd, arm] = quiet(&app, [NewImage::named("amd"), NewImage::named("arm")]);
    let [index] = quiet(&app, [NewImage::index([&amd, &arm])]);
    app.deliver(&app.push_event("main", &index, after(1)));
    // `amd` was pushed before the image index, but the event of `amd` arrives after the event of
    // the image index. `arm` was pushed after the image index.
    app.deliver(&app.push_event("main-amd64", &amd, after(0)));
    app.deliver(&app.push_event("main-arm64", &arm, after(2)));
    assert_eq!(app.promotions().len(), 1);
    assert_eq!(app.mails("lead").len(), 1);
    asks_for_the_index_only(&app, &index, &[]);
}

/// `docker buildx imagetools create` with several image indexes creates an image index of image
/// indexes.
#[test]
fn nested_image_index_cancels_promotions_of_its_images() {
    let app = Plan::new("nested").create_with_fakes();
    let [amd, arm, other] = quiet(&app, ["amd", "arm", "other"].map(NewImage::named));
    let [linux] = quiet(&app, [NewImage::index([&amd, &arm])]);
    let [index] = quiet(&app, [NewImage::index([&linux, &other])]);
    app.deliver(&app.push_event("main-amd64", &amd, after(0)));
    app.deliver(&app.push_event("main-linux", &linux, after(1)));
    assert_eq!(ends(&app).last(), Some(&(linux.clone(), json!("Pending"))));
    app.deliver(&app.push_event("main", &index, after(2)));
    app.deliver(&app.push_event("main-arm64", &arm, after(3)));
    asks_for_the_index_only(&app, &index, &[&amd, &linux]);
}

/// The pushed image index contains two nested image indexes, and the tagger cannot read the first.
/// The tagger still opens a promotion of the pushed image index.
#[test]
fn tagger_handles_a_push_with_an_unreadable_nested_index() {
    let app = Plan::new("unread-index").create_with_fakes();
    let child = app.web().put(NewImage::named("child"));
    let entry = format!(r#"{{"mediaType":"{IMAGE}","digest":"{child}","size":1}}"#);
    let of = |members: &str| format!(r#"{{"mediaType":"{INDEX}","manifests":[{entry}],{members}}}"#);
    let odd = [r#""schemaVersion":3"#, r#""schemaVersion":2,"layers":[]"#];
    let odd = odd.map(|members| app.web().put(NewImage::manifest(of(members), INDEX)));
    let archived = app.web().put(NewImage::index([&child]).status(StorageStatus::Archived));
    let well = app.web().put(NewImage::index_of([NewImage::named("another child")]));
    let refusals = ["AccessDeniedException", "InvalidParameterException"].map(Some);
    let cases = odd.iter().chain([&archived]).map(|unread| (unread, None));
    for (number, (unread, refusal)) in cases.chain(refusals.map(|code| (&well, code))).enumerate() {
        let image = app.web().put(NewImage::named(format!("image {number}")));
        let other = app.web().put(NewImage::index([&image]));
        let index = app.web().put(NewImage::index([unread, &other]));
        if let Some(code) = refusal {
            // The tagger first reads the pushed image index. The second read, that of a nested
            // image index, fails.
            app.ecr().fails("BatchGetImage", 2, 400, code);
        }
        app.deliver(&app.push_event("main", &index, after(0)));
        app.deliver(&app.push_event("main-amd64", &image, after(1)));
        // The validation reads the nested image index again, and fails if that image index is still
        // unreadable.
        let state = if refusal.is_some() { "Pending" } else { "Failed" };
        let newest = ends(&app).into_iter().rfind(|(digest, _)| *digest == index);
        assert_eq!(newest, Some((index, json!(state))), "{unread} {refusal:?}");
        // An index that is not valid does not suppress the promotion of its valid image.
        let of_image = ends(&app).into_iter().rfind(|(digest, _)| *digest == image);
        let wanted = refusal.is_none().then(|| (image, json!("Pending")));
        assert_eq!(of_image, wanted, "{unread} {refusal:?}");
    }
}

/// If ECR returns a temporary error, the tagger fails, so that Lambda retries the whole event.
#[test]
fn lambda_retries_a_push_after_a_failed_image_index_read() {
    let app = Plan::new("unread-now").create_with_fakes();
    let [image] = quiet(&app, [NewImage::named("image")]);
    let [nested] = quiet(&app, [NewImage::index([&image])]);
    let [index] = quiet(&app, [NewImage::index([&nested])]);
    app.ecr().keeps_failing("BatchGetImage", 2, 500, "ServerException");
    let event = app.push_event("main", &index, after(0));
    let answer = app.invoke(None, "tagger", &event, None).answer.expect("the function was not killed");
    assert_eq!(answer["errorMessage"], "the push could not be handled", "{answer}");
    app.ecr().is_well();
    app.deliver(&event);
    app.deliver(&app.push_event("main-amd64", &image, after(1)));
    asks_for_the_index_only(&app, &index, &[]);
}

/// Stablepin refuses the push of the image index while retention deletes that image index. Lambda
/// retries the event of the push.
#[test]
fn image_opens_a_promotion_if_its_index_is_marked_for_deletion() {
    let app = Plan::new("refused-index").create_with_fakes();
    let [image] = quiet(&app, [NewImage::named("image")]);
    let [index] = quiet(&app, [NewImage::index([&image])]);
    app.mark_for_deletion(&index);
    let event = app.push_event("main", &index, after(0));
    let answer = app.invoke(None, "tagger", &event, None).answer.expect("the function was not killed");
    assert!(answer["errorMessage"].is_string(), "{answer}");
    app.deliver(&app.push_event("main-amd64", &image, after(1)));
    assert_eq!(ends(&app), [(image.clone(), json!("Pending"))]);
    app.unmark(&index);
    app.deliver(&event);
    asks_for_the_index_only(&app, &index, &[&image]);
}

#[test]
fn image_opens_a_promotion_if_its_image_index_is_no_build() {
    let plan = Plan::new("left-out-index");
    let file = plan.toml().replace("builds = [", "builds = [\"!main-index\", ");
    let app = plan.create_with_fakes();
    app.registers(&app.plan.name, &file);
    let [image] = quiet(&app, [NewImage::named("image")]);
    let [index] = quiet(&app, [NewImage::index([&image])]);
    app.deliver(&app.push_event("main-index", &index, after(0)));
    app.deliver(&app.push_event("main", &image, after(1)));
    assert_eq!(ends(&app), [(image, json!("Pending"))]);
}

/// An approver rejected the image index, and thereby the whole release.
#[test]
fn image_of_a_rejected_image_index_opens_no_promotion() {
    let app = Plan::new("rejected-index").create_with_fakes();
    let [image] = quiet(&app, [NewImage::named("image")]);
    let [index] = quiet(&app, [NewImage::index([&image])]);
    app.deliver(&app.push_event("main", &index, after(0)));
    assert_eq!(app.decides(&app.link(&index), "reject").0, 200);
    app.deliver(&app.push_event("main-amd64", &image, after(1)));
    assert_eq!(ends(&app), [(index, json!("Cancelled"))]);
}

/// A pushed image index that contains another build must not undo an approver's vote on that build.
#[test]
fn pushed_image_index_does_not_undo_a_vote_on_its_image() {
    let app = Plan::new("hostile-index").approvers(["lead", "second"], 2).create_with_fakes();
    let [victim] = quiet(&app, [NewImage::named("victim")]);
    let [index] = quiet(&app, [NewImage::index([&victim])]);
    app.deliver(&app.push_event("main", &victim, after(0)));
    assert_eq!(app.decides(&app.link(&victim), "approve").0, 200);
    app.deliver(&app.push_event("main-evil", &index, after(1)));
    assert_eq!(ends(&app)[0], (victim.clone(), json!("Pending")));
    assert_eq!(app.decides(&app.link_of("second", &victim), "approve").0, 200);
    assert_eq!(app.pins(), [(1, victim)]);
}

#[test]
fn image_of_an_older_image_index_opens_a_promotion() {
    let app = Plan::new("older-index").create_with_fakes();
    let [image] = quiet(&app, [NewImage::named("image")]);
    let [index] = quiet(&app, [NewImage::index([&image])]);
    app.deliver(&app.push_event("v1", &index, after(0) - SignedDuration::from_hours(2)));
    app.deliver(&app.push_event("main", &image, after(0)));
    assert_eq!(ends(&app).last(), Some(&(image, json!("Pending"))));
}

#[test]
fn tags_excluded_by_the_builds_setting_open_no_promotion() {
    let plan = Plan::new("left-out");
    let file = plan.toml().replace(
        "builds = [\"main\", \"main-*\"",
        "builds = [\"!*-amd64\", \"main\", \"main-*\", \"!main-arm64\"",
    );
    let app = plan.create_with_fakes();
    app.registers(&app.plan.name, &file);
    for (tag, promotions) in [("main-amd64", 0), ("main-arm64", 0), ("main-1a2b3c4", 1), ("main", 2)] {
        let [digest] = quiet(&app, [NewImage::named(tag)]);
        app.deliver(&app.push_event(tag, &digest, Timestamp::now()));
        assert_eq!(app.promotions().len(), promotions, "{tag}");
    }
}
