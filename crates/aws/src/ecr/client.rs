//! The ECR client, with four policies for retries and time limits.

use aws_sdk_ecr::Client;

use crate::plain_http::PlainHttp;
use crate::session::Session;

/// A client of the private registry of the session's account and region.
#[derive(Debug, Clone)]
pub struct Ecr {
    pub(super) client: Client,
    pub(super) http: PlainHttp,
}

impl Ecr {
    pub fn new(session: &Session) -> Self {
        Self { client: session.ecr(), http: session.plain_http() }
    }

    /// Creates a client that slows down when ECR throttles one of the client's calls (adaptive
    /// retry), and makes up to eight attempts within two minutes. ECR's limits for DescribeImages,
    /// BatchDeleteImage and UpdateImageStorageClass are low, and ECR does not publish them.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
    pub fn patient(session: &Session) -> Self {
        Self { client: session.patient_ecr(), http: session.plain_http() }
    }

    /// Creates a client that copies images. Its calls may take longer, because they contain parts
    /// of layers.
    pub fn copying(session: &Session) -> Self {
        Self { client: session.copying_ecr(), http: session.plain_http() }
    }

    /// Creates a client that makes only one attempt per call. Retention deletes and archives images
    /// with this client, because a late retry would act on an outdated check.
    pub fn impatient(session: &Session) -> Self {
        Self { client: session.impatient_ecr(), http: session.plain_http() }
    }
}
