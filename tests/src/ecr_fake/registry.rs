//! The part of the registry protocol that clients use for pushes and pulls.
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html>

use std::str;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use xtask::image::digest;

use super::batch_get::pullable;
use super::by_test::Ecr;
use super::caller::{EcrCaller, caller};
use super::image_id::Id;
use super::images::{Digest, is_digest};
use super::put_image::Put;
use super::world::{EcrCall, EcrWorld};
use crate::server::{Answered, Request};

/// The parsed path of a request.
enum Path<'a> {
    /// The request that checks whether the server supports the protocol.
    Version,
    Uploads(&'a str),
    Upload(&'a str, &'a str),
    Blob(&'a str, &'a str),
    Manifest(&'a str, &'a str),
    Unknown,
}

impl<'a> Path<'a> {
    fn of(path: &'a str) -> Self {
        let Some(rest) = path.strip_prefix("/v2").map(|rest| rest.trim_start_matches('/')) else {
            return Self::Unknown;
        };
        if rest.is_empty() {
            return Self::Version;
        }
        if let Some((name, id)) = rest.rsplit_once("/blobs/uploads/") {
            return if id.is_empty() { Self::Uploads(name) } else { Self::Upload(name, id) };
        }
        if let Some((name, digest)) = rest.rsplit_once("/blobs/") {
            return Self::Blob(name, digest);
        }
        rest.rsplit_once("/manifests/").map_or(Self::Unknown, |(name, of)| Self::Manifest(name, of))
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Version => "v2",
            Self::Uploads(_) | Self::Upload(..) => "uploads",
            Self::Blob(..) => "blobs",
            Self::Manifest(..) => "manifests",
            Self::Unknown => "unknown",
        }
    }
}

pub(super) fn answer(ecr: &Ecr, request: &Request) -> Answered {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let path = Path::of(path);
    let operation = format!("{} {}", request.method, path.kind());
    ecr.pause(&operation, || Value::Null);
    let mut world = ecr.world();
    let answered = if may(&world, request, &path, query) {
        perform(&mut world, request, &path, query)
    } else {
        let challenge = ("www-authenticate", "Basic realm=\"ecr\",service=\"ecr.amazonaws.com\"");
        let mut answered = error(401, "UNAUTHORIZED", "Not Authorized");
        answered.headers.push((challenge.0.to_owned(), challenge.1.to_owned()));
        answered
    };
    let sent = if request.method == "HEAD" { 0 } else { answered.body.len() };
    let (status, received) = (answered.status, request.body.len());
    world.calls.push(EcrCall { operation, body: Value::Null, status, received, sent });
    answered
}

/// Returns whether the request has valid credentials: the user `AWS` with any password, or a signed
/// download URL. The password is a token, which the fake does not check.
fn may(world: &EcrWorld, request: &Request, path: &Path<'_>, query: &str) -> bool {
    if let (Path::Blob(name, digest), Some(signature)) = (path, member(query, "X-Amz-Signature")) {
        return world.presigned.get(&signature).is_some_and(|signed| {
            signed.repository == *name && signed.digest == *digest && signed.until > world.clock.now()
        });
    }
    let basic = request.header("authorization").and_then(|text| text.strip_prefix("Basic "));
    let user = basic.and_then(|text| BASE64_STANDARD.decode(text).ok());
    user.is_some_and(|user| user.starts_with(b"AWS:"))
}

fn perform(world: &mut EcrWorld, request: &Request, path: &Path<'_>, query: &str) -> Answered {
    let name = match path {
        Path::Version => return Answered::new(200, &[], "{}"),
        Path::Unknown => return unknown(world, request),
        Path::Uploads(name) | Path::Upload(name, _) | Path::Blob(name, _) | Path::Manifest(name, _) => *name,
    };
    if !world.repositories.contains_key(name) {
        let message = format!("The repository with name '{name}' does not exist");
        return error(404, "NAME_UNKNOWN", &message);
    }
    match (&*request.method, path) {
        ("HEAD" | "GET", Path::Blob(name, digest)) => blob(world, request, name, digest),
        ("POST", Path::Uploads(name)) => {
            // ECR mounts blobs only in accounts that enable blob mounting. If ECR does not mount
            // the blob, it starts an upload instead.
            // <https://docs.aws.amazon.com/AmazonECR/latest/userguide/blob-mounting.html>
            if let (Some(digest), Some(from)) = (member(query, "mount"), member(query, "from"))
                && world.mount(&digest, &from, name)
            {
                return has_blob(name, &digest);
            }
            let id = world.clock.uuid();
            world.uploads.insert(id.clone(), Vec::new());
            let location = format!("/v2/{name}/blobs/uploads/{id}");
            Answered::new(202, &[("location", &*location), ("range", "0-0")], "")
        }
        ("PATCH" | "PUT", Path::Upload(name, id)) => upload(world, request, name, id, query),
        ("PUT", Path::Manifest(name, reference)) => put(world, request, name, reference),
        ("HEAD" | "GET", Path::Manifest(name, reference)) => {
            manifest(world, request, name, reference, &caller(request))
        }
        _ => unknown(world, request),
    }
}

fn unknown(world: &mut EcrWorld, request: &Request) -> Answered {
    let message = format!("the fake does not know {} {}", request.method, request.target);
    world.surprises.push(message.clone());
    error(501, "UNSUPPORTED", &message)
}

/// Sends a blob. ECR instead redirects the client to S3. If all images with a layer are archived,
/// the fake reports the layer as missing.
fn blob(world: &mut EcrWorld, request: &Request, name: &str, digest: &str) -> Answered {
    let layer = world.repositories[name].layers.get(digest);
    let Some(layer) = layer.filter(|layer| layer.images == 0 || layer.not_archived > 0) else {
        return error(404, "BLOB_UNKNOWN", "blob unknown to registry");
    };
    let headers = [("docker-content-digest", digest), ("content-type", "application/octet-stream")];
    match &layer.bytes {
        Some(bytes) => Answered::new(200, &headers, bytes.to_vec()),
        None if request.method == "HEAD" => Answered::new(200, &headers, ""),
        None => unknown(world, request), // the test has added this layer without bytes
    }
}

fn upload(world: &mut EcrWorld, request: &Request, name: &str, id: &str, query: &str) -> Answered {
    let Some(bytes) = world.uploads.get_mut(id) else {
        return error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry");
    };
    bytes.extend_from_slice(&request.body);
    if request.method == "PATCH" {
        let range = format!("0-{}", bytes.len().saturating_sub(1));
        let location = format!("/v2/{name}/blobs/uploads/{id}");
        return Answered::new(202, &[("location", &*location), ("range", &*range)], "");
    }
    let bytes = world.uploads.remove(id).unwrap_or_default();
    let computed = digest(&bytes);
    if member(query, "digest").as_ref() != Some(&computed) {
        return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content");
    }
    let repository = world.repositories.get_mut(name).expect("the caller has found the repository");
    let answered = has_blob(name, &computed);
    repository.add_layer(computed.into(), bytes.len() as u64, Some(bytes.into()));
    answered
}

/// Returns the response that the repository now has a blob.
fn has_blob(name: &str, digest: &str) -> Answered {
    let location = format!("/v2/{name}/blobs/{digest}");
    Answered::new(201, &[("location", &*location), ("docker-content-digest", digest)], "")
}

/// Stores a manifest. Translates PutImage's errors to the codes of the registry protocol. A push of
/// an existing image succeeds.
fn put(world: &mut EcrWorld, request: &Request, name: &str, reference: &str) -> Answered {
    let Ok(bytes) = str::from_utf8(&request.body) else {
        return error(400, "MANIFEST_INVALID", "the manifest is no text");
    };
    let by_digest = is_digest(reference);
    let put = Put {
        bytes,
        media_type: request.header("content-type"),
        tag: (!by_digest).then_some(reference),
        digest: by_digest.then_some(reference),
    };
    let computed = digest(bytes.as_bytes());
    match world.put(name, &put) {
        Err(refused) if refused.kind != "ImageAlreadyExistsException" => {
            let (status, code) = match &*refused.kind {
                "ImageTagAlreadyExistsException" => (400, "TAG_INVALID"),
                "ImageDigestDoesNotMatchException" => (400, "DIGEST_INVALID"),
                "LayersNotFoundException" => (404, "BLOB_UNKNOWN"),
                "ReferencedImagesNotFoundException" => (404, "MANIFEST_BLOB_UNKNOWN"),
                _ => (400, "MANIFEST_INVALID"),
            };
            error(status, code, &refused.message)
        }
        Ok(_) | Err(_) => {
            let location = format!("/v2/{name}/manifests/{computed}");
            let headers = [("location", &*location), ("docker-content-digest", &*computed)];
            Answered::new(201, &headers, "")
        }
    }
}

/// Sends a manifest. Assumption: a HEAD request is not a pull.
fn manifest(
    world: &mut EcrWorld,
    request: &Request,
    name: &str,
    reference: &str,
    caller: &EcrCaller,
) -> Answered {
    let id = if is_digest(reference) {
        Id { value: &Value::Null, digest: Some(reference), tag: None }
    } else {
        Id { value: &Value::Null, digest: None, tag: Some(reference) }
    };
    let accepted: Vec<&str> = request
        .header("accept")
        .into_iter()
        .flat_map(|text| text.split(','))
        .map(|kind| kind.split(';').next().unwrap_or_default().trim())
        .filter(|kind| *kind != "*/*")
        .collect();
    let repository = &world.repositories[name];
    let found = id.find(repository).and_then(|digest| pullable(&repository.images[&digest], &accepted));
    let Ok(image) = found else {
        return error(404, "MANIFEST_UNKNOWN", "Requested image not found");
    };
    let headers = [("content-type", &*image.media_type), ("docker-content-digest", &*image.digest)];
    let answered = Answered::new(200, &headers, image.bytes.as_bytes());
    let digest = Digest::clone(&image.digest);
    if request.method == "GET" {
        world.pulled(name, &digest, caller);
    }
    answered
}

fn error(status: u16, code: &str, message: &str) -> Answered {
    let body = json!({ "errors": [{ "code": code, "message": message }] }).to_string();
    Answered::new(status, &[("content-type", "application/json")], body)
}

fn member(query: &str, name: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.split_once('=').filter(|(its, _)| *its == name));
    value.map(|(_, value)| percent_decode_str(value).decode_utf8_lossy().into_owned())
}
