//! Probes the health endpoints of applications, and protects the network from misuse.
//!
//! The author of an application's configuration chooses the address, but the Lambda function sends
//! the request from inside the network (CWE-918). So the probe refuses the addresses of the Lambda
//! function itself and of metadata services. The probe reads no body and follows no redirect.

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

/// A client that sends `GET` without credentials or cookies. Every attempt opens a new connection,
/// as a new user does.
#[derive(Debug, Clone)]
pub struct Probe {
    allowed: Arc<[Network]>,
    /// The connector. The first attempt creates it, so that a start of the Lambda function need not
    /// load the trusted root certificates, which takes milliseconds.
    connector: Arc<OnceLock<Connector>>,
}

/// The reason why an attempt returned no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    #[error("the endpoint is not an address that can be probed")]
    Address,
    #[error(
        "the endpoint is at {address}, {what}: a probe goes there only if the stack's allowed networks \
         contain it"
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
    /// Returns true if a retry of the attempt may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Address | Self::Refused { .. } => false,
            Self::Name { .. } | Self::Timeout(_) | Self::NoAnswer { .. } => true,
        }
    }
}

impl Probe {
    /// Creates a probe. The probe may connect to every address in the `allowed` networks, even to a
    /// loopback or link-local address.
    pub fn new(allowed: Vec<Network>) -> Self {
        Self { allowed: allowed.into(), connector: Arc::default() }
    }

    /// Returns the status of the endpoint's response. For a redirect, this is the redirect's own
    /// status. The timeout covers everything from DNS to the last header.
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
        // The connector calls the resolver only for names. It connects directly to a literal
        // address, so this code checks that address, without the brackets of IPv6.
        if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse() {
            permitted(vec![address], &self.allowed)
                .map_err(|Refused { address, what }| ProbeError::Refused { address, what })?;
        }
        let request = HttpRequest::try_from(request).map_err(|_| ProbeError::Address)?;
        let answer = self.connector().call(request).await;
        // Dropping the response closes the connection without reading the body.
        answer.map(|answer| answer.status().as_u16()).map_err(|error| explain(&error))
    }

    fn connector(&self) -> &Connector {
        self.connector.get_or_init(|| {
            Connector::builder()
                // A reused connection would skip the check of its address.
                .pool_max_idle_per_host(0)
                .tls_provider(tls())
                .build_with_resolver(Resolver { allowed: self.allowed.clone() })
        })
    }
}

/// The connector's resolver. The connector connects only to addresses that this resolver has
/// checked, so a second DNS response cannot add an unchecked address.
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

/// Returns the addresses to which the probe may connect. Fails if the probe must refuse all of
/// them.
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

/// Returns the part of the connector's error chain that helps a person: the kind of failure and its
/// deepest cause.
fn explain(error: &(dyn Error + 'static)) -> ProbeError {
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

    /// The test creates the resolver's error itself, because tests must not use the network.
    #[test]
    fn probe_error_explains_unresolved_name() {
        let failed = explain(&ResolveDnsError::new("Name or service not known"));
        assert_eq!(failed.to_string(), "the endpoint's name was not resolved: Name or service not known");
        assert!(failed.is_retryable());
    }

    #[test]
    fn probe_uses_only_permitted_addresses() {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let mixed = addresses(&["127.0.0.1", "10.0.0.1", "169.254.169.254", "2001:db8::1"]);
        assert_eq!(permitted(mixed, &[]).unwrap(), addresses(&["10.0.0.1", "2001:db8::1"]));
        let refused = permitted(addresses(&["::ffff:127.0.0.1"]), &[]).unwrap_err();
        assert_eq!(refused.to_string(), "::ffff:127.0.0.1 is a loopback address");
        assert_eq!(permitted(Vec::new(), &[]).unwrap(), addresses(&[]));
    }
}
