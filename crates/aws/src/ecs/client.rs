//! The ECS client, with two retry policies.

use aws_sdk_ecs::Client;

use crate::session::Session;

/// A client of ECS in the session's account and region.
#[derive(Debug, Clone)]
pub struct Ecs {
    pub(super) client: Client,
}

impl Ecs {
    pub fn new(session: &Session) -> Self {
        Self { client: session.ecs() }
    }

    /// Creates a client that slows down when ECS throttles it. Use this client for the many calls
    /// that read a whole account.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>
    pub fn patient(session: &Session) -> Self {
        Self { client: session.patient_ecs() }
    }
}
