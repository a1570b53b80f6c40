//! HTTP without AWS's signature, over the connections that the doors share: a presigned download, a ping.

use std::convert::Infallible;

use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::interceptors::context::{Error, Output};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::ser_de::DeserializeResponse;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;

use crate::failed_call::FailedCall;

#[derive(Debug, Clone)]
pub(crate) struct PlainHttp {
    client: SharedHttpClient,
    timeouts: TimeoutConfig,
    retries: RetryConfig,
}

/// Why a download gave nothing. Its text never has the address: a presigned one is a credential.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DownloadError {
    #[error("the address is not one that can be fetched from")]
    Address,
    #[error("the download failed")]
    Call(#[source] FailedCall),
    #[error("the download has more than {limit} bytes")]
    TooLarge { limit: usize },
}

impl DownloadError {
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Call(failed) => failed.is_retryable(),
            Self::Address | Self::TooLarge { .. } => false,
        }
    }
}

impl PlainHttp {
    /// The timeouts must be the services': connections are shared only between equal ones.
    pub(crate) fn new(client: SharedHttpClient, timeouts: TimeoutConfig, retries: RetryConfig) -> Self {
        Self { client, timeouts, retries }
    }

    /// Opens a connection and leaves it in the pool. Whatever is answered will do.
    pub(crate) async fn ping(&self, base: String) {
        self.get(base, "/ping".to_owned(), RetryConfig::disabled(), 64 * 1024).await.ok();
    }

    /// The body of a successful answer, never more than `limit` bytes of it in memory.
    pub(crate) async fn download(&self, url: &str, limit: usize) -> Result<Vec<u8>, DownloadError> {
        let at = url.find("://").and_then(|scheme| Some(scheme + 3 + url.get(scheme + 3..)?.find('/')?));
        let (base, path) = at.map(|at| url.split_at(at)).ok_or(DownloadError::Address)?;
        self.get(base.to_owned(), path.to_owned(), self.retries.clone(), limit).await
    }

    async fn get(
        &self,
        base: String,
        path: String,
        retries: RetryConfig,
        limit: usize,
    ) -> Result<Vec<u8>, DownloadError> {
        let operation = Operation::builder()
            .service_name("plain-http")
            .operation_name("Get")
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(self.client.clone())
            .endpoint_url(&base)
            .no_auth()
            .standard_retry(&retries)
            .retry_classifier(aws_smithy_runtime::client::retries::classifiers::HttpStatusCodeClassifier::default())
            .retry_classifier(
                aws_smithy_runtime::client::retries::classifiers::TransientErrorClassifier::<Infallible>::new(),
            )
            .timeout_config(self.timeouts.clone())
            .serializer(|path: String| {
                let mut request = HttpRequest::new(SdkBody::empty());
                request.set_method("GET")?;
                request.set_uri(path)?;
                Ok(request)
            })
            .deserializer_impl::<Answer, Infallible>(TakeBody)
            .build();
        let answer = operation.invoke(path).await.map_err(|error| DownloadError::Call(failed(error)))?;
        if !(200..300).contains(&answer.status) {
            return Err(DownloadError::Call(FailedCall::refused(answer.status, None, None, None)));
        }
        answer.read(limit).await
    }
}

fn failed(error: SdkError<Infallible, HttpResponse>) -> FailedCall {
    let kind = match error {
        SdkError::ServiceError(context) => match *context.err() {},
        other => other,
    };
    FailedCall::without_metadata(kind).without_source()
}
