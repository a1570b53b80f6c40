//! The state of the fake.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::Value;

use super::images::Digest;
use super::pause::PausedCall;
use super::repository::StoredRepository;
use crate::fake::buckets::Buckets;
use crate::fake::clock::Clock;
use crate::fake::input::Refused;

/// A recorded call.
#[derive(Debug, Clone, PartialEq)]
pub struct EcrCall {
    /// The operation, such as `PutImage`, or `PUT manifests` in the registry protocol.
    pub operation: String,
    /// The body in JSON, or null in the registry protocol.
    pub body: Value,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The number of bytes of the request's body. `sent` counts those of the answer's body.
    pub received: usize,
    pub sent: usize,
}

/// A fault of one or all later calls of an operation.
pub(super) struct EcrFault {
    pub(super) operation: String,
    /// The number of calls that still succeed first.
    pub(super) after: usize,
    pub(super) forever: bool,
    pub(super) refused: Refused,
}

/// Throttles every call with a multiple of `number`.
pub(super) struct Every {
    pub(super) number: usize,
    pub(super) count: usize,
}

/// The blob that a signed address gives access to.
pub(super) struct Presigned {
    pub(super) repository: String,
    pub(super) digest: String,
    pub(super) until: Timestamp,
}

pub(super) struct EcrWorld {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) clock: Clock,
    pub(super) repositories: BTreeMap<String, StoredRepository>,
    /// The seed of the order of lists.
    pub(super) seed: u64,
    /// The greatest page, even if a request wants more.
    pub(super) greatest_page: Option<usize>,
    pub(super) events: Vec<Value>,
    /// The ARNs of principals by access key.
    pub(super) principals: HashMap<String, String>,
    pub(super) exclusions: BTreeMap<String, Timestamp>,
    /// The policy of the registry.
    pub(super) policy: Option<String>,
    /// The images that are being restored: repository and digest.
    pub(super) restoring: Vec<(String, Digest)>,
    /// The signed addresses by signature.
    pub(super) presigned: HashMap<String, Presigned>,
    /// The bytes of unfinished uploads by upload id.
    pub(super) uploads: HashMap<String, Vec<u8>>,
    pub(super) calls: Vec<EcrCall>,
    pub(super) faults: Vec<EcrFault>,
    pub(super) every: Option<Every>,
    pub(super) buckets: Option<Buckets>,
    pub(super) pauses: Vec<(String, PausedCall)>,
    pub(super) surprises: Vec<String>,
}

impl EcrWorld {
    pub(super) fn new(account: &str, region: &str) -> Self {
        Self {
            account: account.to_owned(),
            region: region.to_owned(),
            clock: Clock::default(),
            repositories: BTreeMap::new(),
            seed: 1,
            greatest_page: None,
            events: Vec::new(),
            principals: HashMap::new(),
            exclusions: BTreeMap::new(),
            policy: None,
            restoring: Vec::new(),
            presigned: HashMap::new(),
            uploads: HashMap::new(),
            calls: Vec::new(),
            faults: Vec::new(),
            every: None,
            buckets: None,
            pauses: Vec::new(),
            surprises: Vec::new(),
        }
    }
}
