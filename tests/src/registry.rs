//! Pushes images to the local cloud's ECR over the registry protocol, as `docker push` does.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md>

use anyhow::{Context as _, Result, bail, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use xtask::{
    aws::{Problem, Response, agent, encode, request},
    image::{Blob, OciImage, OciIndex, digest},
};

/// A registry on loopback, with a user's credentials.
pub struct Registry {
    http: ureq::Agent,
    /// The base URL, such as `http://localhost:4566`.
    base: String,
    authorization: String,
}

/// A manifest as the registry stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub digest: String,
    pub media_type: String,
    pub bytes: Vec<u8>,
}

/// Pushes `image` as `repository:tag`. Returns the image's digest.
pub fn push(registry: &Registry, repository: &str, tag: &str, image: &OciImage) -> Result<String> {
    registry.push(repository, Some(tag), image)
}

impl Registry {
    /// Creates a client of a registry host, for example `localhost:4566`. ECR accepts the user
    /// `AWS` with a token as password. The local cloud accepts any user and password.
    pub fn new(host: &str, user: &str, password: &str) -> Self {
        Self {
            http: agent(),
            // The emulator listens on IPv4 only, and `localhost` may mean ::1 first.
            base: format!("http://{}", host.replacen("localhost:", "127.0.0.1:", 1)),
            authorization: format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))),
        }
    }

    /// Pushes an image. Returns the image's digest. Without a tag, only the digest names the image.
    pub fn push(&self, repository: &str, tag: Option<&str>, image: &OciImage) -> Result<String> {
        for blob in image.blobs() {
            self.put_blob(repository, blob)?;
        }
        self.put_manifest(repository, tag, &image.manifest)
    }

    /// Pushes an image index after its images, as buildx does. The images stay untagged.
    pub fn push_index(&self, repository: &str, tag: Option<&str>, index: &OciIndex) -> Result<String> {
        for child in &index.children {
            self.push(repository, None, child)?;
        }
        self.put_manifest(repository, tag, &index.manifest)
    }

    /// Uploads a blob if the repository does not have the blob yet.
    pub fn put_blob(&self, repository: &str, blob: &Blob) -> Result<()> {
        let path = format!("/v2/{repository}/blobs/{}", blob.digest);
        match self.send("HEAD", &path, &[], None)?.status {
            200 => return Ok(()),
            404 => {}
            status => bail!("HEAD {path}: the registry answered {status}"),
        }
        let start = self.expect(202, "POST", &format!("/v2/{repository}/blobs/uploads/"), &[], Some(b""))?;
        let location = start.header("location").context("the registry named no place to upload to")?;
        let location = location.strip_prefix(&self.base).unwrap_or(location);
        ensure!(location.starts_with('/'), "the registry wants the upload elsewhere: {location}");
        let question = if location.contains('?') { '&' } else { '?' };
        let path = format!("{location}{question}digest={}", encode(&blob.digest));
        self.expect(201, "PUT", &path, &[("content-type", "application/octet-stream")], Some(&blob.bytes))?;
        Ok(())
    }

    /// Puts a manifest of any content under a tag, or under its own digest.
    pub fn put_manifest(&self, repository: &str, tag: Option<&str>, manifest: &Blob) -> Result<String> {
        let path = format!("/v2/{repository}/manifests/{}", tag.unwrap_or(&manifest.digest));
        let headers = [("content-type", manifest.media_type.as_str())];
        let answer = self.expect(201, "PUT", &path, &headers, Some(&manifest.bytes))?;
        let theirs = answer.header("docker-content-digest").context("the registry named no digest")?;
        ensure!(
            theirs == manifest.digest,
            "{repository}: pushed {}, and the registry calls it {theirs}",
            manifest.digest
        );
        Ok(manifest.digest.clone())
    }

    /// Returns the manifest under a tag or a digest, or `None` if it does not exist.
    pub fn manifest(&self, repository: &str, reference: &str) -> Result<Option<Manifest>> {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let accept = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                      application/vnd.docker.distribution.manifest.list.v2+json, \
                      application/vnd.docker.distribution.manifest.v2+json";
        let answer = self.send("GET", &path, &[("accept", accept)], None)?;
        match answer.status {
            404 => return Ok(None),
            200 => {}
            status => bail!("GET {path}: the registry answered {status}: {}", answer.text()),
        }
        let media_type = answer.header("content-type").unwrap_or_default().to_owned();
        Ok(Some(Manifest { digest: digest(&answer.body), media_type, bytes: answer.body }))
    }

    /// Returns the bytes of a blob, or `None` if the blob does not exist.
    pub fn blob(&self, repository: &str, digest: &str) -> Result<Option<Vec<u8>>> {
        let path = format!("/v2/{repository}/blobs/{digest}");
        let answer = self.send("GET", &path, &[], None)?;
        match answer.status {
            404 => Ok(None),
            200 => Ok(Some(answer.body)),
            status => bail!("GET {path}: the registry answered {status}"),
        }
    }

    fn expect(
        &self,
        status: u16,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Response> {
        let answer = self.send(method, path, headers, body)?;
        ensure!(
            answer.status == status,
            "{method} {path}: the registry answered {}, not {status}: {}",
            answer.status,
            answer.text()
        );
        Ok(answer)
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Result<Response> {
        let url = format!("{}{path}", self.base);
        let mut sent = vec![("authorization".to_owned(), self.authorization.clone())];
        sent.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        request(&self.http, method, &url, &sent, body)
            .map_err(|problem| match problem {
                Problem::Build(error) => anyhow::Error::from(error),
                Problem::Http(error) => anyhow::Error::from(error),
            })
            .with_context(|| format!("{method} {url}"))
    }
}
