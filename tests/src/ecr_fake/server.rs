//! The running fake of ECR, with its HTTP server.

use std::net::SocketAddr;
use std::ops::Deref;
use std::thread;

use crate::registry::Registry;
use jiff::SignedDuration;

use super::by_test::{Ecr, Repository};
use super::wire;
use super::world::EcrWorld;
use crate::server::Server;

/// The account of the emulator MiniStack, so that the fake and the emulator use the same ARNs.
const ACCOUNT: &str = "000000000000";
const REGION: &str = "us-east-1";

/// The running fake. Dropping the value stops the fake, and fails the test if the fake has received
/// an unknown request.
pub struct EcrFake {
    ecr: Ecr,
    server: Server,
}

impl EcrFake {
    /// Starts the fake on a free port, in the account and region of the local cloud.
    pub fn start() -> Self {
        Self::start_in(ACCOUNT, REGION)
    }

    pub fn start_in(account: &str, region: &str) -> Self {
        Self::serve(EcrWorld::new(account, region))
    }

    /// Starts a fake that contains a copy of one repository from another fake. The clock of the new
    /// fake is never behind the clock of the other fake.
    #[track_caller]
    pub fn with_copy_of(web: &Repository) -> (Self, Repository) {
        let copy = web.with(|repository| repository.clone());
        let mut world = EcrWorld::new(ACCOUNT, REGION);
        let ahead = web.ecr.now().duration_since(world.clock.now());
        world.clock.time_passes(ahead.max(SignedDuration::ZERO));
        world.repositories.insert(copy.name.clone(), copy);
        let ecr = Self::serve(world);
        let copy = ecr.repository(web.name());
        (ecr, copy)
    }

    fn serve(world: EcrWorld) -> Self {
        let ecr = Ecr::new(world);
        let asked = ecr.clone();
        Self { ecr, server: Server::start_aws(move |request| wire::answer(&asked, request)) }
    }

    /// Returns the value for `AWS_ENDPOINT_URL_ECR`.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Returns the fake's address, for a proxy or a push.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Returns a client of the registry protocol, with which a test pushes images as a pipeline
    /// does.
    pub fn registry(&self) -> Registry {
        Registry::new(&self.server.address().to_string(), "AWS", "a token")
    }
}

impl Deref for EcrFake {
    type Target = Ecr;

    fn deref(&self) -> &Ecr {
        &self.ecr
    }
}

impl Drop for EcrFake {
    fn drop(&mut self) {
        let surprises = self.ecr.surprises();
        if !thread::panicking() {
            assert_eq!(surprises, Vec::<String>::new(), "the fake received requests that it does not know");
        }
    }
}
