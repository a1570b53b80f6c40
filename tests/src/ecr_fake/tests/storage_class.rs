use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::{NewImage, StorageStatus};
use super::{ask, fake, kind};

fn to(class: &str, digest: &str) -> Value {
    json!({ "imageId": { "imageDigest": digest }, "targetStorageClass": class })
}

const UPDATE: &str = "UpdateImageStorageClass";
const NOT_SUPPORTED: &str = "ImageStorageClassUpdateNotSupportedException";

#[test]
fn an_image_is_archived_and_comes_back_after_twenty_minutes() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("main"));
    let answer = ask(&ecr, UPDATE, to("ARCHIVE", &digest));
    assert_eq!(
        (&answer["imageStatus"], &answer["imageId"]["imageDigest"]),
        (&json!("ARCHIVED"), &json!(digest))
    );
    assert!(web.described(&digest)["lastArchivedAt"].is_number());
    assert_eq!(web.tag("main"), Some(digest.clone()), "it keeps its tags");

    ecr.time_passes(SignedDuration::from_hours(1));
    assert_eq!(ask(&ecr, UPDATE, to("STANDARD", &digest))["imageStatus"], "ACTIVATING");
    ecr.time_passes(SignedDuration::from_mins(19));
    assert_eq!(web.status(&digest), Some(StorageStatus::Activating));
    ecr.time_passes(SignedDuration::from_mins(1));
    assert_eq!(web.status(&digest), Some(StorageStatus::Active));
    let shown = web.described(&digest);
    assert!(shown["lastActivatedAt"].as_f64() > shown["lastArchivedAt"].as_f64(), "{shown}");
}

#[test]
fn one_is_named_by_its_tag_too() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("main"));
    let members = json!({ "imageId": { "imageTag": "main" }, "targetStorageClass": "ARCHIVE" });
    assert_eq!(ask(&ecr, UPDATE, members)["imageId"], json!({ "imageDigest": digest, "imageTag": "main" }));
}

#[test]
fn what_is_where_it_should_go_cannot_go_there() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one"));
    assert_eq!(kind(&ecr, UPDATE, to("STANDARD", &digest)), NOT_SUPPORTED);
    ask(&ecr, UPDATE, to("ARCHIVE", &digest));
    assert_eq!(kind(&ecr, UPDATE, to("ARCHIVE", &digest)), NOT_SUPPORTED);
    ask(&ecr, UPDATE, to("STANDARD", &digest));
    for class in ["ARCHIVE", "STANDARD"] {
        assert_eq!(kind(&ecr, UPDATE, to(class, &digest)), NOT_SUPPORTED, "it is on its way");
    }
}

#[test]
fn what_is_in_an_active_index_cannot_go_before_it() {
    let (ecr, web) = fake();
    let index = web.put(NewImage::index_of([NewImage::named("amd64")]));
    let child = web.children(&index)[0].clone();
    assert_eq!(kind(&ecr, UPDATE, to("ARCHIVE", &child)), NOT_SUPPORTED);
    ask(&ecr, UPDATE, to("ARCHIVE", &index));
    assert_eq!(web.status(&child), Some(StorageStatus::Active), "it does not take its children along");
    ask(&ecr, UPDATE, to("ARCHIVE", &child));
}

#[test]
fn what_is_not_there_or_no_class_is_refused() {
    let (ecr, web) = fake();
    let missing = format!("sha256:{}", "0".repeat(64));
    assert_eq!(kind(&ecr, UPDATE, to("ARCHIVE", &missing)), "ImageNotFoundException");
    let digest = web.put(NewImage::named("one"));
    assert_eq!(kind(&ecr, UPDATE, to("GLACIER", &digest)), "InvalidParameterException");
    let without = json!({ "imageId": { "imageDigest": digest } });
    assert_eq!(kind(&ecr, UPDATE, without), "InvalidParameterException");
}

#[test]
fn one_that_is_deleted_meanwhile_does_not_come_back() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one"));
    ask(&ecr, UPDATE, to("ARCHIVE", &digest));
    ask(&ecr, UPDATE, to("STANDARD", &digest));
    web.loses(&digest);
    ecr.events();
    ecr.time_passes(SignedDuration::from_hours(1));
    assert!(!web.exists(&digest) && ecr.events().is_empty());
}
