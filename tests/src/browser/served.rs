//! A server that sends the same HTTP response to every request. Each server has its own origin.

use crate::server::{Answered, Server};

/// Starts a server that responds to every request with this response. Returns the server's origin.
pub(super) fn serve(status: u16, headers: Vec<(String, String)>, body: String) -> String {
    let server =
        Server::start(move |_| Answered { status, headers: headers.clone(), body: body.clone().into() });
    let origin = format!("http://pages.localhost:{}", server.address().port());
    std::mem::forget(server); // the page may send requests until the tests end
    origin
}
