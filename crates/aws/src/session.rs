//! The session that all clients of a process share: region, credentials, connections, timeouts and
//! retries.
//!
//! This package does not use `aws-config`, because a Lambda function gets all settings in
//! environment variables. With `aws-config`, every Lambda function would be larger and start later,
//! because it would contain STS, profiles and instance roles.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::retries::RetryPartition;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::region::Region;

use crate::plain_http::PlainHttp;

/// The longest time to connect, including the TLS handshake. The value is the SDK's default, and
/// lets TCP send a lost SYN again after 1 s and after 3 s.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3100);
/// The longest time for one attempt, from the first byte sent to the last byte read. DynamoDB and
/// ECR respond within tens of milliseconds, UpdateService within about a second.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time for a call with all its attempts and pauses. A lease lasts longer than this, so
/// no client retries a call after the caller has lost the lease.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);
/// The most attempts of a call: the first attempt and three retries.
const ATTEMPTS: u32 = 4;
/// The longest time for one attempt of a patient client. Patient clients read pages of 1,000
/// images. Such a page has almost a megabyte.
const PATIENT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// The longest time for a call of a patient client, with all its attempts and pauses. The pauses
/// between eight attempts take at most 71 s.
pub const PATIENT_OPERATION_TIMEOUT: Duration = Duration::from_secs(120);
const PATIENT_ATTEMPTS: u32 = 8;
/// The longest time for one attempt of a call that copies images. A part of a layer has 10 MiB. ECR
/// hashes a whole layer, which may have many gigabytes, before it answers CompleteLayerUpload.
const COPY_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest time for a call that copies images, with all its attempts and pauses.
const COPY_OPERATION_TIMEOUT: Duration = Duration::from_secs(240);
/// The longest time that the start of a process waits until connections are warm.
const WARM_TIMEOUT: Duration = Duration::from_secs(1);

/// The AWS services that have a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    DynamoDb,
    Ecr,
    Ecs,
    Elb,
    EventBridge,
    Lambda,
    S3,
    Sns,
    Sqs,
    #[cfg(feature = "retention")]
    Batch,
    #[cfg(feature = "retention")]
    Pipes,
    #[cfg(feature = "retention")]
    Scheduler,
}

impl Service {
    const ALL: &[Self] = &[
        Self::DynamoDb,
        Self::Ecr,
        Self::Ecs,
        Self::Elb,
        Self::EventBridge,
        Self::Lambda,
        Self::S3,
        Self::Sns,
        Self::Sqs,
        #[cfg(feature = "retention")]
        Self::Batch,
        #[cfg(feature = "retention")]
        Self::Pipes,
        #[cfg(feature = "retention")]
        Self::Scheduler,
    ];

    /// The environment variable that sets another endpoint for this service.
    /// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>
    fn endpoint_variable(self) -> &'static str {
        match self {
            Self::DynamoDb => "AWS_ENDPOINT_URL_DYNAMODB",
            Self::Ecr => "AWS_ENDPOINT_URL_ECR",
            Self::Ecs => "AWS_ENDPOINT_URL_ECS",
            Self::Elb => "AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2",
            Self::EventBridge => "AWS_ENDPOINT_URL_EVENTBRIDGE",
            Self::Lambda => "AWS_ENDPOINT_URL_LAMBDA",
            Self::S3 => "AWS_ENDPOINT_URL_S3",
            Self::Sns => "AWS_ENDPOINT_URL_SNS",
            Self::Sqs => "AWS_ENDPOINT_URL_SQS",
            #[cfg(feature = "retention")]
            Self::Batch => "AWS_ENDPOINT_URL_BATCH",
            #[cfg(feature = "retention")]
            Self::Pipes => "AWS_ENDPOINT_URL_PIPES",
            #[cfg(feature = "retention")]
            Self::Scheduler => "AWS_ENDPOINT_URL_SCHEDULER",
        }
    }

    /// The first part of the service's host name in a region.
    /// <https://docs.aws.amazon.com/general/latest/gr/aws-service-information.html>
    fn host(self) -> &'static str {
        match self {
            Self::DynamoDb => "dynamodb",
            Self::Ecr => "api.ecr",
            Self::Ecs => "ecs",
            Self::Elb => "elasticloadbalancing",
            Self::EventBridge => "events",
            Self::Lambda => "lambda",
            Self::S3 => "s3",
            Self::Sns => "sns",
            Self::Sqs => "sqs",
            #[cfg(feature = "retention")]
            Self::Batch => "batch",
            #[cfg(feature = "retention")]
            Self::Pipes => "pipes",
            #[cfg(feature = "retention")]
            Self::Scheduler => "scheduler",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    #[error("the environment variable {0} is not set; in a Lambda function it always is, elsewhere set it")]
    NotSet(&'static str),
}

/// The settings of a session.
#[derive(Debug, Clone)]
pub struct Settings {
    pub region: String,
    /// The credentials of the process. The session does not renew them: Lambda replaces the
    /// execution environment before the credentials expire.
    pub credentials: Credentials,
    /// The endpoint of every service that is not in `endpoints`. `None` means AWS's endpoints.
    pub endpoint: Option<String>,
    pub endpoints: Vec<(Service, String)>,
    /// The most attempts of a call, including the first attempt.
    pub attempts: u32,
    /// The most attempts of a call by a patient client.
    pub patient_attempts: u32,
}

impl Settings {
    /// Reads the environment variables that Lambda sets, and the standard variables that set other
    /// endpoints in every AWS SDK.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime>
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SessionError> {
        let set = |name: &'static str| variable(name).filter(|value| !value.is_empty());
        let required = |name: &'static str| set(name).ok_or(SessionError::NotSet(name));
        let region = match set("AWS_REGION") {
            Some(region) => region,
            None => set("AWS_DEFAULT_REGION").ok_or(SessionError::NotSet("AWS_REGION"))?,
        };
        let credentials = Credentials::new(
            required("AWS_ACCESS_KEY_ID")?,
            required("AWS_SECRET_ACCESS_KEY")?,
            set("AWS_SESSION_TOKEN"),
            None,
            "environment",
        );
        let endpoints = Service::ALL
            .iter()
            .filter_map(|service| Some((*service, set(service.endpoint_variable())?)))
            .collect();
        Ok(Self {
            region,
            credentials,
            endpoint: set("AWS_ENDPOINT_URL"),
            endpoints,
            attempts: ATTEMPTS,
            patient_attempts: PATIENT_ATTEMPTS,
        })
    }

    fn endpoint(&self, service: Service) -> Option<&str> {
        let own = self.endpoints.iter().find(|(of, _)| *of == service).map(|(_, url)| url.as_str());
        own.or(self.endpoint.as_deref())
    }
}

/// The shared parts of all clients. A process has one session, and all its clients share the
/// session's connections.
#[derive(Debug, Clone)]
pub struct Session {
    settings: Settings,
    config: SdkConfig,
    http: PlainHttp,
}

impl Session {
    /// Creates a session from the process's environment variables. See [`Settings::read`].
    pub fn from_env() -> Result<Self, SessionError> {
        Settings::read(|name| std::env::var(name).ok()).map(Self::new)
    }

    pub fn new(settings: Settings) -> Self {
        // All clients share one HTTP client, because loading the trusted root certificates takes
        // milliseconds. The client's pool has separate connections for each host.
        let http = http_client();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let retries = RetryConfig::standard().with_max_attempts(settings.attempts);
        let config = SdkConfig::builder()
            // The behavior version is fixed, so that a developer reads the SDK's changes before an
            // upgrade.
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(settings.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(settings.credentials.clone()))
            // The credentials are static, so a cache would only add a lock and a timer.
            .identity_cache(IdentityCache::no_cache())
            .http_client(http.clone())
            .timeout_config(timeouts.clone())
            .retry_config(retries.clone())
            // This protection ends a stalled transfer after 20 s, but an attempt times out sooner,
            // after 5 s or 15 s.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Self { settings, config, http: PlainHttp::new(http, timeouts, retries) }
    }

    pub fn region(&self) -> &str {
        &self.settings.region
    }

    /// Opens connections to the services that a Lambda function calls first, so that the first
    /// event does not wait for DNS and TLS. Connecting can take most of a second on a small Lambda
    /// function, but Lambda gives the initialization a full CPU.
    ///
    /// Each ping is an unsigned `GET /ping`, which needs no permission and leaves nothing in
    /// CloudTrail. Warming takes at most a second, and ignores failures, because the first call
    /// reports them.
    pub async fn warm(&self, services: &[Service]) {
        let pings = services.iter().map(|service| {
            let (http, url) = (self.http.clone(), self.url(*service));
            tokio::spawn(async move { http.ping(&url).await })
        });
        let pings: Vec<_> = pings.collect();
        let all = async {
            for ping in pings {
                ping.await.ok();
            }
        };
        tokio::time::timeout(WARM_TIMEOUT, all).await.ok();
    }

    fn url(&self, service: Service) -> String {
        let region = &self.settings.region;
        match self.settings.endpoint(service) {
            Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
            None if region.starts_with("cn-") => {
                format!("https://{}.{region}.amazonaws.com.cn", service.host())
            }
            None => format!("https://{}.{region}.amazonaws.com", service.host()),
        }
    }

    pub(crate) fn plain_http(&self) -> PlainHttp {
        self.http.clone()
    }

    /// The retries of patient clients. A patient client makes many calls that are not urgent, and
    /// slows down when a service throttles it.
    fn patient_retries(&self) -> RetryConfig {
        RetryConfig::adaptive().with_max_attempts(self.settings.patient_attempts)
    }

    /// The retry partition of one client: throttling slows down only this client. By default, the
    /// SDK slows down all clients of a service in the process.
    fn patient_partition() -> RetryPartition {
        RetryPartition::custom("patient").build()
    }

    fn patient_timeouts() -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(PATIENT_ATTEMPT_TIMEOUT)
            .operation_timeout(PATIENT_OPERATION_TIMEOUT)
            .build()
    }

    pub(crate) fn patient_ecr(&self) -> aws_sdk_ecr::Client {
        let mut config = aws_sdk_ecr::config::Builder::from(&self.config)
            .retry_config(self.patient_retries())
            .retry_partition(Self::patient_partition())
            .timeout_config(Self::patient_timeouts());
        config.set_endpoint_url(self.settings.endpoint(Service::Ecr).map(str::to_owned));
        aws_sdk_ecr::Client::from_conf(config.build())
    }

    /// A client for layers, whose parts take longer than other requests.
    pub(crate) fn copying_ecr(&self) -> aws_sdk_ecr::Client {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(COPY_ATTEMPT_TIMEOUT)
            .operation_timeout(COPY_OPERATION_TIMEOUT)
            .build();
        let mut config = aws_sdk_ecr::config::Builder::from(&self.config).timeout_config(timeouts);
        config.set_endpoint_url(self.settings.endpoint(Service::Ecr).map(str::to_owned));
        aws_sdk_ecr::Client::from_conf(config.build())
    }

    /// A client that makes one attempt per call.
    pub(crate) fn impatient_ecr(&self) -> aws_sdk_ecr::Client {
        let mut config =
            aws_sdk_ecr::config::Builder::from(&self.config).retry_config(RetryConfig::disabled());
        config.set_endpoint_url(self.settings.endpoint(Service::Ecr).map(str::to_owned));
        aws_sdk_ecr::Client::from_conf(config.build())
    }

    pub(crate) fn patient_ecs(&self) -> aws_sdk_ecs::Client {
        let mut config = aws_sdk_ecs::config::Builder::from(&self.config)
            .retry_config(self.patient_retries())
            .retry_partition(Self::patient_partition())
            .timeout_config(Self::patient_timeouts());
        config.set_endpoint_url(self.settings.endpoint(Service::Ecs).map(str::to_owned));
        aws_sdk_ecs::Client::from_conf(config.build())
    }

    #[cfg(feature = "retention")]
    pub(crate) fn patient_lambda(&self) -> aws_sdk_lambda::Client {
        let mut config = aws_sdk_lambda::config::Builder::from(&self.config)
            .retry_config(self.patient_retries())
            .retry_partition(Self::patient_partition())
            .timeout_config(Self::patient_timeouts());
        config.set_endpoint_url(self.settings.endpoint(Service::Lambda).map(str::to_owned));
        aws_sdk_lambda::Client::from_conf(config.build())
    }

    /// A client of a service for which this package has no SDK.
    #[cfg(feature = "retention")]
    pub(crate) fn patient_json(&self, service: Service) -> crate::signed_json::SignedJson {
        crate::signed_json::SignedJson::new(crate::signed_json::Reached {
            service: service.host(),
            url: self.url(service),
            region: self.settings.region.clone(),
            credentials: SharedCredentialsProvider::new(self.settings.credentials.clone()),
            http: self.http.client(),
            timeouts: Self::patient_timeouts(),
            retries: self.patient_retries(),
        })
    }

    #[cfg(feature = "retention")]
    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};

        let endpoint = self.settings.endpoint(Service::S3);
        let mut config = aws_sdk_s3::config::Builder::from(&self.config)
            .retry_config(self.patient_retries())
            .retry_partition(Self::patient_partition())
            .timeout_config(Self::patient_timeouts())
            // AWS's own endpoints have a host for each bucket, as S3 recommends. A configured
            // endpoint (a VPC endpoint, an emulator) has only one known host, so the path names the
            // bucket.
            // <https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html>
            .force_path_style(endpoint.is_some())
            // By default, the SDK adds a CRC to each upload and checks a CRC on each download. This
            // client sends a SHA-256 with each object, which protects the object better.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        config.set_endpoint_url(endpoint.map(str::to_owned));
        aws_sdk_s3::Client::from_conf(config.build())
    }

    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let mut config = aws_sdk_dynamodb::config::Builder::from(&self.config);
        config.set_endpoint_url(self.settings.endpoint(Service::DynamoDb).map(str::to_owned));
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    pub(crate) fn ecr(&self) -> aws_sdk_ecr::Client {
        let mut config = aws_sdk_ecr::config::Builder::from(&self.config);
        config.set_endpoint_url(self.settings.endpoint(Service::Ecr).map(str::to_owned));
        aws_sdk_ecr::Client::from_conf(config.build())
    }

    pub(crate) fn ecs(&self) -> aws_sdk_ecs::Client {
        let mut config = aws_sdk_ecs::config::Builder::from(&self.config);
        config.set_endpoint_url(self.settings.endpoint(Service::Ecs).map(str::to_owned));
        aws_sdk_ecs::Client::from_conf(config.build())
    }

    pub(crate) fn elb(&self) -> aws_sdk_elasticloadbalancingv2::Client {
        let mut config = aws_sdk_elasticloadbalancingv2::config::Builder::from(&self.config);
        config.set_endpoint_url(self.settings.endpoint(Service::Elb).map(str::to_owned));
        aws_sdk_elasticloadbalancingv2::Client::from_conf(config.build())
    }

    pub(crate) fn eventbridge(&self) -> aws_sdk_eventbridge::Client {
        let mut config = aws_sdk_eventbridge::config::Builder::from(&self.config);
        config.set_endpoint_url(self.settings.endpoint(Service::EventBridge).map(str::to_owned));
        aws_sdk_eventbridge::Client::from_conf(config.build())
    }

    pub(crate) fn sns(&self) -> aws_sdk_sns::Client {
        let mut config = aws_sdk_sns::config::Builder::from(&self.config);
        config.set_endpoint_url(self.settings.endpoint(Service::Sns).map(str::to_owned));
        aws_sdk_sns::Client::from_conf(config.build())
    }

    pub(crate) fn sqs(&self) -> aws_sdk_sqs::Client {
        let mut config = aws_sdk_sqs::config::Builder::from(&self.config);
        config.set_endpoint_url(self.settings.endpoint(Service::Sqs).map(str::to_owned));
        aws_sdk_sqs::Client::from_conf(config.build())
    }
}

/// Creates the HTTPS client: rustls with ring, which trusts the system's root certificates. The
/// first connection loads these certificates. A Lambda function should set `SSL_CERT_FILE`, so that
/// rustls reads only that bundle and not a directory of single files.
fn http_client() -> SharedHttpClient {
    Builder::new().tls_provider(tls()).build_https()
}

/// The TLS stack of the process.
pub(crate) fn tls() -> Provider {
    Provider::Rustls(CryptoMode::Ring)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, SessionError> {
        Settings::read(|name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned())
        })
    }

    const LAMBDA: [(&str, &str); 4] = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", "not-to-be-shown"),
        ("AWS_SESSION_TOKEN", "nor-this"),
    ];

    #[test]
    fn session_error_names_the_missing_variable() {
        for (index, name) in ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].iter().enumerate() {
            let mut without = LAMBDA.to_vec();
            without.remove(index);
            assert_eq!(settings(&without).unwrap_err(), SessionError::NotSet(name));
        }
        assert!(settings(&LAMBDA[..3]).is_ok(), "long-term credentials have no session token");
        assert!(
            settings(&[LAMBDA[0], LAMBDA[1], ("AWS_SECRET_ACCESS_KEY", "")]).is_err(),
            "empty is not set"
        );
    }

    #[test]
    fn service_endpoint_overrides_the_general_endpoint() {
        let mut variables = LAMBDA.to_vec();
        let session = Session::new(settings(&variables).unwrap());
        assert_eq!(session.url(Service::Ecr), "https://api.ecr.eu-west-1.amazonaws.com");
        variables.push(("AWS_ENDPOINT_URL", "http://localhost:4566/"));
        variables.push(("AWS_ENDPOINT_URL_ECS", "http://localhost:9000"));
        let session = Session::new(settings(&variables).unwrap());
        assert_eq!(session.url(Service::Ecr), "http://localhost:4566");
        assert_eq!(session.url(Service::Ecs), "http://localhost:9000");
        assert_eq!(session.url(Service::Elb), "http://localhost:4566");
        variables.push(("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", "http://localhost:9001"));
        assert_eq!(Session::new(settings(&variables).unwrap()).url(Service::Elb), "http://localhost:9001");
        variables[0] = ("AWS_REGION", "cn-north-1");
        let session = Session::new(settings(&variables[..4]).unwrap());
        assert_eq!(session.url(Service::DynamoDb), "https://dynamodb.cn-north-1.amazonaws.com.cn");
    }

    #[test]
    fn session_debug_text_hides_secrets() {
        let shown = format!("{:?}", Session::new(settings(&LAMBDA).unwrap()));
        assert!(!shown.contains("not-to-be-shown") && !shown.contains("nor-this"), "{shown}");
    }
}
