//! Access control of the local cloud. Any page in a browser of this machine can reach the cloud's
//! port, so the cloud must refuse forged requests.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use stablepin_tests::{Plan, stack, unique};
use xtask::aws::AwsError;
use xtask::image::Spec;

const EVIL: &str = "https://evil.example";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

fn port() -> &'static str {
    stack().endpoint().rsplit(':').next().expect("a port")
}

/// Sends a request with exactly these headers, as a browser does. Returns the status and the whole
/// response.
#[track_caller]
fn send(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(format!("127.0.0.1:{}", port())).expect("the cloud listens");
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .expect("the cloud accepts a request");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the cloud answers");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status: {answer}")), answer)
}

#[track_caller]
fn is_refused((status, answer): &(u16, String), what: &str) {
    assert_eq!(*status, 403, "{what}: {answer}");
    assert!(answer.contains("The local cloud"), "{what}: {answer}");
    assert!(!answer.to_lowercase().contains("access-control-"), "{what}: {answer}");
}

#[test]
fn local_cloud_refuses_a_hostile_host_header() {
    let ready = |host: &str| send("GET", "/_ministack/ready", &[("Host", host)], "");
    for host in ["localhost", "LocalHost", "127.0.0.1", "127.1.2.3", "[::1]", "bucket.s3.localhost"] {
        for host in [host.to_owned(), format!("{host}:{}", port())] {
            assert_eq!(ready(&host).0, 200, "{host}");
        }
    }
    let hostile = [
        "evil.example",
        "localhost.evil.example",
        "evillocalhost",
        "10.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "[::ffff:10.0.0.1]",
        "localhost@evil.example",
        "",
        ".localhost",
    ];
    for host in hostile {
        for host in [host.to_owned(), format!("{host}:{}", port())] {
            is_refused(&ready(&host), &host);
        }
    }
}

#[test]
fn local_cloud_refuses_forms_of_other_sites() {
    let name = format!("forged-{}", unique());
    let key = stack().variable("AWS_ACCESS_KEY_ID");
    let query = format!(
        "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={key}/20260101/us-east-1/iam/aws4_request"
    );
    let body = format!("Action=CreateUser&Version=2010-05-08&UserName={name}");
    let host = format!("localhost:{}", port());
    let api_host = stack().api().trim_start_matches("http://");
    let other_port = "http://localhost:1";
    for origin in [EVIL, "null", other_port, stack().endpoint(), stack().api()] {
        let headers = [("Host", host.as_str()), ("Origin", origin), FORM];
        is_refused(&send("POST", &query, &headers, &body), origin);
        is_refused(&send("POST", "/_ministack/no-such", &headers, ""), origin);
        is_refused(&send("PUT", "/v2/web/manifests/main", &headers, "{}"), origin);
        let sub = format!("evil.{api_host}");
        is_refused(&send("POST", &query, &[("Host", sub.as_str()), ("Origin", origin), FORM], &body), origin);
    }
    for path in ["/_ministack/no-such", "/_aws/execute-api/x/y", "/v2/web/manifests/main"] {
        is_refused(&send("PUT", path, &[("Host", api_host), ("Origin", stack().api())], "{}"), path);
    }
    // A browser sends no Origin for a link or an image. The cloud refuses such a request because it
    // has no signature.
    let (status, answer) = send("POST", &query, &[("Host", host.as_str()), FORM], &body);
    assert!(status >= 400, "{answer}");
    let user = [("Action", "GetUser"), ("Version", "2010-05-08"), ("UserName", &name)];
    let found = stack().aws().query("iam", &user);
    assert!(found.is_err_and(|error| error.is("NoSuchEntity")), "no user was created");
}

#[test]
fn local_cloud_refuses_cors_preflights() {
    for (path, host) in
        [("/", "localhost"), ("/v1/applications", stack().api().trim_start_matches("http://"))]
    {
        let ask = [("Host", host), ("Origin", EVIL), ("Access-Control-Request-Method", "PUT")];
        is_refused(&send("OPTIONS", path, &ask, ""), path);
        for method in ["OPTIONS", "GET"] {
            let (_, answer) = send(method, path, &[("Host", host)], "");
            assert!(!answer.to_lowercase().contains("access-control-"), "{method} {path}: {answer}");
        }
    }
}

#[test]
fn local_cloud_accepts_forms_of_its_own_pages() {
    let app = Plan::new("own-form").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    let api = stack().api();
    let host = api.trim_start_matches("http://");
    let path = link.url();
    let path =
        path.strip_prefix(api).expect("the link leads to the API").split('?').next().unwrap_or_default();
    let fetch = |site| ("Sec-Fetch-Site", site);
    let (own, foreign) = (("Origin", api), ("Origin", EVIL));
    let null = ("Origin", "null");
    // A browser sends the Origin `null` for a form of a page with `no-referrer`, and for a form in
    // a frame of another site.
    let passes: [&[(&str, &str)]; 3] = [&[own], &[own, fetch("same-origin")], &[null, fetch("same-origin")]];
    for headers in passes {
        let headers = [&[("Host", host), FORM], headers].concat();
        let (status, answer) = send("POST", path, &headers, "t=no-such-token");
        assert!(status != 403 && !answer.contains("The local cloud"), "{headers:?}: {answer}");
    }
    let refused: [&[(&str, &str)]; 5] = [
        &[foreign],
        &[null],
        &[null, fetch("cross-site")],
        &[own, foreign],
        &[("Origin", "http://localhost")],
    ];
    for headers in refused {
        let headers = [&[("Host", host), FORM], headers].concat();
        is_refused(&send("POST", path, &headers, "t=no-such-token"), &format!("{headers:?}"));
    }
}

#[test]
fn local_cloud_refuses_an_unknown_access_key() {
    let aws = stack().aws();
    let unknown = ["test", "000000000000", "AKIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE", "-"];
    for key in unknown {
        let unknown_caller = aws.with_credentials(key, "test", None);
        let calls = [
            unknown_caller.sqs("ListQueues", &json!({})),
            unknown_caller.dynamodb("ListTables", &json!({})),
            unknown_caller.ecr("GetAuthorizationToken", &json!({})),
            unknown_caller.ecs("ListClusters", &json!({})),
            unknown_caller.rest("lambda", "/2015-03-31/functions/"),
            unknown_caller.events("PutServiceEvents", &json!({ "Entries": [] })),
            unknown_caller
                .query("sts", &[("Action", "GetCallerIdentity"), ("Version", "2011-06-15")])
                .map(Into::into),
            unknown_caller.s3("").map(|_| "buckets".into()),
        ];
        for call in calls {
            is_unknown(key, call);
        }
        let route = format!("{}/v1/applications", stack().api());
        let answer = unknown_caller.call("GET", &route, None, None, true).expect("the API answers");
        assert_eq!(answer.status, 403, "{key}: {}", answer.text());
    }
}

#[track_caller]
fn is_unknown(key: &str, call: Result<serde_json::Value, AwsError>) {
    match call {
        Err(AwsError::Refused { code, .. }) => {
            let codes = ["UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId"];
            assert!(codes.contains(&code.as_str()), "{key}: {code}");
        }
        other => panic!("{key}: {other:?}"),
    }
}

#[test]
fn local_cloud_refuses_a_request_without_a_signature() {
    let api = stack().api().trim_start_matches("http://");
    let json = ("Content-Type", "application/x-amz-json-1.0");
    let asked = [
        send("POST", "/", &[("Host", "localhost"), json, ("X-Amz-Target", "AmazonSQS.ListQueues")], "{}"),
        send("POST", "/?Action=ListUsers&Version=2010-05-08", &[("Host", "localhost"), FORM], ""),
        send("GET", "/2015-03-31/functions/", &[("Host", "localhost")], ""),
        send("GET", "/", &[("Host", "s3.localhost")], ""),
        send("GET", "/v1/applications", &[("Host", api)], ""),
    ];
    for (status, answer) in asked {
        assert!(matches!(status, 400 | 403), "{answer}");
    }
    let (status, answer) = send("GET", "/no-such-route", &[("Host", api)], "");
    assert_eq!(status, 404, "{answer}");
}

#[test]
fn local_cloud_refuses_a_wrong_secret_key() {
    let aws = stack().aws();
    let guess = aws.with_credentials(stack().variable("AWS_ACCESS_KEY_ID"), "test", None);
    for call in [guess.sqs("ListQueues", &json!({})), guess.rest("lambda", "/2015-03-31/functions/")] {
        let refused = call.expect_err("the signature is wrong").to_string();
        assert!(refused.contains("Signature"), "{refused}");
    }
}

/// Tries the access key that MiniStack would derive from the Lambda function's ARN and role. That
/// key would be the same in every local cloud.
#[test]
fn local_cloud_gives_lambda_functions_unguessable_keys() {
    let aws = stack().aws();
    let name = stack().variable("STABLEPIN_API_FUNCTION");
    let function = aws.rest("lambda", &format!("/2015-03-31/functions/{name}")).expect("a function");
    let text = |member: &str| function["Configuration"][member].as_str().expect("text").to_owned();
    let digest = xtask::image::digest(format!("{}:{}", text("FunctionArn"), text("Role")).as_bytes());
    let digest = digest.trim_start_matches("sha256:");
    let key = format!("ASIA{}", digest[..16].to_uppercase());
    let derived = |word: &str| {
        let hash = xtask::image::digest(format!("{word}:{digest}").as_bytes());
        hash.trim_start_matches("sha256:").to_owned()
    };
    let guess = aws.with_credentials(&key, &derived("secret"), Some(&derived("token")));
    let identity = guess.query("sts", &[("Action", "GetCallerIdentity"), ("Version", "2011-06-15")]);
    is_unknown(&key, identity.map(Into::into));
}

#[test]
fn local_cloud_hides_its_keys_from_other_users() {
    let key = stack().variable("AWS_ACCESS_KEY_ID");
    assert!(key.starts_with("AKIA") && key.len() == 20, "{key}");
    for file in ["cloud.json", "env"] {
        let file = stack().folder().join(file);
        let mode = fs::metadata(&file).expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}: {mode:o}", file.display());
    }
}
