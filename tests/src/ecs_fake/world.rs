//! The state of the fake of ECS.

use std::collections::BTreeSet;

use serde_json::Value;

use super::home::EcsHome;
use super::service::StoredService;
use crate::fake::buckets::Buckets;
use crate::fake::input::Refused;

/// A call that the fake has received.
#[derive(Debug, Clone, PartialEq)]
pub struct EcsCall {
    /// The operation, such as `UpdateService`.
    pub operation: String,
    pub body: Value,
    /// The HTTP status of the response.
    pub status: u16,
}

pub(super) struct EcsWorld {
    pub(super) home: EcsHome,
    /// The names of the clusters.
    pub(super) clusters: BTreeSet<String>,
    pub(super) services: Vec<StoredService>,
    pub(super) calls: Vec<EcsCall>,
    /// The number of calls so far that change something.
    pub(super) changes: usize,
    /// Pairs of an operation and the error that the fake returns for the next call of the
    /// operation.
    pub(super) refusals: Vec<(String, Refused)>,
    /// Triples of an operation, a text and an error. The fake returns the error for every call of
    /// the operation with this text in its body.
    pub(super) standing_refusals: Vec<(String, String, Refused)>,
    pub(super) buckets: Option<Buckets>,
    pub(super) by_hand: bool,
    pub(super) names_late: bool,
    pub(super) shows_late: bool,
    pub(super) surprises: Vec<String>,
}

impl EcsWorld {
    pub(super) fn new(account: &str, region: &str) -> Self {
        Self {
            home: EcsHome::new(account, region),
            clusters: BTreeSet::new(),
            services: Vec::new(),
            calls: Vec::new(),
            changes: 0,
            refusals: Vec::new(),
            standing_refusals: Vec::new(),
            buckets: None,
            by_hand: false,
            names_late: false,
            shows_late: false,
            surprises: Vec::new(),
        }
    }

    /// Returns the position of a service in `services`, by the service's name or ARN.
    pub(super) fn place(&self, cluster: &str, service: &str) -> Option<usize> {
        let is_it =
            |one: &StoredService| one.cluster == cluster && (one.name == service || one.arn == service);
        // The list may also contain an older, deleted service of the same name.
        self.services.iter().rposition(is_it)
    }

    pub(super) fn found(&self, cluster: &str, service: &str) -> Result<usize, Refused> {
        let lacks = || Refused::new(400, "ServiceNotFoundException", "Service not found.");
        self.place(cluster, service).ok_or_else(lacks)
    }
}
