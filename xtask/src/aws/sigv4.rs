//! AWS Signature Version 4 for one request with a complete body, made by the SDK's own signer.

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use std::error::Error;
use std::time::SystemTime;

/// The region, the service and the time for which a request is signed.
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    pub(super) service: &'a str,
    pub(super) at: SystemTime,
}

/// Returns the headers that sign a request, with names in lower case.
pub(super) fn signature(
    credentials: &Credentials,
    scope: &Scope<'_>,
    (method, url): (&str, &str),
    headers: &[(String, String)],
    body: &[u8],
) -> Result<Vec<(String, String)>, Box<dyn Error + Send + Sync>> {
    let identity = credentials.clone().into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(scope.region)
        .name(scope.service)
        .time(scope.at)
        .settings(SigningSettings::default())
        .build()?
        .into();
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let request = SignableRequest::new(method, url, headers, SignableBody::Bytes(body))?;
    let (instructions, _) = sign(request, &parameters)?.into_parts();
    Ok(instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Returns the signature of a GET with the key, scope and time of AWS's test suite for
    /// Signature Version 4.
    fn signed(url: &str) -> String {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let credentials = Credentials::new("AKIDEXAMPLE", secret, None, None, "suite");
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160); // 2015-08-30T12:36:00Z
        let scope = Scope { region: "us-east-1", service: "service", at };
        let headers = [("host".to_owned(), "example.amazonaws.com".to_owned())];
        let added = signature(&credentials, &scope, ("GET", url), &headers, b"").unwrap();
        assert!(added.contains(&("x-amz-date".to_owned(), "20150830T123600Z".to_owned())), "{added:?}");
        added.into_iter().find(|(name, _)| name == "authorization").unwrap().1
    }

    /// The case `get-vanilla` of AWS's test suite.
    #[test]
    fn signature_matches_the_test_suite_of_aws() {
        assert_eq!(
            signed("http://example.amazonaws.com/"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
    }

    /// The case `get-vanilla-query-order-key-case` of AWS's test suite.
    #[test]
    fn signature_sorts_the_query() {
        assert!(
            signed("http://example.amazonaws.com/?Param2=value2&Param1=value1")
                .ends_with("Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500")
        );
    }

    #[test]
    fn signature_encodes_the_path_twice_and_the_query_once() {
        assert!(
            signed("http://example.amazonaws.com/v1/sha256%3Aab?t=a%2Fb&all=")
                .ends_with("Signature=a0a2c63db9c9f946009036a29aa71d8f4dc3bc829f674eeeeebb893b34dd6937")
        );
    }
}
