//! The running fake of ECS, with its HTTP server.

use std::net::SocketAddr;
use std::ops::Deref;
use std::thread;

use super::by_test::Ecs;
use super::wire;
use super::world::EcsWorld;
use crate::server::Server;

/// The account of the emulator MiniStack, so that the fake and the emulator use the same ARNs.
const ACCOUNT: &str = "000000000000";
const REGION: &str = "us-east-1";

/// The running fake. Dropping the value stops the fake, and fails the test if the fake has received
/// an unknown request.
pub struct EcsFake {
    ecs: Ecs,
    server: Server,
}

impl EcsFake {
    /// Starts the fake on a free port, in the account and region of the local cloud.
    pub fn start() -> Self {
        Self::start_in(ACCOUNT, REGION)
    }

    pub fn start_in(account: &str, region: &str) -> Self {
        let ecs = Ecs::new(EcsWorld::new(account, region));
        let asked = ecs.clone();
        Self { ecs, server: Server::start_aws(move |request| wire::answer(&asked, request)) }
    }

    /// Returns the value for `AWS_ENDPOINT_URL_ECS`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Returns the fake's address, for a proxy.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

impl Deref for EcsFake {
    type Target = Ecs;

    fn deref(&self) -> &Ecs {
        &self.ecs
    }
}

impl Drop for EcsFake {
    fn drop(&mut self) {
        let surprises = self.ecs.surprises();
        if !thread::panicking() {
            assert_eq!(surprises, Vec::<String>::new(), "the fake received requests that it does not know");
        }
    }
}
