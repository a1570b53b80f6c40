//! An HTTP server on loopback that handles each connection in its own thread. It stops when it is
//! dropped.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::wire::{Connection, Request};

/// An HTTP answer.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answered {
    pub(crate) fn new(status: u16, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { status, headers: headers.iter().map(owned).collect(), body: body.into() }
    }
}

pub(crate) struct Server {
    address: SocketAddr,
    over: Arc<AtomicBool>,
}

impl Server {
    /// Starts a server on a free port.
    pub(crate) fn start(answer: impl Fn(&Request) -> Answered + Send + Sync + 'static) -> Self {
        let listener = xtask::port::listen().expect("a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let over = Arc::new(AtomicBool::new(false));
        let (ends, answer) = (Arc::clone(&over), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if ends.load(Ordering::SeqCst) {
                    return;
                }
                let answer = Arc::clone(&answer);
                thread::spawn(move || converse(stream, &*answer));
            }
        });
        Self { address, over }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address); // wakes the listener, which then stops
    }
}

fn converse(stream: TcpStream, answer: &dyn Fn(&Request) -> Answered) {
    let mut connection = Connection::new(stream);
    while let Some(request) = connection.request() {
        // The AWS SDK opens connections with this request before it has anything to ask.
        let ping = request.target == "/ping";
        let mut answered = if ping { Answered::new(200, &[], "{}") } else { answer(&request) };
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
