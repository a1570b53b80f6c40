//! Serves one answer from an origin of its own.

use std::thread;

use crate::wire::Connection;

/// Answers every request with this answer, from now on. Returns the origin.
pub(super) fn serve(status: u16, mut headers: Vec<(String, String)>, body: String) -> String {
    let server = xtask::port::listen().expect("a port");
    let origin = format!("http://pages.localhost:{}", server.local_addr().expect("an address").port());
    headers.push(("connection".to_owned(), "close".to_owned()));
    thread::spawn(move || {
        for stream in server.incoming() {
            let mut connection = Connection::new(stream.expect("a connection"));
            if connection.request().is_some() {
                // Chromium may have closed the connection before it has read the answer.
                let _ = connection.answer(status, &headers, body.as_bytes());
            }
        }
    });
    origin
}
