//! The reason why a call to an AWS service failed. The clients of all services share this type, so
//! that one place decides which calls are worth a retry.

use std::error::Error;
use std::fmt;

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::http::Response;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

type BoxError = Box<dyn Error + Send + Sync>;

/// The reason why a call failed after all its attempts. The type is boxed, so that the clients'
/// error types are small.
#[derive(Debug)]
pub struct FailedCall(Box<Failure>);

#[derive(Debug)]
struct Failure {
    kind: Kind,
    /// The underlying error. `None` if the service responded with an error, because the text
    /// already contains that response.
    source: Option<BoxError>,
}

#[derive(Debug)]
enum Kind {
    /// The service responded with an error.
    Refused { status: u16, code: Option<String>, message: Option<String>, request: Option<String> },
    /// No response arrived in time. The service may have carried out the request.
    Timeout,
    /// The connection failed or broke. The service may have carried out the request.
    Connection,
    /// The client cannot parse the response.
    Answer,
    /// The service responded without an error, but the response lacks a field or reports a failure.
    Unusable { why: String, is_retryable: bool },
    /// The client sent no request, because it could not build the request from its input.
    Request,
}

/// Throttling codes, without the suffix `Exception`. `LimitExceeded` is not among them: the
/// services that Stablepin calls use it for a quota, and waiting does not raise a quota.
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

/// Codes of a failure inside the service or of a conflict between two transactions, without the
/// suffix `Exception`. Some services send these codes with status 400.
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

/// Codes of a temporary condition, without the suffix `Exception`: expired credentials, differing
/// clocks, a quota, a concurrent change, or an upstream registry of a pull-through cache. Their
/// status is often 4xx. AWS does not say whether waiting helps after ECS's
/// `LimitExceededException`. For ECR, see [`FailedCall::is_refusal_of_ecr`].
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html>
const OF_THE_MOMENT: [&str; 25] = [
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
    "UnableToGetUpstreamImage",
    "UnableToGetUpstreamLayer",
    "UnableToListUpstreamImageReferrers",
    "UnrecognizedClient",
    "UpdateInProgress",
];

/// General codes. With such a code, only the message can say that the condition is temporary. The
/// client does not search the messages of other codes, because those messages quote names that
/// people choose.
const GENERAL: [&str; 4] =
    ["Client", "InvalidParameter", "InvalidParameterValue", "InvalidParameterCombination"];

/// Words in the message of a general code that mean a temporary condition. An example is ECS's
/// `ClientException`: "Too many concurrent attempts to create a new revision of the specified
/// family." The words "and try again" also occur in messages about lasting conditions.
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

/// Policies that can deny a call, in the words of AWS's messages.
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
    /// No policy of the caller's role allows `iam:PassRole`.
    NotAllowed,
    /// A policy of this kind denies `iam:PassRole`, even if the caller's role allows it.
    Policy(&'static str),
    /// AWS names no policy.
    Unexplained,
}

/// Returns a code without the suffix `Exception`. Some services send `ServiceUnavailable`, others
/// `ServiceUnavailableException`.
fn bare(code: &str) -> &str {
    code.strip_suffix("Exception").unwrap_or(code)
}

/// Returns true if a retry may succeed after this error code. A successful response may also
/// contain such a code, for the failure of one item.
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
            // The body is not from the service. It may be a gateway's error page.
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

    /// Creates a failure for a response that the client cannot parse.
    pub(crate) fn unreadable(error: serde_json::Error) -> Self {
        Self(Box::new(Failure { kind: Kind::Answer, source: Some(error.into()) }))
    }

    pub(crate) fn unusable(why: impl Into<String>, is_retryable: bool) -> Self {
        let kind = Kind::Unusable { why: why.into(), is_retryable };
        Self(Box::new(Failure { kind, source: None }))
    }

    /// Creates a failure for a body that did not arrive completely.
    pub(crate) fn broken_off(error: impl Into<BoxError>) -> Self {
        Self::unusable("the transfer broke off", true).with_source(error)
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Removes the source of the failure, because the source may contain a secret address.
    pub(crate) fn without_source(mut self) -> Self {
        self.0.source = None;
        self
    }

    /// AWS's error code, such as `AccessDeniedException`.
    pub fn code(&self) -> Option<&str> {
        let Kind::Refused { code, .. } = &self.0.kind else { return None };
        code.as_deref()
    }

    /// Returns true if the service responded with a 4xx status. The failed attempt then changed
    /// nothing.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self.0.kind, Kind::Refused { status: 400..500, .. })
    }

    /// Returns true if the service will refuse a retry too, until a permission, a parameter or a
    /// resource changes. An error because of a temporary condition is not a refusal. A call without
    /// a response is not a refusal.
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

    /// Returns true if a retry of an ECR call would fail too: ECR refused the call, or the response
    /// is not usable. An exceeded limit counts as a refusal, because waiting does not raise the
    /// limits: 100,000 images of a repository, 1,000 tags of an image.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
    pub(crate) fn is_refusal_of_ecr(&self) -> bool {
        self.is_refusal()
            || self.is_unusable()
            || (self.is_answered() && self.code() == Some("LimitExceededException"))
    }

    /// Returns true if the service's response is incomplete or shows a defect, and a retry would
    /// get the same response.
    pub fn is_unusable(&self) -> bool {
        matches!(self.0.kind, Kind::Unusable { is_retryable: false, .. })
    }

    /// Returns why the caller may not pass a task's role. Returns `None` if the call failed for
    /// another reason.
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

    /// Returns true if the service rejected the credentials, or if the credentials lack a
    /// permission.
    pub fn is_denied(&self) -> bool {
        let Kind::Refused { status, code, .. } = &self.0.kind else { return false };
        let denials = ["AccessDenied", "ExpiredToken", "UnrecognizedClient", "Signature", "SecurityToken"];
        matches!(status, 401 | 403)
            || code.as_ref().is_some_and(|code| denials.iter().any(|denial| code.contains(denial)))
    }

    /// Returns true if a retry of the call may succeed. Examples are throttling, a failure inside
    /// the service, a failed connection, and a missing response.
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
    fn failed_call_recognizes_retryable_codes() {
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
    fn temporary_error_is_not_a_refusal() {
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
    fn pass_role_denial_names_the_denying_policy() {
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
    fn exceeded_ecr_limit_is_a_refusal() {
        for (status, code, refusal) in [
            (400, "LimitExceededException", true),
            (400, "AccessDeniedException", true),
            (503, "LimitExceededException", false),
            (400, "ThrottlingException", false),
            (400, "ExpiredTokenException", false),
            (400, "UnableToListUpstreamImageReferrersException", false),
        ] {
            let failed = FailedCall::refused(status, Some(code), None, None);
            assert_eq!(failed.is_refusal_of_ecr(), refusal, "{status} {code}");
        }
        assert!(FailedCall::unusable("the bytes have another hash", false).is_refusal_of_ecr());
        assert!(!FailedCall::unusable("UpstreamUnavailable", true).is_refusal_of_ecr());
    }

    #[test]
    fn failed_call_text_includes_code_and_message() {
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
