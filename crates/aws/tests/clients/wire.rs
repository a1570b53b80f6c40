//! An HTTP server on loopback that records requests and returns prepared answers.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use stablepin_aws::session::{Session, Settings};

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
    /// The operation. It is the path for services that do not name it in a header.
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

#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
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

/// An error with a body of its own.
pub(crate) fn error_of(status: u16, body: Value) -> Answer {
    Answer::new(status, body.to_string())
}

/// A cancelled transaction with DynamoDB's reason for each of its writes.
pub(crate) fn cancelled(reasons: &[&str]) -> Answer {
    cancelled_for(&reasons.iter().map(|code| json!({"Code": code})).collect())
}

/// A cancelled transaction with whole reasons, items included.
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

#[derive(Debug, Default)]
struct Received {
    requests: Vec<Request>,
    connections: usize,
}

pub(crate) struct Wire {
    pub(crate) url: String,
    received: Arc<Mutex<Received>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
}

impl Wire {
    /// Returns these answers in order, for any request. After the last one, it returns `501`.
    pub(crate) fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Received::default()));
        let answers: Arc<Mutex<VecDeque<_>>> = Arc::new(Mutex::new(answers.into_iter().collect()));
        let wire = Self { url, received: received.clone(), answers: answers.clone() };
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, received, answers) = (stream.unwrap(), received.clone(), answers.clone());
                received.lock().unwrap().connections += 1;
                thread::spawn(move || serve(stream, &received, &answers));
            }
        });
        wire
    }

    /// Adds an answer later, for one that contains this server's address.
    pub(crate) fn will_answer(&self, answer: Answer) {
        self.answers.lock().unwrap().push_back(answer);
    }

    /// A session with one attempt per call, so that a refused call does not wait.
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
        self.received.lock().unwrap().requests.clone()
    }

    /// The only request. Fails if there were others.
    pub(crate) fn request(&self) -> Request {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }

    pub(crate) fn operations(&self) -> Vec<String> {
        self.requests().iter().map(|request| request.operation().to_owned()).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.received.lock().unwrap().connections
    }
}

/// Answers the requests of one connection until the client closes it.
fn serve(stream: TcpStream, received: &Mutex<Received>, answers: &Mutex<VecDeque<Answer>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some(request) = read(&mut reader) {
        received.lock().unwrap().requests.push(request);
        let answer = answers.lock().unwrap().pop_front().unwrap_or_else(|| error(501, "NoAnswerPrepared"));
        let mut head = format!(
            "HTTP/1.1 {} X\r\ncontent-type: application/x-amz-json-1.1\r\nx-amzn-requestid: 7f2f\r\ncontent-length: {}\r\n",
            answer.status,
            answer.body.len()
        );
        for (name, value) in &answer.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&answer.body)).is_err() {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut first = line.split_whitespace().map(str::to_owned);
    let (method, path) = (first.next()?, first.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body: String::from_utf8(body).unwrap() })
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
