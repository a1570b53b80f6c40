//! AWS Signature Version 4 for one request with a complete body.
//!
//! The functions sign with the SDK. This separate code, on `hmac` and `sha2`, checks them in the
//! demo and the tests. It also keeps `cargo xtask` quick to compile: 2 s for these crates, 9 s for
//! the SDK's signer.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use hmac::{Hmac, Mac as _};
use jiff::{Timestamp, tz::TimeZone};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest as _, Sha256};

/// The signer: an access key, and the region and service for which it signs.
pub(crate) struct Signer<'a> {
    pub access_key: &'a str,
    pub secret_key: &'a str,
    pub region: &'a str,
    pub service: &'a str,
}

/// The signed parts of a request. `headers` must contain `host`, and its names are lower case.
pub(crate) struct Signable<'a> {
    pub method: &'a str,
    /// The percent-encoded path, as it is sent.
    pub path: &'a str,
    /// The query as it is sent, without the question mark.
    pub query: &'a str,
    pub headers: &'a [(String, String)],
    pub body: &'a [u8],
}

/// The unreserved characters of RFC 3986 stay. All others are encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The value of `x-amz-date`, for example `20150830T123600Z`.
pub(crate) fn amz_date(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ").to_string()
}

impl Signer<'_> {
    /// The value of the `authorization` header. `amz_date` must also be one of the headers.
    pub(crate) fn authorization(&self, amz_date: &str, request: &Signable<'_>) -> String {
        let date = &amz_date[..amz_date.len().min(8)];
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);

        let mut headers: Vec<_> = request.headers.iter().collect();
        headers.sort();
        let signed: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let signed = signed.join(";");

        let canonical = canonical_request(request, &headers, &signed);
        let to_sign = format!("AWS4-HMAC-SHA256\n{amz_date}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
        let mut key = hmac(format!("AWS4{}", self.secret_key).as_bytes(), date);
        for part in [self.region, self.service, "aws4_request"] {
            key = hmac(&key, part);
        }
        let signature = hex(&hmac(&key, &to_sign));
        format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}",
            self.access_key
        )
    }
}

fn canonical_request(request: &Signable<'_>, headers: &[&(String, String)], signed: &str) -> String {
    // Every service but S3 signs the path with one more encoding.
    let path = request.path.split('/').map(encode).collect::<Vec<_>>().join("/");
    let mut query: Vec<_> = request
        .query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (encode_again(name), encode_again(value))
        })
        .collect();
    query.sort();
    let query: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();

    let mut canonical = format!("{}\n{path}\n{}\n", request.method, query.join("&"));
    for (name, value) in headers {
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        canonical.push_str(&format!("{name}:{value}\n"));
    }
    canonical.push_str(&format!("\n{signed}\n{}", sha256_hex(request.body)));
    canonical
}

/// Encodes a part of a path or query as AWS does.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

fn encode_again(sent: &str) -> String {
    encode(&percent_decode_str(sent).decode_utf8_lossy())
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUITE: Signer<'_> = Signer {
        access_key: "AKIDEXAMPLE",
        secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        region: "us-east-1",
        service: "service",
    };

    fn suite_headers() -> Vec<(String, String)> {
        vec![
            ("host".into(), "example.amazonaws.com".into()),
            ("x-amz-date".into(), "20150830T123600Z".into()),
        ]
    }

    /// The case `get-vanilla` of AWS's test suite for Signature Version 4.
    #[test]
    fn signature_matches_the_test_suite_of_aws() {
        let request = Signable { method: "GET", path: "/", query: "", headers: &suite_headers(), body: b"" };
        assert_eq!(
            SUITE.authorization("20150830T123600Z", &request),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
        );
    }

    /// The case `get-vanilla-query-order-key-case` of the same suite: the query is signed in order.
    #[test]
    fn signature_sorts_the_query() {
        let request = Signable {
            method: "GET",
            path: "/",
            query: "Param2=value2&Param1=value1",
            headers: &suite_headers(),
            body: b"",
        };
        assert!(
            SUITE
                .authorization("20150830T123600Z", &request)
                .ends_with("Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500")
        );
    }

    #[test]
    fn path_is_encoded_twice_and_query_once() {
        let request = Signable {
            method: "GET",
            path: "/v1/sha256%3Aab",
            query: "t=a%2Fb&all",
            headers: &suite_headers(),
            body: b"",
        };
        let headers = suite_headers();
        let headers: Vec<_> = headers.iter().collect();
        let canonical = canonical_request(&request, &headers, "host;x-amz-date");
        assert!(canonical.starts_with("GET\n/v1/sha256%253Aab\nall=&t=a%2Fb\nhost:"), "{canonical}");
    }

    #[test]
    fn time_is_written_as_aws_does() {
        let at: Timestamp = "2015-08-30T12:36:00.9Z".parse().unwrap();
        assert_eq!(amz_date(at), "20150830T123600Z");
    }
}
