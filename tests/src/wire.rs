//! The part of HTTP/1.1 that the AWS SDK and the Lambda runtime speak.
//!
//! A connection carries one request after the other. Bodies have a length.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The longest silence on a connection.
const SILENCE: Duration = Duration::from_secs(120);

pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Connection {
    reader: BufReader<TcpStream>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(SILENCE)).expect("a time");
        Self { reader: BufReader::new(stream) }
    }

    /// Returns the next request. `None` if the other side has closed, died, or fallen silent.
    pub(crate) fn request(&mut self) -> Option<Request> {
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

    pub(crate) fn answer(&self, status: u16, headers: &[(String, String)], body: &[u8]) -> io::Result<()> {
        self.send(&[head(status, headers, body.len()).as_bytes(), body].concat())
    }

    /// Answers a HEAD request. The length is that of the body that GET would return.
    pub(crate) fn answer_head(
        &self,
        status: u16,
        headers: &[(String, String)],
        length: usize,
    ) -> io::Result<()> {
        self.send(head(status, headers, length).as_bytes())
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
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
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(theirs, _)| theirs == name).map(|(_, value)| value.as_str())
    }

    /// Returns the request unchanged, signature included, except that it closes the connection.
    pub(crate) fn to_last_bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in self.headers.iter().filter(|(name, _)| name != "connection") {
            text += &format!("{name}: {value}\r\n");
        }
        text += "connection: close\r\n\r\n";
        [text.as_bytes(), &self.body].concat()
    }
}
