//! Asks an application's own endpoints whether it is well, without becoming a way into the network.
//!
//! Who writes an application's configuration chooses the address, and the function asks from inside: so it does
//! not ask itself, the instance or the metadata of either (CWE-918), reads no body and follows nobody elsewhere.

use std::error::Error;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use aws_smithy_runtime_api::client::http::HttpConnector;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use stablepin_rules::application::Endpoint;

use crate::session::tls;

mod network;

pub use network::{Network, NetworkError};

/// Sends `GET` without credentials or cookies. Every attempt has a connection of its own, as a new user has.
#[derive(Debug, Clone)]
pub struct Probe {
    allowed: Arc<[Network]>,
    /// Made at the first attempt: reading the trusted roots takes milliseconds.
    connector: Arc<OnceLock<Connector>>,
}

/// Why an attempt gave no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    #[error("the endpoint is not an address that can be asked")]
    Address,
    #[error(
        "the endpoint is at {address}, {what}: a probe goes there only if the stack's allowed networks have it"
    )]
    Refused { address: IpAddr, what: &'static str },
    #[error("the endpoint's name was not resolved: {reason}")]
    Name { reason: String },
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("no answer: {reason}")]
    NoAnswer { reason: String },
}

impl ProbeError {
    /// Whether the same attempt may well succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Address | Self::Refused { .. } => false,
            Self::Name { .. } | Self::Timeout(_) | Self::NoAnswer { .. } => true,
        }
    }
}

impl Probe {
    /// `allowed`: networks that may be asked although they are loopback, link-local or alike.
    pub fn new(allowed: Vec<Network>) -> Self {
        Self { allowed: allowed.into(), connector: Arc::default() }
    }

    /// The answer's status, whatever it is: that of a redirect is its own. The time is for everything, from the
    /// look-up of the name to the last header.
    pub async fn get(&self, endpoint: &Endpoint, timeout: Duration) -> Result<u16, ProbeError> {
        tokio::time::timeout(timeout, self.attempt(endpoint))
            .await
            .unwrap_or(Err(ProbeError::Timeout(timeout)))
    }

    async fn attempt(&self, endpoint: &Endpoint) -> Result<u16, ProbeError> {
        let mut request = HttpRequest::new(SdkBody::empty());
        request.set_uri(endpoint.as_str()).map_err(|_| ProbeError::Address)?;
        request.headers_mut().insert("user-agent", "stablepin");
        request.headers_mut().insert("accept", "*/*");
        let request = request.try_into_http1x().map_err(|_| ProbeError::Address)?;
        let host = request.uri().host().ok_or(ProbeError::Address)?;
        // The resolver sees names only: the connector takes an address as it is, without these brackets.
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            permitted(vec![address], &self.allowed)
                .map_err(|Refused { address, what }| ProbeError::Refused { address, what })?;
        }
        let request = HttpRequest::try_from(request).map_err(|_| ProbeError::Address)?;
        let answer = self.connector().call(request).await;
        // Its body is dropped unread, and the connection with it.
        answer.map(|answer| answer.status().as_u16()).map_err(|error| why(&error))
    }

    fn connector(&self) -> &Connector {
        self.connector.get_or_init(|| {
            Connector::builder()
                // A connection that is kept would be used without its address being looked at again.
                .pool_max_idle_per_host(0)
                .tls_provider(tls())
                .build_with_resolver(Resolver { allowed: self.allowed.clone() })
        })
    }
}

/// Looks names up for the connector, which connects to an address from here and to no other: there is no second
/// look-up that could say something else.
#[derive(Debug, Clone)]
struct Resolver {
    allowed: Arc<[Network]>,
}

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        let name = name.to_owned();
        DnsFuture::new(async move {
            let look_up = move || (name.as_str(), 0).to_socket_addrs();
            let found = tokio::task::spawn_blocking(look_up).await.map_err(ResolveDnsError::new)?;
            let found = found.map_err(ResolveDnsError::new)?.map(|found| found.ip()).collect();
            permitted(found, &self.allowed).map_err(ResolveDnsError::new)
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{address} is {what}")]
struct Refused {
    address: IpAddr,
    what: &'static str,
}

/// The addresses that may be connected to; fails if there are only others.
fn permitted(mut addresses: Vec<IpAddr>, allowed: &[Network]) -> Result<Vec<IpAddr>, Refused> {
    let mut refused = None;
    addresses.retain(|address| match network::refused(*address, allowed) {
        None => true,
        Some(what) => {
            refused = Some(Refused { address: *address, what });
            false
        }
    });
    match refused {
        Some(refused) if addresses.is_empty() => Err(refused),
        _ => Ok(addresses),
    }
}

/// From the connector's long chain of errors, what says something to a person: the kind, and the first cause.
fn why(error: &(dyn Error + 'static)) -> ProbeError {
    let mut is_name = false;
    let mut cause = error;
    loop {
        if let Some(Refused { address, what }) = cause.downcast_ref() {
            return ProbeError::Refused { address: *address, what };
        }
        is_name |= cause.is::<ResolveDnsError>();
        match cause.source() {
            Some(deeper) => cause = deeper,
            None => break,
        }
    }
    let reason = cause.to_string();
    if is_name { ProbeError::Name { reason } } else { ProbeError::NoAnswer { reason } }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without a name server: a test asks nobody outside.
    #[test]
    fn a_name_that_was_not_resolved_says_why() {
        let failed = why(&ResolveDnsError::new("Name or service not known"));
        assert_eq!(failed.to_string(), "the endpoint's name was not resolved: Name or service not known");
        assert!(failed.is_retryable());
    }

    #[test]
    fn of_a_names_addresses_only_permitted_ones_are_connected_to() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let mixed = addresses(&["127.0.0.1", "10.0.0.1", "169.254.169.254", "2001:db8::1"]);
        assert_eq!(permitted(mixed, &[]).unwrap(), addresses(&["10.0.0.1", "2001:db8::1"]));
        let refused = permitted(addresses(&["::ffff:127.0.0.1"]), &[]).unwrap_err();
        assert_eq!(refused.to_string(), "::ffff:127.0.0.1 is a loopback address");
        assert_eq!(permitted(Vec::new(), &[]).unwrap(), addresses(&[]));
    }
}
