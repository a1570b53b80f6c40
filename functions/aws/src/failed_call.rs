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
const THROTTLING: [&str; 11] = [
    "BandwidthLimitExceeded",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
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
