use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::SignedDuration;
use serde_json::{Value, json};
use xtask::image::{Blob, digest};

use super::super::{EcrFake, Repository, TagMutability};
use super::{about, ask, built, client, fake, kind, refused, texts};

const PART: &str = "UploadLayerPart";
const COMPLETE: &str = "CompleteLayerUpload";

/// Starts a fake whose layer parts have 4 to 10 bytes.
fn small_parts() -> (EcrFake, Repository) {
    let (ecr, web) = fake();
    ecr.has_layer_parts_of(4, 10);
    (ecr, web)
}

#[track_caller]
fn initiate(ecr: &EcrFake) -> String {
    ask(ecr, "InitiateLayerUpload", json!({}))["uploadId"].as_str().expect("an id").to_owned()
}

/// Returns the fields of UploadLayerPart for bytes from the position `first` on.
fn part(id: &str, first: usize, bytes: &[u8]) -> Value {
    json!({
        "uploadId": id, "partFirstByte": first, "partLastByte": first + bytes.len() - 1,
        "layerPartBlob": BASE64_STANDARD.encode(bytes),
    })
}

/// Starts an upload and sends the parts in order. Returns the upload's id.
#[track_caller]
fn upload(ecr: &EcrFake, parts: &[&[u8]]) -> String {
    let (id, mut first) = (initiate(ecr), 0);
    for bytes in parts {
        let answer = ask(ecr, PART, part(&id, first, bytes));
        first += bytes.len();
        assert_eq!(answer["lastByteReceived"], first - 1);
    }
    id
}

fn complete(id: &str, bytes: &[u8]) -> Value {
    json!({ "uploadId": id, "layerDigests": [digest(bytes)] })
}

/// Sends a part that ECR refuses. Returns the whole body of the response.
fn refused_part(ecr: &EcrFake, members: Value) -> Value {
    let headers = [
        ("authorization", "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20260101/us-east-1/ecr/aws4_request"),
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amz-target", "AmazonEC2ContainerRegistry_V20150921.UploadLayerPart"),
    ];
    let (url, body) = (format!("{}/", ecr.url()), about(members).to_string());
    let answer = client(ecr).call_with("POST", &url, &headers, Some(body.as_bytes()), false);
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 400);
    serde_json::from_slice(&answer.body).expect("JSON")
}

#[test]
fn upload_of_all_layers_lets_put_image_add_the_image() {
    let (ecr, web) = fake();
    let image = built("1");
    let blobs: Vec<&Blob> = image.blobs().collect();
    let manifest = json!({ "imageManifest": String::from_utf8_lossy(&image.manifest.bytes) });
    for blob in &blobs {
        assert_eq!(kind(&ecr, "PutImage", manifest.clone()), "LayersNotFoundException");
        let id = upload(&ecr, &[&blob.bytes]);
        assert_eq!(web.layer(&blob.digest), None, "the upload is not complete");
        let answer = ask(&ecr, COMPLETE, complete(&id, &blob.bytes));
        let expected = json!({
            "registryId": "000000000000", "repositoryName": "web", "uploadId": id, "layerDigest": blob.digest,
        });
        assert_eq!(answer, expected);
        assert_eq!(web.layer(&blob.digest), Some(blob.bytes.clone()));
    }
    ask(&ecr, "PutImage", manifest);
    assert_eq!(web.manifest(image.digest()).map(String::into_bytes), Some(image.manifest.bytes.clone()));
    let digests: Vec<_> = blobs.iter().map(|blob| blob.digest.clone()).collect();
    assert_eq!(web.completed_layers(), digests);
    assert_eq!(ecr.count("InitiateLayerUpload"), digests.len());
    for blob in blobs {
        assert_eq!(ecr.registry().blob("web", &blob.digest).expect("an answer"), Some(blob.bytes.clone()));
    }
}

#[test]
fn complete_layer_is_available_before_an_image_has_it() {
    let (ecr, _) = small_parts();
    let id = upload(&ecr, &[b"0123456789", b"abcdefgh", b"x"]);
    let whole = b"0123456789abcdefghx";
    let check = || ask(&ecr, "BatchCheckLayerAvailability", json!({ "layerDigests": [digest(whole)] }));
    assert_eq!(texts(&check()["layers"], "layerAvailability"), ["UNAVAILABLE"]);
    ask(&ecr, COMPLETE, complete(&id, whole));
    assert_eq!(texts(&check()["layers"], "layerAvailability"), ["AVAILABLE"]);
    assert_eq!(check()["layers"][0]["layerSize"], whole.len());
    let download = kind(&ecr, "GetDownloadUrlForLayer", json!({ "layerDigest": digest(whole) }));
    assert_eq!(download, "LayerInaccessibleException");
}

#[test]
fn parts_have_5_to_10_mebibytes_by_default() {
    const MEBIBYTE: usize = 1024 * 1024;
    let (ecr, _) = fake();
    let begun = ask(&ecr, "InitiateLayerUpload", json!({}));
    assert_eq!(begun["partSize"], 10_485_760);
    let id = begun["uploadId"].as_str().expect("an id");
    let bytes = vec![7; 10 * MEBIBYTE + 1];
    assert_eq!(kind(&ecr, PART, part(id, 0, &bytes)), "InvalidLayerPartException");
    ask(&ecr, PART, part(id, 0, &bytes[..10 * MEBIBYTE]));
    for (first_part, expected) in [(5 * MEBIBYTE - 1, "LayerPartTooSmallException"), (5 * MEBIBYTE, "added")]
    {
        let id = upload(&ecr, &[&bytes[..first_part], b"x"]);
        let whole = [&bytes[..first_part], b"x"].concat();
        let answer = client(&ecr).ecr(COMPLETE, &about(complete(&id, &whole)));
        assert_eq!(answer.is_ok(), expected == "added", "{answer:?}");
        assert!(answer.is_ok() || answer.expect_err("it is refused").is(expected));
    }
}

#[test]
fn test_can_change_the_sizes_of_parts() {
    let (ecr, _) = small_parts();
    assert_eq!(ask(&ecr, "InitiateLayerUpload", json!({}))["partSize"], 10);
    let id = upload(&ecr, &[b"0123", b"4567", b"8"]);
    ask(&ecr, COMPLETE, complete(&id, b"012345678"));
    let id = upload(&ecr, &[b"0123", b"456", b"7"]);
    assert_eq!(kind(&ecr, COMPLETE, complete(&id, b"01234567")), "LayerPartTooSmallException");
    assert_eq!(kind(&ecr, PART, part(&initiate(&ecr), 0, b"0123456789a")), "InvalidLayerPartException");
}

#[test]
fn refused_part_reports_the_last_valid_byte() {
    let (ecr, _) = small_parts();
    let id = initiate(&ecr);
    let early = refused_part(&ecr, part(&id, 1, b"x"));
    assert_eq!(early["__type"], "InvalidLayerPartException");
    assert_eq!(early.get("lastValidByteReceived"), None, "ECR has received no byte");
    ask(&ecr, PART, part(&id, 0, b"01234"));
    let mut short = part(&id, 5, b"567");
    short["partLastByte"] = 8.into();
    let mut long = part(&id, 5, b"567");
    long["partLastByte"] = 6.into();
    let mut backwards = part(&id, 5, b"567");
    backwards["partLastByte"] = 4.into();
    for (what, members) in [
        ("a gap", part(&id, 6, b"567")),
        ("an overlap", part(&id, 4, b"567")),
        ("a repetition", part(&id, 0, b"01234")),
        ("too few bytes", short),
        ("too many bytes", long),
        ("a last byte before the first", backwards),
    ] {
        let body = refused_part(&ecr, members);
        assert_eq!(body["__type"], "InvalidLayerPartException", "{what}");
        assert_eq!(body["lastValidByteReceived"], 4, "{what}");
        assert_eq!((&body["uploadId"], &body["repositoryName"]), (&json!(id), &json!("web")), "{what}");
        assert_eq!(body["registryId"], "000000000000", "{what}");
    }
    ask(&ecr, PART, part(&id, 5, b"567"));
    ask(&ecr, COMPLETE, complete(&id, b"01234567"));
}

#[test]
fn complete_layer_upload_refuses_empty_and_wrong_layers() {
    let (ecr, web) = small_parts();
    let id = initiate(&ecr);
    assert_eq!(kind(&ecr, COMPLETE, complete(&id, b"")), "EmptyUploadException");
    ask(&ecr, PART, part(&id, 0, b"bytes"));
    assert_eq!(kind(&ecr, COMPLETE, complete(&id, b"other")), "InvalidLayerException");
    let mut two = complete(&id, b"bytes");
    two["layerDigests"] = json!([digest(b"bytes"), digest(b"other")]);
    assert_eq!(kind(&ecr, COMPLETE, two), "InvalidLayerException");
    assert_eq!((web.layer_bytes(), web.completed_layers().len()), (0, 0));
    ask(&ecr, COMPLETE, complete(&id, b"bytes"));
    assert_eq!(web.completed_layers(), [digest(b"bytes")]);
}

#[test]
fn complete_layer_upload_refuses_existing_layers() {
    let (ecr, web) = small_parts();
    let [first, second] = [(); 2].map(|()| upload(&ecr, &[b"bytes"]));
    ask(&ecr, COMPLETE, complete(&second, b"bytes"));
    assert_eq!(kind(&ecr, COMPLETE, complete(&first, b"bytes")), "LayerAlreadyExistsException");
    assert_eq!(kind(&ecr, COMPLETE, complete(&second, b"bytes")), "UploadNotFoundException");
    assert_eq!(web.completed_layers(), [digest(b"bytes")]);
    let config = built("1").config;
    ecr.registry().put_blob("web", &config).expect("a blob");
    ecr.has_layer_parts_of(1, 10_000);
    let id = upload(&ecr, &[&config.bytes]);
    assert_eq!(kind(&ecr, COMPLETE, complete(&id, &config.bytes)), "LayerAlreadyExistsException");
    assert_eq!(web.completed_layers().len(), 1, "the registry protocol added the other layer");
}

#[test]
fn upload_belongs_to_one_repository() {
    let (ecr, web) = small_parts();
    ecr.creates("other", TagMutability::Mutable);
    let id = upload(&ecr, &[b"bytes"]);
    let elsewhere = |operation: &str, repository: &str, mut members: Value| {
        members["repositoryName"] = repository.into();
        client(&ecr).ecr(operation, &members).expect_err("the upload is not there")
    };
    assert!(elsewhere(PART, "other", part(&id, 5, b"more")).is("UploadNotFoundException"));
    assert!(elsewhere(COMPLETE, "other", complete(&id, b"bytes")).is("UploadNotFoundException"));
    for (operation, members) in [
        ("InitiateLayerUpload", json!({})),
        (PART, part(&id, 5, b"more")),
        (COMPLETE, complete(&id, b"bytes")),
    ] {
        assert!(elsewhere(operation, "none", members).is("RepositoryNotFoundException"), "{operation}");
    }
    web.is_deleted();
    ecr.creates("web", TagMutability::Mutable);
    assert_eq!(kind(&ecr, COMPLETE, complete(&id, b"bytes")), "UploadNotFoundException");
}

#[test]
fn layer_has_at_most_4200_parts() {
    let (ecr, web) = small_parts();
    let id = upload(&ecr, &[b"0123"]);
    web.with(|repository| repository.uploads.get_mut(&id).expect("the upload exists").parts = vec![4; 4199]);
    ask(&ecr, PART, part(&id, 4, b"4567"));
    assert_eq!(kind(&ecr, PART, part(&id, 8, b"8")), "LimitExceededException");
}

#[test]
fn upload_calls_refuse_invalid_fields() {
    let (ecr, _) = small_parts();
    let id = initiate(&ecr);
    let with = |member: &str, value: Value| {
        let mut members = part(&id, 0, b"bytes");
        members[member] = value;
        members
    };
    for (members, expected) in [
        (with("partFirstByte", json!(-1)), "InvalidParameterException"),
        (with("partFirstByte", Value::Null), "InvalidParameterException"),
        (with("partLastByte", json!("4")), "SerializationException"),
        (with("partLastByte", json!(i64::MAX)), "InvalidLayerPartException"),
        (with("layerPartBlob", json!("")), "InvalidParameterException"),
        (with("layerPartBlob", json!("bytes!")), "SerializationException"),
        (with("uploadId", json!("")), "InvalidParameterException"),
        (with("uploadId", json!("unknown")), "UploadNotFoundException"),
    ] {
        assert_eq!(kind(&ecr, PART, members.clone()), expected, "{members}");
    }
    ask(&ecr, PART, part(&id, 0, b"bytes"));
    let many = vec![digest(b"bytes"); 101];
    for digests in [json!([]), json!(["sha256:abc"]), json!(many)] {
        let members = json!({ "uploadId": id, "layerDigests": digests });
        assert_eq!(kind(&ecr, COMPLETE, members), "InvalidParameterException");
    }
    let unknown = with("partNumber", json!(1));
    assert_eq!(refused(&ecr, PART, unknown).0, 501);
    assert_eq!(ecr.surprises().len(), 1);
}

#[test]
fn record_of_a_part_has_its_size_but_no_bytes() {
    let (ecr, _) = fake();
    upload(&ecr, &[&vec![7; 100_000]]);
    let call = ecr.calls().into_iter().find(|call| call.operation == PART).expect("the call");
    assert_eq!((&call.body["partLastByte"], call.body.get("layerPartBlob")), (&json!(99_999), None));
    assert!(call.received > 133_000, "{}", call.received);
}

#[test]
fn ecr_throttles_uploads_at_documented_rates() {
    for (operation, rate) in [("InitiateLayerUpload", 100), (COMPLETE, 100), (PART, 500)] {
        let (ecr, _) = fake();
        ecr.throttles();
        let (client, members) = (client(&ecr), about(json!({ "uploadId": "unknown" })));
        let throttled =
            || client.ecr(operation, &members).is_err_and(|error| error.is("ThrottlingException"));
        assert_eq!((0..=rate).take_while(|_| !throttled()).count(), rate, "{operation}");
        ecr.time_passes(SignedDuration::from_millis(50));
        assert_eq!((0..=rate).take_while(|_| !throttled()).count(), rate / 20, "{operation}");
        ecr.surprises(); // InitiateLayerUpload has no uploadId
    }
}
