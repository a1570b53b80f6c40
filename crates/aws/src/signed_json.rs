//! Signed calls of JSON services, without their SDKs. Retention reads a few lists from four
//! services. The SDKs of these services would not fit into retention's zip file.

use std::fmt;
use std::sync::Arc;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_runtime::retries::classifiers::AwsErrorCodeClassifier;
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::{HttpStatusCodeClassifier, TransientErrorClassifier};
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::auth::{
    AuthSchemeOptionResolverParams, SharedAuthScheme, SharedAuthSchemeOptionResolver,
};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::identity::SharedIdentityResolver;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_types::error::metadata::{ErrorMetadata, ProvideErrorMetadata};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SigningName;
use aws_types::region::{Region, SigningRegion};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::call::{Call, CallError};
use crate::failed_call::FailedCall;
use crate::pages::Pages;

/// The most pages that one list may have: enough for 100,000 items, ten times an account's usual
/// quota.
const MOST_PAGES: usize = 1000;

/// Returns an empty value if the resource was deleted after it was listed.
pub(crate) fn unless_deleted<T: Default>(answer: Result<T, CallError>, code: &str) -> Result<T, CallError> {
    match answer {
        Err(failed) if failed.code() == Some(code) => Ok(T::default()),
        other => other,
    }
}

/// A request to one operation.
#[derive(Debug, Clone)]
pub(crate) struct JsonCall {
    /// The path with its query.
    path: String,
    sends: Sends,
}

#[derive(Debug, Clone)]
enum Sends {
    Nothing,
    /// A JSON body. In the JSON 1.1 protocol, `target` is the header that names the operation.
    Json {
        target: Option<&'static str>,
        body: String,
    },
}

impl JsonCall {
    /// Creates a `GET` request. Encodes the parts of the path and the values of the query.
    pub(crate) fn get(path: &[&str], query: &[(&str, Option<&str>)]) -> Self {
        let mut all = String::new();
        for part in path {
            all.push('/');
            encode(part, &mut all);
        }
        let mut separator = '?';
        for (name, value) in query.iter().filter_map(|(name, value)| Some((name, (*value)?))) {
            all.push(separator);
            all.push_str(name);
            all.push('=');
            encode(value, &mut all);
            separator = '&';
        }
        Self { path: all, sends: Sends::Nothing }
    }

    /// Creates a `POST` request with a JSON body.
    pub(crate) fn post(path: &str, body: &Value) -> Self {
        let sends = Sends::Json { target: None, body: body.to_string() };
        Self { path: path.to_owned(), sends }
    }

    /// Creates a request of the JSON 1.1 protocol. `target` names the service and its operation.
    pub(crate) fn json_1_1(target: &'static str, body: &Value) -> Self {
        let sends = Sends::Json { target: Some(target), body: body.to_string() };
        Self { path: "/".to_owned(), sends }
    }

    fn request(self) -> Result<HttpRequest, aws_smithy_runtime_api::box_error::BoxError> {
        let Self { path, sends } = self;
        let mut request = match sends {
            Sends::Nothing => HttpRequest::new(SdkBody::empty()),
            Sends::Json { target, body } => {
                let mut request = HttpRequest::new(SdkBody::from(body));
                request.set_method("POST")?;
                let headers = request.headers_mut();
                match target {
                    None => drop(headers.insert("content-type", "application/json")),
                    Some(target) => {
                        headers.insert("content-type", "application/x-amz-json-1.1");
                        headers.insert("x-amz-target", target);
                    }
                }
                request
            }
        };
        request.set_uri(path)?;
        Ok(request)
    }
}

/// Percent-encodes everything except the unreserved characters.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                into.push(char::from(byte))
            }
            _ => into.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// The settings for calling one service.
pub(crate) struct Reached {
    /// The service's name in its ARNs and in the scope of a signature.
    pub(crate) service: &'static str,
    pub(crate) url: String,
    pub(crate) region: String,
    pub(crate) credentials: SharedCredentialsProvider,
    pub(crate) http: SharedHttpClient,
    pub(crate) timeouts: TimeoutConfig,
    pub(crate) retries: RetryConfig,
}

/// A client of one service.
#[derive(Clone)]
pub(crate) struct SignedJson {
    operation: Arc<Operation<JsonCall, Vec<u8>, Refused>>,
}

impl fmt::Debug for SignedJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SignedJson")
    }
}

impl SignedJson {
    pub(crate) fn new(reached: Reached) -> Self {
        let mut auth = Layer::new("auth");
        auth.store_put(AuthSchemeOptionResolverParams::new(()));
        auth.store_put(SigV4OperationSigningConfig {
            region: Some(SigningRegion::from(Region::new(reached.region))),
            name: Some(SigningName::from_static(reached.service)),
            ..SigV4OperationSigningConfig::default()
        });
        let components = RuntimeComponentsBuilder::new("auth")
            .with_auth_scheme(SharedAuthScheme::new(SigV4AuthScheme::new()))
            .with_auth_scheme_option_resolver(Some(SharedAuthSchemeOptionResolver::new(
                StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID]),
            )))
            .with_identity_cache(Some(IdentityCache::no_cache()))
            .with_identity_resolver(SCHEME_ID, SharedIdentityResolver::new(reached.credentials));
        let auth = StaticRuntimePlugin::new().with_config(auth.freeze()).with_runtime_components(components);
        let operation = Operation::builder()
            .service_name(reached.service)
            .operation_name("Read")
            .behavior_version(BehaviorVersion::v2026_01_12())
            .http_client(reached.http)
            .endpoint_url(&reached.url)
            .timeout_config(reached.timeouts)
            .standard_retry(&reached.retries)
            .retry_classifier(TransientErrorClassifier::<Refused>::new())
            .retry_classifier(AwsErrorCodeClassifier::<Refused>::new())
            .retry_classifier(HttpStatusCodeClassifier::default())
            .runtime_plugin(auth)
            .serializer(JsonCall::request)
            .deserializer(read)
            .build();
        Self { operation: Arc::new(operation) }
    }

    /// Sends one request and returns the parsed response.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        call: &Call,
        request: JsonCall,
    ) -> Result<T, CallError> {
        let bytes = self.operation.invoke(request).await.map_err(|error| call.failed(error))?;
        serde_json::from_slice(&bytes).map_err(|error| call.failed(FailedCall::unreadable(error)))
    }

    /// Returns every item of a list, page by page. `request` creates the request for a page token.
    /// `page` splits a response into its items and the token of the next page.
    pub(crate) async fn list<P: DeserializeOwned, T>(
        &self,
        call: &Call,
        request: impl Fn(Option<&str>) -> JsonCall,
        page: impl Fn(P) -> (Vec<T>, Option<String>),
    ) -> Result<Vec<T>, CallError> {
        let (mut all, mut pages) = (Vec::new(), Pages::at_most(MOST_PAGES));
        loop {
            let (items, next) = page(self.call(call, request(pages.token().as_deref())).await?);
            all.extend(items);
            if !pages.follows(call, next.as_deref())? {
                return Ok(all);
            }
        }
    }
}

fn read(response: &HttpResponse) -> Result<Vec<u8>, OrchestratorError<Refused>> {
    let body = response.body().bytes().unwrap_or_default();
    if response.status().is_success() {
        return Ok(body.to_vec());
    }
    let said: Said = serde_json::from_slice(body).unwrap_or_default();
    let code = response.headers().get("x-amzn-errortype").map(str::to_owned).or(said.kind).or(said.code);
    let mut error = ErrorMetadata::builder();
    if let Some(code) = code.as_deref().and_then(name) {
        error = error.code(code);
    }
    if let Some(message) = said.message.or(said.capital_message) {
        error = error.message(message);
    }
    Err(OrchestratorError::operation(Refused(error.build())))
}

/// Returns the bare error name: `ThrottlingException` for
/// `aws.events#ThrottlingException:http://…`.
fn name(code: &str) -> Option<&str> {
    let code = code.split(':').next()?;
    code.rsplit('#').next().filter(|name| !name.is_empty())
}

/// The error body of the JSON protocols.
#[derive(Default, Deserialize)]
struct Said {
    #[serde(rename = "__type")]
    kind: Option<String>,
    code: Option<String>,
    message: Option<String>,
    #[serde(rename = "Message")]
    capital_message: Option<String>,
}

/// An error response: a response whose status is not a success.
#[derive(Debug, thiserror::Error)]
#[error("refused")]
pub(crate) struct Refused(ErrorMetadata);

impl ProvideErrorMetadata for Refused {
    fn meta(&self) -> &ErrorMetadata {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn get_request_encodes_values_and_omits_unset_values() {
        let call = JsonCall::get(&["schedules", "a b"], &[("groupName", Some("x/y&z")), ("NextToken", None)]);
        assert_eq!(call.path, "/schedules/a%20b?groupName=x%2Fy%26z");
    }

    #[test]
    fn error_code_omits_namespace_and_url() {
        assert_eq!(name("aws.events#ThrottlingException:http://internal"), Some("ThrottlingException"));
        assert_eq!(name("AccessDeniedException"), Some("AccessDeniedException"));
        assert_eq!(name(""), None);
    }
}
