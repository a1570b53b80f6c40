//! The state of the fake of ECR.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::Value;

use super::images::Digest;
use super::pause::PausedCall;
use super::repository::StoredRepository;
use super::uploads::PartSizes;
use crate::fake::buckets::Buckets;
use crate::fake::clock::Clock;
use crate::fake::input::Refused;

/// A call that the fake has received.
#[derive(Debug, Clone, PartialEq)]
pub struct EcrCall {
    /// The operation, such as `PutImage`. A request of the registry protocol has its method and its
    /// resource instead, such as `PUT manifests`.
    pub operation: String,
    /// The request's body as JSON without `layerPartBlob`, which can be large. Null for a request
    /// of the registry protocol.
    pub body: Value,
    /// The HTTP status of the response.
    pub status: u16,
    /// The size of the request's body in bytes.
    pub received: usize,
    /// The size of the response's body in bytes.
    pub sent: usize,
}

/// An error that a test has set for one call of an operation, or for this call and all later calls
/// of the operation.
pub(super) struct EcrFault {
    pub(super) operation: String,
    /// The number of calls of the operation before the first call that fails.
    pub(super) after: usize,
    pub(super) forever: bool,
    pub(super) refused: Refused,
}

/// The setting that throttles each `number`-th call.
pub(super) struct Every {
    pub(super) number: usize,
    pub(super) count: usize,
}

/// The blob that a signed URL gives access to.
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
    /// The seed for the order of lists.
    pub(super) seed: u64,
    /// The maximum page size that the test has set. It overrides larger sizes in requests.
    pub(super) greatest_page: Option<usize>,
    pub(super) events: Vec<Value>,
    /// The ARNs of principals, by access key.
    pub(super) principals: HashMap<String, String>,
    pub(super) exclusions: BTreeMap<String, Timestamp>,
    /// The policy of the whole registry.
    pub(super) policy: Option<String>,
    /// The repositories and digests of the images that ECR is restoring.
    pub(super) restoring: Vec<(String, Digest)>,
    /// The signed URLs by their signatures.
    pub(super) presigned: HashMap<String, Presigned>,
    /// The received bytes of the registry protocol's unfinished uploads, by upload id.
    pub(super) uploads: HashMap<String, Vec<u8>>,
    pub(super) part_sizes: PartSizes,
    /// Whether the account has enabled blob mounting.
    pub(super) mounts_blobs: bool,
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
            part_sizes: PartSizes::default(),
            mounts_blobs: false,
            calls: Vec::new(),
            faults: Vec::new(),
            every: None,
            buckets: None,
            pauses: Vec::new(),
            surprises: Vec::new(),
        }
    }
}
