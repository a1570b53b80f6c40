//! An HTTP server on loopback for all tests.
//!
//! The server speaks the part of HTTP/1.1 that the AWS SDK, the Lambda runtime and Chromium need. A
//! client must send the requests of a connection one after the other, and each body with a
//! `content-length`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// An HTTP response.
#[derive(Debug, Clone)]
pub struct Answered {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answered {
    pub fn new(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { status, headers: headers.iter().map(owned).collect(), body: body.into() }
    }
}

/// A server that handles each connection in its own thread. Dropping the server stops it.
pub struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Server {
    /// Starts a server on a free port.
    pub fn start(answer: impl Fn(&Request) -> Answered + Send + Sync + 'static) -> Self {
        let listener = xtask::port::listen().expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let (connections, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, ends, answer) = (Arc::clone(&connections), Arc::clone(&over), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let answer = Arc::clone(&answer);
                thread::spawn(move || converse(stream, &*answer));
            }
        });
        Self { address, connections, over }
    }

    /// Starts a server for a fake of an AWS service. The server also responds to requests for
    /// `/ping`: the programs of the Lambda functions open each connection with such a request.
    pub fn start_aws(answer: impl Fn(&Request) -> Answered + Send + Sync + 'static) -> Self {
        Self::start(
            move |request| {
                if request.target == "/ping" { Answered::new(200, &[], "{}") } else { answer(request) }
            },
        )
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns how many connections clients have opened so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // a connection wakes the listener, which stops
    }
}

fn converse(stream: TcpStream, answer: &dyn Fn(&Request) -> Answered) {
    let mut connection = Connection::new(stream);
    while let Some(request) = connection.request() {
        let mut answered = answer(&request);
        let last = request.header("connection").is_some_and(|text| text.eq_ignore_ascii_case("close"));
        if last {
            answered.headers.push(("connection".to_owned(), "close".to_owned()));
        }
        let Answered { status, headers, body } = answered;
        let sent = if request.method == "HEAD" {
            connection.answer_head(status, &headers, body.len())
        } else {
            connection.answer(status, &headers, &body)
        };
        if sent.is_err() || last {
            return;
        }
    }
}

/// The longest time without data on a connection.
const SILENCE: Duration = Duration::from_secs(120);

pub struct Request {
    pub method: String,
    pub target: String,
    /// Pairs of a name, in lower case, and a value.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

pub struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    pub fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(SILENCE)).expect("a time");
        Self { reader: BufReader::new(stream) }
    }

    /// Returns the next request. `None` if the client has closed the connection or sends nothing in
    /// time.
    pub fn request(&mut self) -> Option<Request> {
        let line = self.line()?;
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':')?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut request = Request { method, target, headers, body: Vec::new() };
        assert_ne!(request.header("transfer-encoding"), Some("chunked"), "a body in chunks");
        let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        request.body = vec![0; length];
        self.reader.read_exact(&mut request.body).ok()?;
        Some(request)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).ok()?;
        (read > 0).then(|| line.trim_end().to_owned())
    }

    pub fn answer(&self, status: u16, headers: &[(String, String)], body: &[u8]) -> io::Result<()> {
        self.send(&[head(status, headers, body.len()).as_bytes(), body].concat())
    }

    /// Responds to a HEAD request. `length` is the length of the body that GET would return.
    pub fn answer_head(&self, status: u16, headers: &[(String, String)], length: usize) -> io::Result<()> {
        self.send(head(status, headers, length).as_bytes())
    }

    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_ref().write_all(bytes)
    }
}

fn head(status: u16, headers: &[(String, String)], length: usize) -> String {
    let mut text = format!("HTTP/1.1 {status} -\r\n");
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text + &format!("content-length: {length}\r\n\r\n")
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(theirs, _)| theirs == name).map(|(_, value)| value.as_str())
    }

    /// Returns the bytes of the request, including the signature. Only the header `connection`
    /// changes: its value becomes `close`.
    pub fn to_last_bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in self.headers.iter().filter(|(name, _)| name != "connection") {
            text += &format!("{name}: {value}\r\n");
        }
        text += "connection: close\r\n\r\n";
        [text.as_bytes(), &self.body].concat()
    }
}
