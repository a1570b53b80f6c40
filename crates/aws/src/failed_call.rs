//! Why a call of an AWS service did not give what it should: one type for all services, so that what is worth
//! trying again is decided in one place.

use std::error::Error;
use std::fmt;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

type BoxError = Box<dyn Error + Send + Sync>;

/// A call that failed after all its attempts. Small, so that a door's errors are.
#[derive(Debug)]
pub struct FailedCall(Box<Failure>);

#[derive(Debug)]
struct Failure {
    kind: Kind,
    /// None where the service answered: what it said is in the text already.
    source: Option<BoxError>,
}

#[derive(Debug)]
enum Kind {
    /// The service answered that it will not or cannot.
    Refused { status: u16, code: Option<String>, message: Option<String>, request: Option<String> },
    /// The answer did not come in time. The service may have done what was asked.
    Timeout,
    /// No connection, or one that broke. The service may have done what was asked.
    Connection,
    /// What came is not an answer of this service.
    Answer,
    /// The call never left: the request could not be made from what was given.
    Request,
}

/// Codes that mean "less at a time, please". `LimitExceededException` is none of them: with the services that
/// we call it means a quota, which waiting does not raise.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>
const THROTTLING: [&str; 14] = [
    "BandwidthLimitExceeded",
    "KMSThrottling",
    "KMSThrottlingException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttled",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// Codes of the service's own trouble, which some services send with status 400.
const TRANSIENT: [&str; 6] = [
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
];

/// Codes that say nothing of what was asked: of credentials that have ended, of clocks that differ, of a quota, of
/// somebody else who changes the same thing. The status is often 4xx all the same. Of a `LimitExceededException` of ECS,
/// AWS does not say whether waiting helps: a rollout's deadline ends that. ECR's is [another](FailedCall::is_refusal_of_ecr).
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html>
const OF_THE_MOMENT: [&str; 23] = [
    "AuthFailure",
    "ConcurrentModificationException",
    "ConcurrentUpdateException",
    "ConflictException",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "InvalidSignatureException",
    "LimitExceeded",
    "LimitExceededException",
    "MissingAuthenticationToken",
    "OperationInProgressException",
    "RequestAbortedException",
    "RequestExpired",
    "RequestInProgressException",
    "RequestTimeTooSkewed",
    "ResourceInUseException",
    "ServerException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "UpdateInProgressException",
];

/// Words in which services say the same under a code for everything, such as ECS's `ClientException` of "Too many
/// concurrent attempts to create a new revision of the specified family."
const WORDS_OF_THE_MOMENT: [&str; 6] =
    ["being updated", "in progress", "rate exceeded", "temporarily", "too many concurrent", "try again"];

/// Whether a code, also one of a failure inside an answer, is worth another try.
pub(crate) fn is_retryable_code(code: &str) -> bool {
    THROTTLING.contains(&code) || TRANSIENT.contains(&code)
}

impl FailedCall {
    pub(crate) fn new<E>(error: SdkError<E, Response<SdkBody>>) -> Self
    where
        E: Error + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let kind = match &error {
            SdkError::ServiceError(context) => {
                let response = context.raw();
                let header = |name| response.headers().get(name).map(str::to_owned);
                let said = context.err().meta();
                return Self::refused(
                    response.status().as_u16(),
                    said.code(),
                    said.message(),
                    header("x-amzn-requestid").or_else(|| header("x-amz-request-id")),
                );
            }
            // A gateway's error page, for example.
            SdkError::ResponseError(context) if !context.raw().status().is_success() => {
                return Self::refused(context.raw().status().as_u16(), None, None, None);
            }
            SdkError::ResponseError(_) => Kind::Answer,
            SdkError::TimeoutError(_) => Kind::Timeout,
            SdkError::DispatchFailure(context) if context.is_timeout() => Kind::Timeout,
            SdkError::DispatchFailure(context) if context.is_user() => Kind::Request,
            SdkError::DispatchFailure(_) => Kind::Connection,
            _ => Kind::Request,
        };
        Self(Box::new(Failure { kind, source: error.into_source().ok() }))
    }

    pub(crate) fn refused(
        status: u16,
        code: Option<&str>,
        message: Option<&str>,
        request: Option<String>,
    ) -> Self {
        let kind = Kind::Refused {
            status,
            code: code.map(str::to_owned),
            message: message.filter(|text| !text.is_empty()).map(str::to_owned),
            request,
        };
        Self(Box::new(Failure { kind, source: None }))
    }

    /// The service answered something that is not an answer to this call.
    #[cfg(feature = "retention")]
    pub(crate) fn unreadable(error: serde_json::Error) -> Self {
        Self(Box::new(Failure { kind: Kind::Answer, source: Some(error.into()) }))
    }

    /// The same without what it came from: for a call whose address nobody may see.
    pub(crate) fn without_source(mut self) -> Self {
        self.0.source = None;
        self
    }

    /// AWS's name for what was wrong, such as `AccessDeniedException`.
    pub fn code(&self) -> Option<&str> {
        match &self.0.kind {
            Kind::Refused { code, .. } => code.as_deref(),
            Kind::Timeout | Kind::Connection | Kind::Answer | Kind::Request => None,
        }
    }

    /// The service answered, and with a 4xx: this attempt has changed nothing.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self.0.kind, Kind::Refused { status: 400..500, .. })
    }

    /// Whether the service will answer the same again, until somebody changes a permission, a parameter or a resource.
    /// Whatever speaks of the moment is no refusal, nor is what nobody has answered.
    pub fn is_refusal(&self) -> bool {
        let Kind::Refused { status, code, message, .. } = &self.0.kind else { return false };
        let code = code.as_deref().unwrap_or_default();
        let message = message.as_deref().unwrap_or_default().to_ascii_lowercase();
        self.is_answered()
            && !self.is_retryable()
            && !matches!(status, 408 | 409 | 425)
            && !code.is_empty()
            && !OF_THE_MOMENT.contains(&code)
            && !WORDS_OF_THE_MOMENT.iter().any(|words| message.contains(words))
    }

    /// The same of a call to ECR, whose limits (100,000 images of a repository, 1,000 tags of an image) no waiting raises.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
    pub(crate) fn is_refusal_of_ecr(&self) -> bool {
        self.is_refusal() || (self.is_answered() && self.code() == Some("LimitExceededException"))
    }

    /// The role of a task may not be handed on: <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html>
    pub fn is_about_passing_a_role(&self) -> bool {
        matches!(&self.0.kind, Kind::Refused { message: Some(message), .. } if message.contains("iam:PassRole"))
    }

    /// The signer may not do that, or is not known: what is asked for makes no difference.
    pub fn is_denied(&self) -> bool {
        match &self.0.kind {
            Kind::Refused { status, code, .. } => {
                let denials =
                    ["AccessDenied", "ExpiredToken", "UnrecognizedClient", "Signature", "SecurityToken"];
                matches!(status, 401 | 403)
                    || code.as_ref().is_some_and(|code| denials.iter().any(|denial| code.contains(denial)))
            }
            Kind::Timeout | Kind::Connection | Kind::Answer | Kind::Request => false,
        }
    }

    /// Throttling, the service's own trouble, no connection, no answer in time.
    pub fn is_retryable(&self) -> bool {
        match &self.0.kind {
            Kind::Timeout | Kind::Connection | Kind::Answer => true,
            Kind::Request => false,
            Kind::Refused { status, code, .. } => {
                *status >= 500 || *status == 429 || code.as_deref().is_some_and(is_retryable_code)
            }
        }
    }
}

impl fmt::Display for FailedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.kind {
            Kind::Timeout => f.write_str("no answer in time"),
            Kind::Connection => f.write_str("no connection, or it broke"),
            Kind::Answer => f.write_str("the answer could not be read"),
            Kind::Request => f.write_str("the request could not be made"),
            Kind::Refused { status, code, message, request } => {
                f.write_str(code.as_deref().unwrap_or("refused without a reason"))?;
                if let Some(message) = message {
                    write!(f, ": {message}")?;
                }
                write!(f, " (HTTP {status}")?;
                if let Some(request) = request {
                    write!(f, ", request {request}")?;
                }
                f.write_str(")")
            }
        }
    }
}

impl Error for FailedCall {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_worth_another_try() {
        for (status, code, again) in [
            (400, Some("ThrottlingException"), true),
            (400, Some("TooManyRequestsException"), true),
            (429, None, true),
            (500, Some("ServerException"), true),
            (503, None, true),
            (400, Some("InternalFailure"), true),
            (400, Some("LimitExceededException"), false),
            (400, Some("AccessDeniedException"), false),
            (400, Some("InvalidParameterException"), false),
            (403, None, false),
        ] {
            assert_eq!(
                FailedCall::refused(status, code, None, None).is_retryable(),
                again,
                "{status} {code:?}"
            );
        }
    }

    #[test]
    fn refusal_is_what_the_service_answers_again() {
        let refused = |status, code, message| FailedCall::refused(status, code, message, None).is_refusal();
        for (status, code, message) in [
            (400, "AccessDeniedException", "User: f is not authorized to perform: iam:PassRole"),
            (403, "AccessDenied", "no identity-based policy allows it"),
            (403, "AuthorizationError", "not authorized to perform: SNS:Publish"),
            (400, "ClientException", "Actual length exceeds the max allowed length: 65536"),
            (400, "ClientException", "TaskDefinition is inactive"),
            (400, "InvalidParameterException", "Unable to update the service"),
            (400, "UnsupportedFeatureException", "not in this region"),
            (400, "PlatformUnknownException", ""),
            (404, "ServiceNotFoundException", "Service not found."),
            (400, "KmsException", "the key is disabled"),
            (400, "KMSAccessDenied", "SNS may not use the key"),
            (400, "KMSDisabled", "the key is disabled"),
            (404, "NotFound", "Topic does not exist"),
            (400, "InvalidParameter", "Invalid parameter: TopicArn"),
            (400, "ValidationError", "1 validation error detected"),
            (413, "RequestEntityTooLargeException", ""),
            (400, "SomethingNewException", "new words"),
        ] {
            assert!(refused(status, Some(code), Some(message)), "{status} {code}: {message}");
        }
        for (status, code, message) in [
            (400, "ThrottlingException", "Rate exceeded"),
            (400, "ClientException", "Rate exceeded"),
            (400, "KMSThrottling", "The request was denied due to request throttling."),
            (429, "Throttled", "Rate exceeded"),
            (403, "InvalidSecurity", "The credential signature isn't valid."),
            (429, "SomethingNewException", ""),
            (400, "ServiceUnavailable", ""),
            (503, "AccessDeniedException", "an odd status"),
            (400, "ServerException", ""),
            (400, "InternalFailure", ""),
            (403, "ExpiredTokenException", "The security token included in the request is expired"),
            (400, "ExpiredToken", ""),
            (400, "RequestExpired", ""),
            (403, "RequestTimeTooSkewed", ""),
            (403, "InvalidSignatureException", "Signature expired: 20261130T084000Z is now earlier than …"),
            (403, "UnrecognizedClientException", "The security token included in the request is invalid."),
            (408, "SomethingNewException", ""),
            (409, "SomethingNewException", ""),
            (400, "LimitExceededException", "the quota"),
            (400, "ConflictException", ""),
            (
                400,
                "ClientException",
                "Too many concurrent attempts to create a new revision of the specified family.",
            ),
            (400, "InvalidParameterException", "A deployment is in progress."),
        ] {
            assert!(!refused(status, Some(code), Some(message)), "{status} {code}: {message}");
        }
        assert!(!refused(403, None, None), "a gateway's page is nobody's word");
    }

    #[test]
    fn limit_of_ecr_is_a_refusal() {
        for (status, code, refusal) in [
            (400, "LimitExceededException", true),
            (400, "AccessDeniedException", true),
            (503, "LimitExceededException", false),
            (400, "ThrottlingException", false),
            (400, "ExpiredTokenException", false),
        ] {
            let failed = FailedCall::refused(status, Some(code), None, None);
            assert_eq!(failed.is_refusal_of_ecr(), refusal, "{status} {code}");
        }
    }

    #[test]
    fn the_text_says_what_the_service_said() {
        let failed = FailedCall::refused(
            400,
            Some("ThrottlingException"),
            Some("Rate exceeded"),
            Some("7f2f".to_owned()),
        );
        assert_eq!(failed.to_string(), "ThrottlingException: Rate exceeded (HTTP 400, request 7f2f)");
        assert_eq!(
            FailedCall::refused(502, None, None, None).to_string(),
            "refused without a reason (HTTP 502)"
        );
    }
}
