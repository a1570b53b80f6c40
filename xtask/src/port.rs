//! Free ports of this machine that no other program gets by chance.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// The ports below the kernel's range for ephemeral ports (`ip_local_port_range`, 32768 and up). In
/// that range, Podman publishes containers with firewall rules. A firewall rule precedes every
/// listener and may outlive its container, so a listener on that port is silently unreachable.
const PORTS: std::ops::Range<u16> = 10_240..32_768;

/// Listens on loopback, on a port on which no container is published.
pub fn listen() -> io::Result<TcpListener> {
    let count = usize::from(PORTS.end - PORTS.start);
    let start =
        usize::try_from(RandomState::new().build_hasher().finish() % count as u64).unwrap_or_default();
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for port in PORTS.cycle().skip(start).take(count) {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Returns a port that is free now.
pub fn free() -> io::Result<u16> {
    Ok(listen()?.local_addr()?.port())
}
