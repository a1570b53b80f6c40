use jiff::SignedDuration;
use serde_json::{Value, json};
use xtask::image::index;

use super::super::NewImage;
use super::{ask, built, fake, retag};

const PUSH: &str = include_str!("../../../../xtask/samples/ecr-image-push.json");
const CHILD: &str = include_str!("../../../../xtask/samples/ecr-image-push-untagged.json");
const DELETE: &str = include_str!("../../../../xtask/samples/ecr-image-delete.json");

/// Returns the event with the same placeholder for every text, so that only its structure remains.
fn shape(event: &Value) -> Value {
    match event {
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        Value::String(_) => "text".into(),
        other => other.clone(),
    }
}

#[track_caller]
fn is_shaped_like(event: &Value, sample: &str) {
    let sample: Value = serde_json::from_str(sample).expect("JSON");
    assert_eq!(shape(event), shape(&sample));
    for fixed in ["detail-type", "source"] {
        assert_eq!(event[fixed], sample[fixed]);
    }
    assert_eq!(event["detail"]["action-type"], sample["detail"]["action-type"]);
}

/// Returns the action and the tag of each event.
fn summaries(events: &[Value]) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    events
        .iter()
        .map(|event| (text(&event["detail"]["action-type"]), text(&event["detail"]["image-tag"])))
        .collect()
}

fn is(action: &str, tag: &str) -> (String, String) {
    (action.to_owned(), tag.to_owned())
}

#[test]
fn ecr_sends_a_push_event_per_manifest_and_per_tag() {
    let (ecr, web) = fake();
    let index = index(vec![built("1"), built("2")]).expect("an index");
    ecr.registry().push_index("web", Some("main"), &index).expect("a push");
    let events = ecr.events();
    assert_eq!(summaries(&events), [is("PUSH", ""), is("PUSH", ""), is("PUSH", "main")]);
    is_shaped_like(&events[0], CHILD);
    assert_eq!(events[2]["detail"]["image-digest"], index.digest());
    assert_eq!(events[2]["detail"]["manifest-media-type"], "application/vnd.oci.image.index.v1+json");

    ask(&ecr, "PutImage", retag(&web, built("1").digest(), "prod-stable"));
    let events = ecr.events();
    assert_eq!(
        summaries(&events),
        [is("PUSH", "prod-stable")],
        "a tag that our functions put is also a push"
    );
    is_shaped_like(&events[0], PUSH);
    assert_eq!(ecr.events().len(), 0, "events are returned only once");
}

#[test]
fn ecr_sends_a_delete_event_per_deleted_tag() {
    let (ecr, web) = fake();
    let one = web.put(NewImage::named("one").tag("a").tag("b").tag("c"));
    let two = web.put(NewImage::named("two"));
    ask(
        &ecr,
        "BatchDeleteImage",
        json!({
            "imageIds": [{ "imageTag": "a" }, { "imageDigest": one }, { "imageDigest": two }, { "imageTag": "none" }],
        }),
    );
    let events = ecr.events();
    assert_eq!(
        summaries(&events),
        [is("DELETE", "a"), is("DELETE", "b"), is("DELETE", "c"), is("DELETE", "")]
    );
    events.iter().for_each(|event| is_shaped_like(event, DELETE));
}

#[test]
fn ecr_sends_an_event_after_an_archive_and_after_a_restore() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("main"));
    let to = |class: &str| json!({ "imageId": { "imageDigest": digest }, "targetStorageClass": class });
    ask(&ecr, "UpdateImageStorageClass", to("ARCHIVE"));
    ask(&ecr, "UpdateImageStorageClass", to("STANDARD"));
    let events = ecr.events();
    assert_eq!(summaries(&events), [is("UPDATE_STORAGE_CLASS", "-")]);
    assert_eq!(events[0]["detail"]["target-storage-class"], "ARCHIVE");
    ecr.time_passes(SignedDuration::from_mins(20));
    let event = ecr.events().pop().expect("an event");
    assert_eq!(event["detail"]["target-storage-class"], "STANDARD");
    assert!(event["detail"]["last-activated-at"].is_string(), "{event}");
}

#[test]
fn event_of_a_referrer_has_its_own_detail_type() {
    let (ecr, web) = fake();
    let subject = web.put(NewImage::named("one"));
    let sbom = web.put(NewImage::referrer(&subject, "application/spdx+json"));
    web.is_tagged("sbom", &sbom);
    let event = ecr.events().pop().expect("an event");
    assert_eq!(event["detail-type"], "ECR Referrer Action");
    assert_eq!(event["detail"]["artifact-media-type"], "application/spdx+json");
}

#[test]
fn ecr_sends_events_for_changes_but_not_for_test_setup() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("main").tag("v1"));
    web.put_all(super::named(10));
    assert_eq!(ecr.events().len(), 0);
    web.is_tagged("v2", &digest).is_untagged("main").loses(&digest);
    assert_eq!(
        summaries(&ecr.events()),
        [is("PUSH", "v2"), is("DELETE", "main"), is("DELETE", "v1"), is("DELETE", "v2")]
    );
}
