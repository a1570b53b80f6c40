//! Serves one answer from an origin of its own.

use crate::server::{Answered, Server};

/// Answers every request with this answer, from now on. Returns the origin.
pub(super) fn serve(status: u16, headers: Vec<(String, String)>, body: String) -> String {
    let server =
        Server::start(move |_| Answered { status, headers: headers.clone(), body: body.clone().into() });
    let origin = format!("http://pages.localhost:{}", server.address().port());
    std::mem::forget(server); // a page may ask until the tests end
    origin
}
