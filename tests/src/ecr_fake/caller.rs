//! Reads the caller of an operation from a request.

use crate::server::Request;

/// The caller of an operation.
pub(super) struct EcrCaller {
    pub(super) access_key: Option<String>,
    /// The value of the header `host`: the address under which the caller reaches the fake.
    pub(super) host: String,
}

pub(super) fn caller(request: &Request) -> EcrCaller {
    let authorization = request.header("authorization").unwrap_or_default();
    let key = authorization.split_once("Credential=").and_then(|(_, rest)| rest.split('/').next());
    EcrCaller {
        access_key: key.map(str::to_owned),
        host: request.header("host").unwrap_or_default().to_owned(),
    }
}
