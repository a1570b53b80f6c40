//! One answer, as an origin of its own.

use std::thread;

use crate::wire::Connection;

/// Answers everything with it, from now on.
pub(super) fn serve(status: u16, mut headers: Vec<(String, String)>, body: String) -> String {
    let server = xtask::port::listen().expect("a port");
    let origin = format!("http://pages.localhost:{}", server.local_addr().expect("an address").port());
    headers.push(("connection".to_owned(), "close".to_owned()));
    thread::spawn(move || {
        for stream in server.incoming() {
            let mut connection = Connection::new(stream.expect("a connection"));
            if connection.request().is_some() {
                // Chromium may be gone before it has read it.
                let _ = connection.answer(status, &headers, body.as_bytes());
            }
        }
    });
    origin
}
