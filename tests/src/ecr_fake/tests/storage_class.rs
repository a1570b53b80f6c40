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
fn restore_from_archive_takes_20_minutes() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("main"));
    let answer = ask(&ecr, UPDATE, to("ARCHIVE", &digest));
    assert_eq!(
        (&answer["imageStatus"], &answer["imageId"]["imageDigest"]),
        (&json!("ARCHIVED"), &json!(digest))
    );
    assert!(web.described(&digest)["lastArchivedAt"].is_number());
    assert_eq!(web.tag("main"), Some(digest.clone()), "an archived image keeps its tags");

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
fn request_may_identify_the_image_by_tag() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").tag("main"));
    let members = json!({ "imageId": { "imageTag": "main" }, "targetStorageClass": "ARCHIVE" });
    assert_eq!(ask(&ecr, UPDATE, members)["imageId"], json!({ "imageDigest": digest, "imageTag": "main" }));
}

#[test]
fn ecr_refuses_a_change_to_the_same_storage_class() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one"));
    assert_eq!(kind(&ecr, UPDATE, to("STANDARD", &digest)), NOT_SUPPORTED);
    ask(&ecr, UPDATE, to("ARCHIVE", &digest));
    assert_eq!(kind(&ecr, UPDATE, to("ARCHIVE", &digest)), NOT_SUPPORTED);
    ask(&ecr, UPDATE, to("STANDARD", &digest));
    for class in ["ARCHIVE", "STANDARD"] {
        assert_eq!(kind(&ecr, UPDATE, to(class, &digest)), NOT_SUPPORTED, "the image is being restored");
    }
}

#[test]
fn ecr_archives_no_child_of_an_active_image_index() {
    let (ecr, web) = fake();
    let index = web.put(NewImage::index_of([NewImage::named("amd64")]));
    let child = web.children(&index)[0].clone();
    assert_eq!(kind(&ecr, UPDATE, to("ARCHIVE", &child)), NOT_SUPPORTED);
    ask(&ecr, UPDATE, to("ARCHIVE", &index));
    assert_eq!(web.status(&child), Some(StorageStatus::Active), "the children stay active");
    ask(&ecr, UPDATE, to("ARCHIVE", &child));
}

#[test]
fn ecr_refuses_a_missing_image_and_an_unknown_storage_class() {
    let (ecr, web) = fake();
    let missing = format!("sha256:{}", "0".repeat(64));
    assert_eq!(kind(&ecr, UPDATE, to("ARCHIVE", &missing)), "ImageNotFoundException");
    let digest = web.put(NewImage::named("one"));
    assert_eq!(kind(&ecr, UPDATE, to("GLACIER", &digest)), "InvalidParameterException");
    let without = json!({ "imageId": { "imageDigest": digest } });
    assert_eq!(kind(&ecr, UPDATE, without), "InvalidParameterException");
}

#[test]
fn restore_does_not_recreate_an_image_deleted_meanwhile() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one"));
    ask(&ecr, UPDATE, to("ARCHIVE", &digest));
    ask(&ecr, UPDATE, to("STANDARD", &digest));
    web.loses(&digest);
    ecr.events();
    ecr.time_passes(SignedDuration::from_hours(1));
    assert!(!web.exists(&digest) && ecr.events().is_empty());
}
