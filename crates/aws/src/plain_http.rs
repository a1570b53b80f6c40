//! HTTP without AWS's signature, over the connections that the clients share: a presigned download, a ping.

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

use crate::failed_call::FailedCall;

/// For the body, after the headers came.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub(crate) struct PlainHttp {
    client: SharedHttpClient,
    timeouts: TimeoutConfig,
    retries: RetryConfig,
}

/// Why a download gave nothing. Its text never has the address: a presigned one is a credential.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("the address is not one that can be fetched from")]
    Address,
    #[error("the file server did not give it")]
    Get(#[source] FailedCall),
    #[error("the transfer broke off")]
    Body(#[source] aws_smithy_types::byte_stream::error::Error),
    #[error("the transfer took longer than {} s", BODY_TIMEOUT.as_secs())]
    Slow,
    #[error("there is more of it than {limit} bytes")]
    TooLarge { limit: usize },
}

impl DownloadError {
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Get(failed) => failed.is_retryable(),
            Self::Body(_) | Self::Slow => true,
            Self::Address | Self::TooLarge { .. } => false,
        }
    }
}

impl PlainHttp {
    /// The timeouts must be those of the services' clients: the pool is shared only between equal ones.
    pub(crate) fn new(client: SharedHttpClient, timeouts: TimeoutConfig, retries: RetryConfig) -> Self {
        Self { client, timeouts, retries }
    }

    /// What sends requests: its connections are shared.
    #[cfg(feature = "retention")]
    pub(crate) fn client(&self) -> SharedHttpClient {
        self.client.clone()
    }

    /// Opens a connection and leaves it in the pool. Whatever is answered will do.
    pub(crate) async fn ping(&self, base: &str) {
        if let Ok(body) = self.get(base, "/ping", &RetryConfig::disabled()).await {
            // A connection whose answer was not read to its end is not used again.
            read(body, 64 * 1024).await.ok();
        }
    }

    /// The body of a successful answer. No more than `limit` bytes of it are ever in memory.
    pub(crate) async fn download(&self, url: &str, limit: usize) -> Result<Vec<u8>, DownloadError> {
        let scheme = url.find("://").ok_or(DownloadError::Address)? + "://".len();
        let path = scheme + url[scheme..].find('/').ok_or(DownloadError::Address)?;
        let (base, path) = url.split_at(path);
        // What a failure comes from may be a debug text of the request, and so have the address.
        let failed = |failed: FailedCall| DownloadError::Get(failed.without_source());
        let body = self.get(base, path, &self.retries).await.map_err(failed)?;
        tokio::time::timeout(BODY_TIMEOUT, read(body, limit)).await.unwrap_or(Err(DownloadError::Slow))
    }

    async fn get(&self, base: &str, path: &str, retries: &RetryConfig) -> Result<SdkBody, FailedCall> {
        let operation = Operation::builder()
            .service_name("http")
            .operation_name("Get")
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(self.client.clone())
            .endpoint_url(base)
            .no_auth()
            .timeout_config(self.timeouts.clone())
            .standard_retry(retries)
            .retry_classifier(TransientErrorClassifier::<RefusedRequest>::new())
            .retry_classifier(HttpStatusCodeClassifier::default())
            .serializer(|path: String| {
                let mut request = HttpRequest::new(SdkBody::empty());
                request.set_uri(path)?;
                Ok(request)
            })
            .deserializer_impl::<SdkBody, RefusedRequest>(TakeBody)
            .build();
        operation.invoke(path.to_owned()).await.map_err(FailedCall::new)
    }
}

async fn read(body: SdkBody, limit: usize) -> Result<Vec<u8>, DownloadError> {
    let mut stream = ByteStream::new(body);
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(DownloadError::Body)?;
        if bytes.len() + chunk.len() > limit {
            return Err(DownloadError::TooLarge { limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// An answer with another status than success.
#[derive(Debug, thiserror::Error)]
#[error("refused")]
struct RefusedRequest(ErrorMetadata);

impl ProvideErrorMetadata for RefusedRequest {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

/// Hands the body out unread, so that the reader can stop.
#[derive(Debug)]
struct TakeBody;

impl DeserializeResponse for TakeBody {
    fn deserialize_streaming_with_config(
        &self,
        response: &mut HttpResponse,
        _: &ConfigBag,
    ) -> Option<Result<Output, OrchestratorError<Error>>> {
        Some(if response.status().is_success() {
            Ok(Output::erase(response.take_body()))
        } else {
            Err(OrchestratorError::operation(Error::erase(RefusedRequest(ErrorMetadata::default()))))
        })
    }
}
