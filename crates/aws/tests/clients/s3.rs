use stablepin_aws::s3::{Bucket, S3Error, Stored};
use stablepin_aws::session::Session;

use crate::wire::{Answer, Wire, bytes, chain, s3_error};

const KEY: &str = "plans/prod/web/2026-11-21.json";
/// The SHA-256 of `{}`.
const SHA256: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
const SHA256_BASE64: &str = "RBNvo1WzZ4oRRq0W9+hknpT7T8If536DEMBg9hyq/4o=";

fn bucket(wire: &Wire) -> Bucket {
    Bucket::new(&wire.session(), "plans")
}

fn stored(version: Option<&str>) -> Answer {
    let mut answer = bytes("").header("etag", "\"99914b932bd37a50b983c5e7c90ae93b\"");
    if let Some(version) = version {
        answer = answer.header("x-amz-version-id", version);
    }
    answer
}

#[tokio::test]
async fn bucket_puts_an_object_with_its_hash() {
    let wire = Wire::answering([stored(Some("v1")), stored(None)]);
    let put = bucket(&wire).put(KEY, b"{}".to_vec(), "application/json").await.unwrap();
    let expected = Stored { key: KEY.to_owned(), version: Some("v1".to_owned()), sha256: SHA256.to_owned() };
    assert_eq!(put, expected);
    let put = bucket(&wire).put(KEY, b"{}".to_vec(), "application/json").await.unwrap();
    assert_eq!(put.version, None);

    let requests = wire.requests();
    let request = &requests[0];
    assert_eq!(request.method, "PUT");
    // With a configured endpoint, the path names the bucket.
    assert_eq!(request.path, format!("/plans/{KEY}?x-id=PutObject"));
    assert_eq!(format!("http://{}", request.headers["host"]), wire.url);
    assert_eq!(request.body, "{}", "the body has no chunks and no trailer");
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["x-amz-checksum-sha256"], SHA256_BASE64);
    assert_eq!(request.headers["x-amz-content-sha256"], SHA256, "the signature covers the hash");
    let others = request.headers.keys().filter(|name| name.starts_with("x-amz-checksum-"));
    assert_eq!(others.count(), 1, "there is only one checksum: {:?}", request.headers);
    assert!(!request.headers.contains_key("x-amz-trailer"));
}

#[tokio::test]
async fn missing_object_is_none() {
    let wire = Wire::answering([bytes("{}"), s3_error(404, "NoSuchKey"), s3_error(403, "AccessDenied")]);
    let bucket = bucket(&wire);
    assert_eq!(bucket.get(KEY).await.unwrap().as_deref(), Some(&b"{}"[..]));
    assert_eq!(bucket.get(KEY).await.unwrap(), None);
    let failed = bucket.get(KEY).await.unwrap_err();
    assert!(matches!(failed, S3Error::Call(_)) && !failed.is_retryable());
    let text = chain(&failed);
    assert!(text.starts_with(&format!("could not get {KEY} from the bucket plans (GetObject): ")), "{text}");
    assert!(text.contains("AccessDenied: told by the test (HTTP 403"), "{text}");
    let request = &wire.requests()[0];
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("GET", &*format!("/plans/{KEY}?x-id=GetObject"))
    );
    assert!(
        !request.headers.contains_key("x-amz-checksum-mode"),
        "the SDK must not compute a second checksum"
    );
}

#[tokio::test]
async fn refused_put_returns_the_s3_error() {
    for (status, code, retryable) in [
        (403, "AccessDenied", false),
        (404, "NoSuchBucket", false),
        (400, "BadDigest", false),
        (503, "SlowDown", true),
        (500, "InternalError", true),
    ] {
        let wire = Wire::answering([s3_error(status, code)]);
        let failed = bucket(&wire).put(KEY, b"{}".to_vec(), "application/json").await.unwrap_err();
        assert!(matches!(failed, S3Error::Call(_)), "{failed}");
        assert!(chain(&failed).contains(code), "{}", chain(&failed));
        assert_eq!(failed.is_retryable(), retryable, "{code}");
    }
    let wire = Wire::answering([s3_error(404, "NoSuchBucket")]);
    assert!(bucket(&wire).get(KEY).await.is_err(), "a missing bucket is an error");
}

#[tokio::test]
async fn bucket_retries_failed_put_with_the_same_bytes() {
    let wire = Wire::answering([s3_error(500, "InternalError"), stored(Some("v1"))]);
    let mut settings = wire.settings();
    settings.patient_attempts = 2;
    let bucket = Bucket::new(&Session::new(settings), "plans");
    bucket.put(KEY, b"{}".to_vec(), "application/json").await.unwrap();
    let bodies: Vec<_> = wire.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies, ["{}", "{}"]);
}

#[tokio::test]
async fn bucket_encodes_the_key_in_the_path() {
    let wire = Wire::answering([stored(None)]);
    let key = "plans/a b+c/ö@sha256:00.json";
    bucket(&wire).put(key, Vec::new(), "application/json").await.unwrap();
    let path = wire.request().path;
    assert_eq!(path, "/plans/plans/a%20b%2Bc/%C3%B6%40sha256%3A00.json?x-id=PutObject");
}

#[tokio::test]
async fn client_does_not_send_a_too_large_object() {
    let wire = Wire::answering([]);
    let failed =
        bucket(&wire).put(KEY, vec![b' '; 64 * 1024 * 1024 + 1], "application/json").await.unwrap_err();
    assert!(matches!(failed, S3Error::TooLarge { .. }) && !failed.is_retryable(), "{failed}");
    assert_eq!(wire.requests().len(), 0);
}

#[tokio::test]
async fn client_does_not_read_a_too_large_object() {
    let wire = Wire::answering([bytes(vec![b'x'; 3_000_000]), bytes(vec![b'x'; 64 * 1024 * 1024 + 1])]);
    let bucket = bucket(&wire);
    assert_eq!(bucket.get(KEY).await.unwrap().map(|bytes| bytes.len()), Some(3_000_000));
    let failed = bucket.get(KEY).await.unwrap_err();
    assert!(matches!(failed, S3Error::TooLarge { .. }) && !failed.is_retryable(), "{failed}");
}
