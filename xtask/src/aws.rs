//! A small, blocking AWS client for the local cloud. It uses only the signer of the AWS SDK.
//!
//! The demo and the tests use the client to check Stablepin's results independently. The client
//! returns each response of the emulator unchanged, retries nothing, and connects to loopback only.

mod ecr;
mod item;
mod sigv4;

use std::{
    fmt,
    io::Read as _,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use aws_credential_types::Credentials;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use ureq::http;

pub use item::plain_item;
use sigv4::{Scope, signature};

/// The time limit of one request, which may include an invocation of a Lambda function.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A client of one account of the local cloud, with one access key.
#[derive(Clone)]
pub struct Aws {
    http: ureq::Agent,
    endpoint: String,
    region: String,
    credentials: Credentials,
}

/// An HTTP response of any status.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    /// The names are in lower case, in the order of the response.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    /// The service returned an error.
    #[error("{service} answered {status} {code}: {message}")]
    Refused { service: String, status: u16, code: String, message: String },
    /// The Lambda function ran and failed. `payload` is its response.
    #[error("function {function} failed: {payload}")]
    Function { function: String, payload: String },
    #[error("no answer from {url}")]
    Unreachable {
        url: String,
        #[source]
        source: Box<ureq::Error>,
    },
    #[error("{service} answered with something that is not JSON: {body}")]
    NotJson {
        service: String,
        body: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("cannot ask {url}: {reason}")]
    BadRequest { url: String, reason: String },
}

impl AwsError {
    /// Returns whether the service returned the error code `code`, such as
    /// `RepositoryNotFoundException`.
    pub fn is(&self, code: &str) -> bool {
        matches!(self, AwsError::Refused { code: theirs, .. } if theirs == code)
    }
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key", &self.credentials.access_key_id())
            .finish_non_exhaustive()
    }
}

impl Aws {
    /// Creates a client of an endpoint such as `http://localhost:4566`.
    pub fn new(endpoint: &str, region: &str, access_key: &str, secret_key: &str) -> Self {
        Self {
            http: agent(),
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            region: region.to_owned(),
            credentials: credentials(access_key, secret_key, None),
        }
    }

    /// Returns a client of the same cloud with other credentials, for example those of an assumed
    /// role.
    #[must_use]
    pub fn with_credentials(&self, access_key: &str, secret_key: &str, session_token: Option<&str>) -> Self {
        Self { credentials: credentials(access_key, secret_key, session_token), ..self.clone() }
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn region(&self) -> &str {
        &self.region
    }

    pub fn ecr(&self, action: &str, body: &Value) -> Result<Value, AwsError> {
        self.json("ecr", &format!("AmazonEC2ContainerRegistry_V20150921.{action}"), body)
    }

    pub fn ecs(&self, action: &str, body: &Value) -> Result<Value, AwsError> {
        self.json("ecs", &format!("AmazonEC2ContainerServiceV20141113.{action}"), body)
    }

    pub fn dynamodb(&self, action: &str, body: &Value) -> Result<Value, AwsError> {
        self.json("dynamodb", &format!("DynamoDB_20120810.{action}"), body)
    }

    pub fn events(&self, action: &str, body: &Value) -> Result<Value, AwsError> {
        self.json("events", &format!("AWSEvents.{action}"), body)
    }

    pub fn sqs(&self, action: &str, body: &Value) -> Result<Value, AwsError> {
        self.json("sqs", &format!("AmazonSQS.{action}"), body)
    }

    /// Calls a service whose protocol names the action in the header `x-amz-target`.
    ///
    /// `service` is the signing name: `ecr`, `ecs`, `dynamodb`, `events`, `sqs`.
    pub fn json(&self, service: &str, target: &str, body: &Value) -> Result<Value, AwsError> {
        let protocol = match service {
            "dynamodb" | "sqs" => "application/x-amz-json-1.0",
            _ => "application/x-amz-json-1.1",
        };
        let headers = [("content-type", protocol), ("x-amz-target", target)];
        let url = format!("{}/", self.endpoint);
        let response = self.send("POST", &url, &headers, Some(body.to_string().as_bytes()), Some(service))?;
        response.of(service)?.json(service)
    }

    /// Calls a service that has the query protocol: IAM, STS, CloudFormation or SNS. Each service
    /// needs its own `Version`. Returns XML. [`xml_text`] reads one element of the XML.
    pub fn query(&self, service: &str, params: &[(&str, &str)]) -> Result<String, AwsError> {
        let body: Vec<_> =
            params.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let url = format!("{}/", self.endpoint);
        let response = self.send("POST", &url, &headers, Some(body.join("&").as_bytes()), Some(service))?;
        Ok(response.of(service)?.text())
    }

    /// Reads a resource of a service that names resources in the path, such as Lambda.
    pub fn rest(&self, service: &str, path: &str) -> Result<Value, AwsError> {
        let response = self.send("GET", &format!("{}{path}", self.endpoint), &[], None, Some(service))?;
        response.of(service)?.json(service)
    }

    /// Reads an object of a bucket, or the list of a bucket's objects.
    pub fn s3(&self, path: &str) -> Result<Vec<u8>, AwsError> {
        let response = self.send("GET", &format!("{}/{path}", self.endpoint), &[], None, Some("s3"))?;
        Ok(response.of("s3")?.body)
    }

    /// Puts an object into a bucket.
    pub fn put_s3(&self, path: &str, bytes: &[u8]) -> Result<(), AwsError> {
        let url = format!("{}/{path}", self.endpoint);
        self.send("PUT", &url, &[], Some(bytes), Some("s3"))?.of("s3").map(drop)
    }

    /// Replaces the code of a Lambda function.
    pub fn update_code(&self, function: &str, zip: &[u8]) -> Result<(), AwsError> {
        let url = format!("{}/2015-03-31/functions/{}/code", self.endpoint, encode(function));
        let body = json!({ "ZipFile": STANDARD.encode(zip) }).to_string();
        let headers = [("content-type", "application/json")];
        self.send("PUT", &url, &headers, Some(body.as_bytes()), Some("lambda"))?.of("lambda").map(drop)
    }

    /// Invokes a Lambda function, waits for its end, and returns its response.
    pub fn invoke(&self, function: &str, payload: &Value) -> Result<Value, AwsError> {
        let url = format!("{}/2015-03-31/functions/{}/invocations", self.endpoint, encode(function));
        let headers = [("content-type", "application/json")];
        let response =
            self.send("POST", &url, &headers, Some(payload.to_string().as_bytes()), Some("lambda"))?;
        let response = response.of("lambda")?;
        if response.header("x-amz-function-error").is_some() {
            return Err(AwsError::Function { function: function.to_owned(), payload: response.text() });
        }
        if response.body.is_empty() { Ok(Value::Null) } else { response.json("lambda") }
    }

    /// Sends a request to the HTTP API, for example to
    /// `http://{api-id}.execute-api.localhost:4566/v1/health`. The request is unsigned, or signed
    /// for `execute-api`.
    ///
    /// Returns a response of any status. Does not follow redirects.
    pub fn call(
        &self,
        method: &str,
        url: &str,
        body: Option<&[u8]>,
        content_type: Option<&str>,
        signed: bool,
    ) -> Result<Response, AwsError> {
        let headers: Vec<_> = content_type.map(|value| ("content-type", value)).into_iter().collect();
        self.call_with(method, url, &headers, body, signed)
    }

    /// Sends a request with any headers. The names of the headers must be lower case. If `signed`
    /// is set, signs every header.
    pub fn call_with(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
        signed: bool,
    ) -> Result<Response, AwsError> {
        self.send(method, url, headers, body, signed.then_some("execute-api"))
    }

    /// Sends an unsigned GET to the endpoint, for the emulator's own pages.
    pub(crate) fn get(&self, path_and_query: &str) -> Result<Response, AwsError> {
        self.send("GET", &format!("{}{path_and_query}", self.endpoint), &[], None, None)?.of("local cloud")
    }

    fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
        sign_for: Option<&str>,
    ) -> Result<Response, AwsError> {
        let place = Place::parse(url)?;
        let mut headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        headers.push(("host".into(), place.host.clone()));
        if let Some(service) = sign_for {
            let scope = Scope { region: &self.region, service, at: SystemTime::now() };
            let target = (method, &*place.url(&place.host));
            let signed = signature(&self.credentials, &scope, target, &headers, body.unwrap_or_default());
            headers.extend(
                signed.map_err(|error| AwsError::BadRequest {
                    url: url.to_owned(),
                    reason: error.to_string(),
                })?,
            );
        }
        request(&self.http, method, &place.connect_url(), &headers, body).map_err(|problem| match problem {
            Problem::Build(error) => AwsError::BadRequest { url: url.to_owned(), reason: error.to_string() },
            Problem::Http(source) => AwsError::Unreachable { url: url.to_owned(), source: Box::new(source) },
        })
    }
}

fn credentials(access_key: &str, secret_key: &str, session_token: Option<&str>) -> Credentials {
    Credentials::new(access_key, secret_key, session_token.map(str::to_owned), None, "local cloud")
}

/// Every character except the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Encodes a part of a path or of a query as AWS does.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent("stablepin-xtask")
        .timeout_global(Some(TIMEOUT))
        .build()
        .into()
}

pub enum Problem {
    Build(http::Error),
    Http(ureq::Error),
}

/// Sends one request exactly as given.
pub fn request(
    agent: &ureq::Agent,
    method: &str,
    url: &str,
    headers: &[(String, String)],
    body: Option<&[u8]>,
) -> Result<Response, Problem> {
    let mut builder = http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    // Without a body, ureq would send a POST, PUT or PATCH with chunked encoding and no chunk.
    let body = body.or_else(|| matches!(method, "POST" | "PUT" | "PATCH").then_some(b""));
    let answer = match body {
        Some(body) => agent.run(builder.body(body).map_err(Problem::Build)?),
        None => agent.run(builder.body(()).map_err(Problem::Build)?),
    };
    let (parts, body) = answer.map_err(Problem::Http)?.into_parts();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let mut bytes = Vec::new();
    body.into_reader().read_to_end(&mut bytes).map_err(|error| Problem::Http(error.into()))?;
    Ok(Response { status: parts.status.as_u16(), headers, body: bytes })
}

/// The parts of a URL of the local cloud.
struct Place {
    /// The value of the Host header: the name and the port.
    host: String,
    port: Option<String>,
    path: String,
    query: String,
}

impl Place {
    fn parse(url: &str) -> Result<Self, AwsError> {
        let bad = |reason: &str| AwsError::BadRequest { url: url.to_owned(), reason: reason.to_owned() };
        let rest = url.strip_prefix("http://").ok_or_else(|| bad("not an http:// address"))?;
        let rest = rest.split('#').next().unwrap_or(rest);
        let (host, path) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let (name, port) =
            host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port.to_owned())));
        let loopback = name == "localhost"
            || name.ends_with(".localhost")
            || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if !loopback {
            return Err(bad("only the local cloud is ever asked, and this is not loopback"));
        }
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { host: host.to_owned(), port, path: path.to_owned(), query: query.to_owned() })
    }

    /// Returns the address to connect to. Some resolvers do not know names below `.localhost`, so
    /// the client sends the name only in the Host header.
    fn connect_url(&self) -> String {
        let port = self.port.as_ref().map(|port| format!(":{port}")).unwrap_or_default();
        self.url(&format!("127.0.0.1{port}"))
    }

    fn url(&self, host: &str) -> String {
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query) };
        format!("http://{host}{}{query}", self.path)
    }
}

impl Response {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(theirs, _)| theirs.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Parses the body as JSON. `service` names the service in the error.
    pub fn json(&self, service: &str) -> Result<Value, AwsError> {
        serde_json::from_slice(&self.body).map_err(|source| AwsError::NotJson {
            service: service.to_owned(),
            body: self.text().chars().take(500).collect(),
            source,
        })
    }

    /// Returns the response if it is a success, or else the service's error.
    fn of(self, service: &str) -> Result<Self, AwsError> {
        if self.is_success() {
            return Ok(self);
        }
        let (code, message) = refusal(&self);
        Err(AwsError::Refused { service: service.to_owned(), status: self.status, code, message })
    }
}

/// Returns the error code and the message of a response, whatever its protocol.
fn refusal(response: &Response) -> (String, String) {
    let text = response.text();
    let Ok(body) = serde_json::from_slice::<Value>(&response.body) else {
        let code = xml_text(&text, "Code").unwrap_or_default();
        return (code, xml_text(&text, "Message").unwrap_or(text));
    };
    let field = |names: &[&str]| names.iter().find_map(|name| body[*name].as_str()).map(str::to_owned);
    let code =
        field(&["__type", "code", "Code"]).or_else(|| response.header("x-amzn-errortype").map(str::to_owned));
    let code = code.unwrap_or_default();
    // Examples: `com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException`, `X:http://…`
    let code = code.rsplit('#').next().unwrap_or_default().split(':').next().unwrap_or_default().to_owned();
    // Only these reasons say which part of a cancelled transaction failed.
    let reasons = body.get("CancellationReasons").map(|reasons| format!(" {reasons}")).unwrap_or_default();
    (code, field(&["message", "Message"]).unwrap_or(text) + &reasons)
}

/// Returns the text of the first element `tag` in a response of the query protocol. Resolves the
/// entities of the text.
pub fn xml_text(xml: &str, tag: &str) -> Option<String> {
    let start = xml.find(&format!("<{tag}>"))? + tag.len() + 2;
    let end = start + xml[start..].find(&format!("</{tag}>"))?;
    let text = xml[start..end].trim();
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&apos;", "'");
    Some(text.replace("&amp;", "&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_refuses_hosts_other_than_loopback() {
        for url in [
            "http://example.com/",
            "http://169.254.169.254/",
            "https://localhost/",
            "http://localhost.evil.com/",
        ] {
            assert!(Place::parse(url).is_err(), "{url}");
        }
        let place =
            Place::parse("http://0a1b2c3d.execute-api.localhost:4566/decide/web?t=a%2Fb#here").unwrap();
        assert_eq!(place.host, "0a1b2c3d.execute-api.localhost:4566");
        assert_eq!(place.connect_url(), "http://127.0.0.1:4566/decide/web?t=a%2Fb");
        assert_eq!(Place::parse("http://localhost:1?a=b").unwrap().connect_url(), "http://127.0.0.1:1/?a=b");
    }

    fn answer(status: u16, body: &str) -> Response {
        Response { status, headers: Vec::new(), body: body.into() }
    }

    #[test]
    fn client_parses_the_errors_of_each_aws_protocol() {
        let json = r#"{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","Message":"no","CancellationReasons":[{"Code":"None"}]}"#;
        assert_eq!(
            refusal(&answer(400, json)),
            ("TransactionCanceledException".into(), "no [{\"Code\":\"None\"}]".into())
        );
        let xml = "<ErrorResponse><Error><Code>NoSuchEntity</Code><Message>a &amp; b</Message></Error></ErrorResponse>";
        assert_eq!(refusal(&answer(404, xml)), ("NoSuchEntity".into(), "a & b".into()));
        assert_eq!(refusal(&answer(502, "oops")), (String::new(), "oops".into()));
        let error = answer(404, xml).of("iam").unwrap_err();
        assert!(error.is("NoSuchEntity"));
        assert_eq!(error.to_string(), "iam answered 404 NoSuchEntity: a & b");
    }
}
