//! A server that records requests and returns prepared responses.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use stablepin_aws::session::{Session, Settings};
use stablepin_tests::server::{self, Answered, Server};

pub(crate) const ACCESS_KEY: &str = "AKIAEXAMPLE";
pub(crate) const SECRET_KEY: &str = "example-secret";
pub(crate) const REGION: &str = "eu-west-1";

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Request {
    fn of(request: &server::Request) -> Self {
        Self {
            method: request.method.clone(),
            path: request.target.clone(),
            headers: request.headers.iter().cloned().collect(),
            body: String::from_utf8(request.body.clone()).unwrap(),
        }
    }

    /// The name of the operation, or the path if no header names the operation.
    pub(crate) fn operation(&self) -> &str {
        self.headers
            .get("x-amz-target")
            .and_then(|target| target.split('.').next_back())
            .unwrap_or(&self.path)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A prepared response.
#[derive(Debug, Clone)]
pub(crate) struct Answer(Answered);

impl Answer {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let headers = [("content-type", "application/x-amz-json-1.1"), ("x-amzn-requestid", "7f2f")];
        Self(Answered::new(status, &headers, body))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.0.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

pub(crate) fn ok(body: Value) -> Answer {
    Answer::new(200, body.to_string())
}

pub(crate) fn bytes(body: impl Into<Vec<u8>>) -> Answer {
    Answer::new(200, body)
}

/// An error as the JSON protocols write it.
pub(crate) fn error(status: u16, code: &str) -> Answer {
    Answer::new(status, json!({"__type": code, "message": "told by the test"}).to_string())
}

/// An error with this body.
pub(crate) fn error_of(status: u16, body: Value) -> Answer {
    Answer::new(status, body.to_string())
}

/// A cancelled transaction with DynamoDB's reason for each of its writes.
pub(crate) fn cancelled(reasons: &[&str]) -> Answer {
    cancelled_for(&reasons.iter().map(|code| json!({"Code": code})).collect())
}

/// A cancelled transaction with these reasons, which may contain items.
pub(crate) fn cancelled_for(each: &Value) -> Answer {
    let code = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    let body = json!({"__type": code, "Message": "told by the test", "CancellationReasons": each});
    Answer::new(400, body.to_string())
}

/// An error as the query protocol writes it.
pub(crate) fn xml_error(status: u16, code: &str) -> Answer {
    let error =
        format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>told by the test</Message></Error>");
    let body = format!("<ErrorResponse>{error}<RequestId>7f2f</RequestId></ErrorResponse>");
    Answer::new(status, body)
}

/// An error as S3 writes it.
pub(crate) fn s3_error(status: u16, code: &str) -> Answer {
    let error = format!("<Error><Code>{code}</Code><Message>told by the test</Message></Error>");
    Answer::new(status, error).header("x-amz-request-id", "7f2f")
}

pub(crate) struct Wire {
    pub(crate) url: String,
    server: Server,
    requests: Arc<Mutex<Vec<Request>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    /// The responses to downloads. A download may arrive before another call that runs at the same
    /// time.
    downloads: Arc<Mutex<VecDeque<Answer>>>,
}

/// The path of downloads.
pub(crate) const DOWNLOAD: &str = "/blob";

impl Wire {
    /// Starts a server that returns these responses in order, for any request. After the last
    /// response, it returns status 501.
    pub(crate) fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let answers: Arc<Mutex<VecDeque<_>>> = Arc::new(Mutex::new(answers.into_iter().collect()));
        let downloads: Arc<Mutex<VecDeque<_>>> = Arc::default();
        let received = Arc::clone(&requests);
        let (called, downloaded) = (Arc::clone(&answers), Arc::clone(&downloads));
        let server = Server::start(move |request| {
            received.lock().unwrap().push(Request::of(request));
            let prepared = if request.target.starts_with(DOWNLOAD) { &downloaded } else { &called };
            let prepared = prepared.lock().unwrap().pop_front();
            prepared.unwrap_or_else(|| error(501, "NoAnswerPrepared")).0
        });
        Self { url: server.url(), server, requests, answers, downloads }
    }

    /// Adds a response after the start of the server, because the response contains the server's
    /// address.
    pub(crate) fn will_answer(&self, answer: Answer) {
        self.answers.lock().unwrap().push_back(answer);
    }

    /// Adds a response to a download.
    pub(crate) fn will_send(&self, answer: Answer) {
        self.downloads.lock().unwrap().push_back(answer);
    }

    /// A session with one attempt per call, so that a test does not wait for retries.
    pub(crate) fn session(&self) -> Session {
        Session::new(self.settings())
    }

    pub(crate) fn settings(&self) -> Settings {
        let mut settings = Settings::read(|name| {
            let value = match name {
                "AWS_REGION" => REGION,
                "AWS_ACCESS_KEY_ID" => ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY" => SECRET_KEY,
                "AWS_ENDPOINT_URL" => &self.url,
                _ => return None,
            };
            Some(value.to_owned())
        })
        .unwrap();
        settings.attempts = 1;
        settings.patient_attempts = 1;
        settings
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns the only request. Panics unless the server has received exactly one request.
    pub(crate) fn request(&self) -> Request {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }

    pub(crate) fn operations(&self) -> Vec<String> {
        self.requests().iter().map(|request| request.operation().to_owned()).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.server.connections()
    }
}

/// The text of an error with its sources, as a log shows it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let said = error.to_string();
        assert!(!text.contains(&said), "{said:?} appears twice in {text:?}");
        text = format!("{text}: {said}");
        source = error.source();
    }
    text
}
