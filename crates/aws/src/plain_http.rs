//! Unsigned HTTP over the connections that all clients share: presigned downloads, pings, and
//! requests of the registry protocol.

use std::time::Duration;

use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::interceptors::context::{Error, Output};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::ser_de::DeserializeResponse;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::error::metadata::{ErrorMetadata, ProvideErrorMetadata};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use bytes::Bytes;

use crate::failed_call::FailedCall;

/// The longest time to receive a body, counted from the arrival of the headers.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest buffer for a part of a body that is allocated before the part arrives.
const LARGEST_BUFFER: usize = 10 * 1024 * 1024;

#[derive(Debug, Clone)]
pub(crate) struct PlainHttp {
    client: SharedHttpClient,
    timeouts: TimeoutConfig,
    retries: RetryConfig,
}

impl PlainHttp {
    /// Creates the client. The timeouts must equal those of the services' clients, because only
    /// clients with equal timeouts share connections.
    pub(crate) fn new(client: SharedHttpClient, timeouts: TimeoutConfig, retries: RetryConfig) -> Self {
        Self { client, timeouts, retries }
    }

    /// The underlying HTTP client with its shared connections.
    #[cfg(feature = "retention")]
    pub(crate) fn client(&self) -> SharedHttpClient {
        self.client.clone()
    }

    /// Opens a connection and leaves it in the pool. Any response is sufficient.
    pub(crate) async fn ping(&self, base: &str) {
        if let Ok(body) = self.get(base, "/ping", &RetryConfig::disabled()).await {
            // The pool reuses a connection only after the client has read the last response to the
            // end.
            read(body, 64 * 1024).await.ok();
        }
    }

    /// Downloads a body of at most `limit` bytes. Fails if the body is larger. No failure contains
    /// the address, because a presigned address is a credential.
    pub(crate) async fn download(&self, url: &str, limit: usize) -> Result<Vec<u8>, FailedCall> {
        let body = self.body(url).await?;
        tokio::time::timeout(BODY_TIMEOUT, read(body, limit)).await.unwrap_or_else(|_| {
            let why = format!("the transfer took longer than {} s", BODY_TIMEOUT.as_secs());
            Err(FailedCall::unusable(why, true))
        })
    }

    /// Begins to download a body of any size. No failure contains the address.
    pub(crate) async fn stream(&self, url: &str) -> Result<Download, FailedCall> {
        Ok(Download { stream: ByteStream::new(self.body(url).await?), rest: Bytes::new() })
    }

    async fn body(&self, url: &str) -> Result<SdkBody, FailedCall> {
        let invalid = || FailedCall::unusable("the address is not one that can be fetched from", false);
        let scheme = url.find("://").ok_or_else(invalid)? + "://".len();
        let path = scheme + url[scheme..].find('/').ok_or_else(invalid)?;
        let (base, path) = url.split_at(path);
        // The source of a failure may contain the request's debug text, and thereby the address.
        self.get(base, path, &self.retries).await.map_err(FailedCall::without_source)
    }

    /// Sends a `POST` without a body. Returns the status of the response. No failure contains the
    /// authorization.
    pub(crate) async fn post(&self, base: &str, path: &str, authorization: &str) -> Result<u16, FailedCall> {
        let request =
            Sent { method: "POST", path: path.to_owned(), authorization: Some(authorization.to_owned()) };
        let answer = self.send(base, request, &self.retries).await.map_err(FailedCall::without_source)?;
        Ok(answer.status)
    }

    async fn get(&self, base: &str, path: &str, retries: &RetryConfig) -> Result<SdkBody, FailedCall> {
        let request = Sent { method: "GET", path: path.to_owned(), authorization: None };
        Ok(self.send(base, request, retries).await?.body)
    }

    async fn send(&self, base: &str, request: Sent, retries: &RetryConfig) -> Result<Received, FailedCall> {
        let operation = Operation::builder()
            .service_name("http")
            .operation_name(request.method)
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(self.client.clone())
            .endpoint_url(base)
            .no_auth()
            .timeout_config(self.timeouts.clone())
            .standard_retry(retries)
            .retry_classifier(TransientErrorClassifier::<RefusedRequest>::new())
            .retry_classifier(HttpStatusCodeClassifier::default())
            .serializer(|sent: Sent| {
                let mut request = HttpRequest::new(SdkBody::empty());
                request.set_method(sent.method)?;
                request.set_uri(sent.path)?;
                if let Some(authorization) = sent.authorization {
                    request.headers_mut().try_insert("authorization", authorization)?;
                }
                Ok(request)
            })
            .deserializer_impl::<Received, RefusedRequest>(TakeBody)
            .build();
        operation.invoke(request).await.map_err(FailedCall::from)
    }
}

/// A request without a body.
struct Sent {
    method: &'static str,
    path: String,
    authorization: Option<String>,
}

impl std::fmt::Debug for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.method)
    }
}

/// A response with a status that means success.
#[derive(Debug)]
struct Received {
    status: u16,
    body: SdkBody,
}

/// A body that arrives.
pub(crate) struct Download {
    stream: ByteStream,
    /// The bytes that have arrived but did not fit into the last part.
    rest: Bytes,
}

impl Download {
    /// Returns the next bytes: `length` bytes, or fewer at the end of the body. Fails if no bytes
    /// arrive for some seconds.
    pub(crate) async fn part(&mut self, length: u64) -> Result<Vec<u8>, FailedCall> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        // A buffer that grows would need the memory of two buffers when it moves.
        let mut part = Vec::with_capacity(length.min(LARGEST_BUFFER));
        while part.len() < length {
            if self.rest.is_empty() {
                let next = tokio::time::timeout(BODY_TIMEOUT, self.stream.next()).await;
                let stalled = |_| {
                    let why = format!("no bytes arrived for {} s", BODY_TIMEOUT.as_secs());
                    FailedCall::unusable(why, true)
                };
                match next.map_err(stalled)? {
                    Some(chunk) => self.rest = chunk.map_err(FailedCall::broken_off)?,
                    None => break,
                }
                continue;
            }
            let taken = self.rest.split_to(self.rest.len().min(length - part.len()));
            part.extend_from_slice(&taken);
        }
        Ok(part)
    }
}

async fn read(body: SdkBody, limit: usize) -> Result<Vec<u8>, FailedCall> {
    let mut stream = ByteStream::new(body);
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(FailedCall::broken_off)?;
        if bytes.len() + chunk.len() > limit {
            return Err(FailedCall::unusable(format!("there is more of it than {limit} bytes"), false));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// An error response: a response whose status is not a success.
#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct RefusedRequest(ErrorMetadata);

impl ProvideErrorMetadata for RefusedRequest {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

/// A deserializer that returns the unread body, so that the caller can stop reading early.
#[derive(Debug)]
struct TakeBody;

impl DeserializeResponse for TakeBody {
    fn deserialize_streaming_with_config(
        &self,
        response: &mut HttpResponse,
        _: &ConfigBag,
    ) -> Option<Result<Output, OrchestratorError<Error>>> {
        Some(if response.status().is_success() {
            let status = response.status().as_u16();
            Ok(Output::erase(Received { status, body: response.take_body() }))
        } else {
            Err(OrchestratorError::operation(Error::erase(RefusedRequest(ErrorMetadata::default()))))
        })
    }
}
