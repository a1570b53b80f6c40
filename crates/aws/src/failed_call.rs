//! Why a call of an AWS service failed. All services share this type, so that one place decides
//! which calls are worth a retry.

use std::error::Error;
use std::fmt;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

type BoxError = Box<dyn Error + Send + Sync>;

/// Why a call failed after all its attempts. The type is boxed, so that the clients' errors stay
/// small.
#[derive(Debug)]
pub struct FailedCall(Box<Failure>);

#[derive(Debug)]
struct Failure {
    kind: Kind,
    /// The underlying error. `None` if the service answered, because the text already contains its
    /// answer.
    source: Option<BoxError>,
}

#[derive(Debug)]
enum Kind {
    /// The service answered with an error.
    Refused { status: u16, code: Option<String>, message: Option<String>, request: Option<String> },
    /// No answer arrived in time. The service may have carried out the request.
    Timeout,
    /// The connection failed or broke. The service may have carried out the request.
    Connection,
    /// The answer is not one of this service.
    Answer,
    /// The service answered without an error, but the answer lacks something or reports a failure.
    Unusable { why: String, is_retryable: bool },
    /// The request was never sent: it could not be built from its input.
    Request,
}

/// Codes that ask the caller to slow down, without the suffix `Exception`. `LimitExceeded` is not
/// among them: our services use it for a quota, and waiting does not raise a quota.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>
const THROTTLING: [&str; 14] = [
    "BandwidthLimitExceeded",
    "EC2Throttled",
    "KMSThrottling",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
    "RequestThrottled",
    "SlowDown",
    "Throttled",
    "Throttling",
    "ThrottlingError",
    "TooManyRequests",
    "TransactionInProgress",
    "UpstreamTooManyRequests",
];

/// Codes of a failure inside the service, or of two transactions at the same moment, without the
/// suffix `Exception`. Some services send them with status 400.
const TRANSIENT: [&str; 10] = [
    "InternalError",
    "InternalFailure",
    "InternalServer",
    "InternalServerError",
    "InternalService",
    "InternalServiceError",
    "RequestTimeout",
    "ServiceUnavailable",
    "TransactionConflict",
    "UpstreamUnavailable",
];

/// Codes that do not judge the request itself, without the suffix `Exception`: expired credentials,
/// differing clocks, a quota, a concurrent change. Their status is often 4xx. AWS does not say
/// whether waiting helps after a `LimitExceededException` of ECS. For ECR see
/// [`FailedCall::is_refusal_of_ecr`].
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html>
const OF_THE_MOMENT: [&str; 22] = [
    "AuthFailure",
    "ConcurrentModification",
    "ConcurrentUpdate",
    "Conflict",
    "ExpiredToken",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "InvalidSignature",
    "LimitExceeded",
    "MissingAuthenticationToken",
    "OperationInProgress",
    "RequestAborted",
    "RequestExpired",
    "RequestInProgress",
    "RequestTimeTooSkewed",
    "ResourceInUse",
    "Server",
    "SignatureDoesNotMatch",
    "UnrecognizedClient",
    "UpdateInProgress",
];

/// General codes, whose message alone may say that the condition passes. The messages of other
/// codes only quote names, which people choose.
const GENERAL: [&str; 4] =
    ["Client", "InvalidParameter", "InvalidParameterValue", "InvalidParameterCombination"];

/// Words for a passing condition in messages of a general code. An example is ECS's
/// `ClientException`: "Too many concurrent attempts to create a new revision of the specified
/// family." A lasting message may end with "and try again".
const WORDS_OF_THE_MOMENT: [&str; 8] = [
    "being updated",
    "in progress",
    "please try again",
    "rate exceeded",
    "temporarily",
    "too many concurrent",
    "try again in",
    "try again later",
];

/// Policies that can deny a call, as AWS's messages name them.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html>
const POLICIES: [&str; 7] = [
    "a service control policy",
    "a resource control policy",
    "a permissions boundary",
    "a session policy",
    "a resource-based policy",
    "a VPC endpoint policy",
    "an identity-based policy",
];

/// The reason why the caller may not pass a task's role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassRoleDenial {
    /// No policy of the caller's role allows it.
    NotAllowed,
    /// A policy of this kind denies it, whatever the caller's role allows.
    Policy(&'static str),
    /// AWS names no policy.
    Unexplained,
}

/// Returns a code without its suffix. A service may send `ServiceUnavailable` and another one
/// `ServiceUnavailableException`.
fn bare(code: &str) -> &str {
    code.strip_suffix("Exception").unwrap_or(code)
}

/// Whether an error code is worth a retry. It may be the code of one failure inside a successful
/// answer.
pub(crate) fn is_retryable_code(code: &str) -> bool {
    let code = bare(code);
    THROTTLING.contains(&code) || TRANSIENT.contains(&code)
}

impl<E> From<SdkError<E, Response<SdkBody>>> for FailedCall
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    fn from(error: SdkError<E, Response<SdkBody>>) -> Self {
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
            // The body is not the service's, for example a gateway's error page.
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
}

impl FailedCall {
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

    /// Makes a failure for an answer that could not be parsed.
    pub(crate) fn unreadable(error: serde_json::Error) -> Self {
        Self(Box::new(Failure { kind: Kind::Answer, source: Some(error.into()) }))
    }

    pub(crate) fn unusable(why: impl Into<String>, is_retryable: bool) -> Self {
        let kind = Kind::Unusable { why: why.into(), is_retryable };
        Self(Box::new(Failure { kind, source: None }))
    }

    /// Makes a failure for a body that did not arrive completely.
    pub(crate) fn broken_off(error: impl Into<BoxError>) -> Self {
        Self::unusable("the transfer broke off", true).with_source(error)
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Drops the source of the failure, for a call whose address must stay secret.
    pub(crate) fn without_source(mut self) -> Self {
        self.0.source = None;
        self
    }

    /// AWS's error code, such as `AccessDeniedException`.
    pub fn code(&self) -> Option<&str> {
        let Kind::Refused { code, .. } = &self.0.kind else { return None };
        code.as_deref()
    }

    /// Whether the service answered with a 4xx status, which means that this attempt changed
    /// nothing.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self.0.kind, Kind::Refused { status: 400..500, .. })
    }

    /// Whether the service will give the same answer until a permission, a parameter or a resource
    /// changes. A passing condition is no refusal, and neither is a call without an answer.
    pub fn is_refusal(&self) -> bool {
        let Kind::Refused { status, code, message, .. } = &self.0.kind else { return false };
        let code = bare(code.as_deref().unwrap_or_default());
        let message = message.as_deref().unwrap_or_default().to_ascii_lowercase();
        let is_passing = OF_THE_MOMENT.contains(&code)
            || GENERAL.contains(&code) && WORDS_OF_THE_MOMENT.iter().any(|words| message.contains(words));
        self.is_answered()
            && !self.is_retryable()
            && !matches!(status, 408 | 409 | 425)
            && !code.is_empty()
            && !is_passing
    }

    /// Whether ECR refuses the call for good, or gives nothing usable and will do so again. Waiting
    /// does not raise its limits: 100,000 images of a repository, 1,000 tags of an image.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
    pub(crate) fn is_refusal_of_ecr(&self) -> bool {
        self.is_refusal()
            || matches!(self.0.kind, Kind::Unusable { is_retryable: false, .. })
            || (self.is_answered() && self.code() == Some("LimitExceededException"))
    }

    /// Returns why the caller may not pass a task's role. None if the failure is another one.
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html>
    pub fn pass_role_denial(&self) -> Option<PassRoleDenial> {
        let Kind::Refused { message: Some(message), .. } = &self.0.kind else { return None };
        if !message.contains("iam:PassRole") {
            return None;
        }
        if message.contains("no identity-based policy allows") {
            return Some(PassRoleDenial::NotAllowed);
        }
        let is_named =
            |policy: &&&str| policy.split_once(' ').is_some_and(|(_, kind)| message.contains(kind));
        let policy = POLICIES.iter().find(is_named);
        Some(policy.map_or(PassRoleDenial::Unexplained, |policy| PassRoleDenial::Policy(policy)))
    }

    /// Whether the service rejects the signer: unknown, or without the permission.
    pub fn is_denied(&self) -> bool {
        let Kind::Refused { status, code, .. } = &self.0.kind else { return false };
        let denials = ["AccessDenied", "ExpiredToken", "UnrecognizedClient", "Signature", "SecurityToken"];
        matches!(status, 401 | 403)
            || code.as_ref().is_some_and(|code| denials.iter().any(|denial| code.contains(denial)))
    }

    /// Whether the same call may succeed a little later: throttling, a failure inside the service,
    /// no connection, no answer in time.
    pub fn is_retryable(&self) -> bool {
        match &self.0.kind {
            Kind::Timeout | Kind::Connection | Kind::Answer => true,
            Kind::Unusable { is_retryable, .. } => *is_retryable,
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
            Kind::Unusable { why, .. } => f.write_str(why),
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
    fn retryable_codes_are_recognized() {
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
            (400, Some("ProvisionedThroughputExceededException"), true),
            (400, Some("TransactionConflictException"), true),
            (400, Some("ValidationException"), false),
            (400, Some("ResourceNotFoundException"), false),
        ] {
            assert_eq!(
                FailedCall::refused(status, code, None, None).is_retryable(),
                again,
                "{status} {code:?}"
            );
        }
    }

    #[test]
    fn refusal_excludes_passing_conditions() {
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
            (403, "AccessDenied", "not authorized to perform: iam:PassRole on resource: role/temporarily-x"),
            (400, "AccessDeniedException", "iam:PassRole on resource: role/job in progress"),
            (403, "AuthorizationError", "not authorized to publish to try again later"),
            (404, "ServiceNotFoundException", "Service temporarily-moved not found."),
            (400, "InvalidParameterException", "Opt in to the new format and try again."),
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
            (400, "ClientException", "Please try again."),
            (400, "InvalidParameter", "Try again later."),
            (400, "ServiceUnavailableException", ""),
            (400, "InternalServerException", ""),
            (400, "InternalErrorException", ""),
            (400, "InternalServiceErrorException", ""),
            (400, "InternalServiceException", ""),
            (400, "InternalFailureException", ""),
            (400, "EC2ThrottledException", ""),
            (400, "TransactionInProgressException", ""),
            (400, "RequestLimitExceededException", ""),
            (403, "MissingAuthenticationTokenException", "Missing Authentication Token"),
            (403, "IncompleteSignatureException", ""),
            (403, "InvalidAccessKeyId", ""),
            (403, "InvalidClientTokenIdException", ""),
            (403, "SignatureDoesNotMatchException", ""),
        ] {
            assert!(!refused(status, Some(code), Some(message)), "{status} {code}: {message}");
        }
        assert!(!refused(403, None, None), "a gateway's page is not the service's refusal");
    }

    #[test]
    fn pass_role_denial_names_the_policy() {
        let denial = |why: &str| {
            let message = format!(
                "User: f is not authorized to perform: iam:PassRole on resource: arn:aws:iam::1:role/web {why}"
            );
            FailedCall::refused(400, Some("AccessDeniedException"), Some(&message), None).pass_role_denial()
        };
        for (why, expected) in [
            ("because no identity-based policy allows the iam:PassRole action", PassRoleDenial::NotAllowed),
            (
                "with an explicit deny in a service control policy",
                PassRoleDenial::Policy("a service control policy"),
            ),
            (
                "because no service control policy allows the iam:PassRole action",
                PassRoleDenial::Policy("a service control policy"),
            ),
            (
                "because no permissions boundary allows the iam:PassRole action",
                PassRoleDenial::Policy("a permissions boundary"),
            ),
            (
                "with an explicit deny in an identity-based policy: arn:aws:iam::1:policy/x",
                PassRoleDenial::Policy("an identity-based policy"),
            ),
            (
                "because no session policy allows the iam:PassRole action",
                PassRoleDenial::Policy("a session policy"),
            ),
            ("", PassRoleDenial::Unexplained),
        ] {
            assert_eq!(denial(why), Some(expected), "{why}");
        }
        let other =
            "not authorized to perform: ecs:UpdateService with an explicit deny in a service control policy";
        let other = FailedCall::refused(400, Some("AccessDeniedException"), Some(other), None);
        assert_eq!(other.pass_role_denial(), None);
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
        assert!(FailedCall::unusable("the bytes have another hash", false).is_refusal_of_ecr());
        assert!(!FailedCall::unusable("UpstreamUnavailable", true).is_refusal_of_ecr());
    }

    #[test]
    fn text_shows_the_service_answer() {
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
