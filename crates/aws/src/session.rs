//! What all clients of one process share: region, credentials, connections, patience.
//!
//! Built by hand, without `aws-config`: in a function everything comes in environment variables, and
//! `aws-config` would bring STS and the look-up of profiles and instance roles along, in size and in start time.

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

/// To connect, TLS handshake included. The SDK's own default: a lost SYN is sent again after 1 s and after 3 s.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3100);
/// For one attempt, from the first byte sent to the last byte read. Our answers are small; DynamoDB and ECR
/// answer within tens of milliseconds, UpdateService within about a second.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a call with all its attempts and the waiting between them. A lease outlives it, so that no call of a
/// holder that lost its lease is still being tried again.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(20);
/// The first and three more.
const ATTEMPTS: u32 = 4;
/// As [`ATTEMPT_TIMEOUT`], for what is in no hurry: a page of a thousand images is most of a megabyte.
const PATIENT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);
/// As [`OPERATION_TIMEOUT`]: eight attempts wait 71 s between them at most.
pub const PATIENT_OPERATION_TIMEOUT: Duration = Duration::from_secs(120);
const PATIENT_ATTEMPTS: u32 = 8;
/// What the warming of connections may cost a start.
const WARM_TIMEOUT: Duration = Duration::from_secs(1);

/// The AWS services that have a door.
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

    /// The environment variable that points this service elsewhere.
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

/// What a session is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    pub region: String,
    /// Not renewed: Lambda replaces a function's environment before its credentials end.
    pub credentials: Credentials,
    /// For every service that has no endpoint of its own; none for AWS's.
    pub endpoint: Option<String>,
    pub endpoints: Vec<(Service, String)>,
    /// How often a call is tried, the first time included.
    pub attempts: u32,
    /// The same for calls that are in no hurry.
    pub patient_attempts: u32,
}

impl Settings {
    /// From the variables that Lambda sets, and those by which every AWS SDK is pointed at another endpoint.
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

/// One per process. Clients that are made from it share its connections.
#[derive(Debug, Clone)]
pub struct Session {
    settings: Settings,
    config: SdkConfig,
    http: PlainHttp,
}

impl Session {
    /// From the process's environment variables. See [`Settings::read`].
    pub fn from_env() -> Result<Self, SessionError> {
        Settings::read(|name| std::env::var(name).ok()).map(Self::new)
    }

    pub fn new(settings: Settings) -> Self {
        // One client, since reading the trusted roots into it takes milliseconds and its pool is per host.
        let http = http_client();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let retries = RetryConfig::standard().with_max_attempts(settings.attempts);
        let config = SdkConfig::builder()
            // Pinned: what a newer one changes should be read before it is taken.
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(settings.region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(settings.credentials.clone()))
            // The credentials are at hand: a cache only adds a lock and a timer.
            .identity_cache(IdentityCache::no_cache())
            .http_client(http.clone())
            .timeout_config(timeouts.clone())
            .retry_config(retries.clone())
            // It gives a stalled transfer 20 s; an attempt has 5 s.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        Self { settings, config, http: PlainHttp::new(http, timeouts, retries) }
    }

    pub fn region(&self) -> &str {
        &self.settings.region
    }

    /// Opens connections to the services that a function calls first, so that the first event does not wait for
    /// name look-up and TLS: at a small function's share of a CPU that takes up to most of a second, while
    /// initialisation runs at full speed. Takes at most a second; what fails, the first call will tell.
    ///
    /// It is an unsigned `GET /ping`: it asks for no permission, and leaves nothing in CloudTrail.
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

    /// For calls of which many are made, and none is in a hurry: when one is throttled, those that follow through the
    /// same door slow down.
    fn patient_retries(&self) -> RetryConfig {
        RetryConfig::adaptive().with_max_attempts(self.settings.patient_attempts)
    }

    /// What it is that slows down: one door. By default it would be all clients of a service in the process.
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

    /// One attempt.
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

    /// A client of a service whose SDK is not linked.
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
            // AWS's own endpoints have a host for each bucket, which is how S3 wants to be called. Of an endpoint that
            // was given, only that host is known to exist (a VPC endpoint, an emulator): the bucket goes into the
            // path. The SDK does so by itself where the host is an IP address.
            // <https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html>
            .force_path_style(endpoint.is_some())
            // By default the SDK adds a CRC to what is sent, as a trailer behind the body, and computes one of what
            // comes. The SHA-256 that we send with each object says the same and more.
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

/// HTTPS by rustls and ring, trusting the system's roots. They are read once, at the first connection; set
/// `SSL_CERT_FILE` on a function, so that only the bundle is read and not the directory of single files too.
fn http_client() -> SharedHttpClient {
    Builder::new().tls_provider(tls()).build_https()
}

/// The one TLS stack of a process.
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
    fn what_is_missing_is_named() {
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
    fn a_service_goes_to_its_own_endpoint_first() {
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
    fn no_secret_is_in_the_debug_text() {
        let shown = format!("{:?}", Session::new(settings(&LAMBDA).unwrap()));
        assert!(!shown.contains("not-to-be-shown") && !shown.contains("nor-this"), "{shown}");
    }
}
