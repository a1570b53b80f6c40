//! Checks over HTTP that the fake of ECR follows ECR's documented rules.

mod batch_get;
mod bulk;
mod delete;
mod describe;
mod events;
mod layers;
mod pull_times;
mod put_image;
mod referrers;
mod registry;
mod repositories;
mod storage_class;
mod throttle;
mod uploads;
mod wire;

use serde_json::{Value, json};
use xtask::aws::{Aws, AwsError};
use xtask::image::{OciImage, Spec, assemble};

use super::{EcrFake, NewImage, Repository, TagMutability};

fn client(ecr: &EcrFake) -> Aws {
    Aws::new(&ecr.url(), "us-east-1", "AKIAEXAMPLE", "secret")
}

/// Starts a fake with the repository `web`, whose tags are mutable.
fn fake() -> (EcrFake, Repository) {
    let ecr = EcrFake::start();
    let web = ecr.creates("web", TagMutability::Mutable);
    (ecr, web)
}

/// Adds the repository name `web` to the fields of a request.
fn about(members: Value) -> Value {
    let mut body = members;
    body["repositoryName"] = "web".into();
    body
}

#[track_caller]
fn ask(ecr: &EcrFake, operation: &str, members: Value) -> Value {
    client(ecr).ecr(operation, &about(members)).expect("the fake answers")
}

/// Sends a request that ECR refuses. Returns the status, the error type and the message.
#[track_caller]
fn refused(ecr: &EcrFake, operation: &str, members: Value) -> (u16, String, String) {
    match client(ecr).ecr(operation, &about(members)) {
        Err(AwsError::Refused { status, code, message, .. }) => (status, code, message),
        other => panic!("the request is not refused: {other:?}"),
    }
}

/// Sends a request that ECR refuses. Returns the error type.
#[track_caller]
fn kind(ecr: &EcrFake, operation: &str, members: Value) -> String {
    refused(ecr, operation, members).1
}

/// Returns an image that a build could have produced.
fn built(version: &str) -> OciImage {
    assemble(&Spec::new(version), b"never run", "amd64").expect("an image")
}

/// Returns a request that adds a tag to an image. The request contains the manifest's exact bytes,
/// as the requests of Stablepin's Lambda functions do.
fn retag(web: &Repository, digest: &str, tag: &str) -> Value {
    let manifest = web.manifest(digest).expect("the image exists");
    json!({ "imageManifest": manifest, "imageDigest": digest, "imageTag": tag })
}

fn texts(list: &Value, member: &str) -> Vec<String> {
    let all = list.as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().map(|one| one[member].as_str().unwrap_or("-").to_owned()).collect()
}

/// Requests all pages of a list. Returns the items and the number of pages.
#[track_caller]
fn pages(ecr: &EcrFake, operation: &str, members: &Value, list: &str) -> (Vec<Value>, usize) {
    let (mut all, mut count) = (Vec::new(), 0);
    let mut members = members.clone();
    loop {
        let page = ask(ecr, operation, members.clone());
        all.extend(page[list].as_array().cloned().expect("a list"));
        count += 1;
        match page.get("nextToken") {
            None => return (all, count),
            Some(token) => members["nextToken"] = token.clone(),
        }
    }
}

fn named(count: usize) -> impl Iterator<Item = NewImage> {
    (0..count).map(|number| NewImage::named(format!("build {number}")))
}
