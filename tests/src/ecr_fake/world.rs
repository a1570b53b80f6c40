//! The state of the fake, and the dispatch of calls.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::images::Digest;
use super::layers::Presigned;
use super::pause::PausedCall;
use super::repositories::Repository;
use super::throttle::{EcrFault, Every};
use crate::fake::buckets::Buckets;
use crate::fake::clock::{Clock, epoch};
use crate::fake::input::{Answer, Input, Refused};

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

/// The caller of an operation.
pub(super) struct EcrCaller {
    pub(super) access_key: Option<String>,
    /// The host that the caller used to reach the fake.
    pub(super) host: String,
}

pub(super) struct EcrWorld {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) clock: Clock,
    pub(super) repositories: BTreeMap<String, Repository>,
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

/// The lifetime of an authorization token.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html>
const TOKEN_LASTS: SignedDuration = SignedDuration::from_hours(12);

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

    pub(super) fn answer(&mut self, input: &Input<'_>, caller: &EcrCaller) -> Answer {
        self.goes_wrong(input.operation)?;
        match input.operation {
            "CreateRepository" => self.create_repository(input),
            "DeleteRepository" => self.delete_repository(input),
            "DescribeRepositories" => self.describe_repositories(input),
            "PutImageTagMutability" => self.put_image_tag_mutability(input),
            "GetRegistryPolicy" => self.get_registry_policy(input),
            "GetRepositoryPolicy" => self.get_repository_policy(input),
            "GetLifecyclePolicy" => self.get_lifecycle_policy(input),
            "PutImage" => self.put_image(input),
            "BatchGetImage" => self.batch_get_image(input, caller),
            "DescribeImages" => self.describe_images(input),
            "ListImages" => self.list_images(input),
            "ListImageReferrers" => self.list_image_referrers(input),
            "BatchDeleteImage" => self.batch_delete_image(input),
            "UpdateImageStorageClass" => self.update_image_storage_class(input),
            "BatchCheckLayerAvailability" => self.batch_check_layer_availability(input),
            "GetDownloadUrlForLayer" => self.get_download_url_for_layer(input, caller),
            "RegisterPullTimeUpdateExclusion" => self.register_pull_time_update_exclusion(input),
            "DeregisterPullTimeUpdateExclusion" => self.deregister_pull_time_update_exclusion(input),
            "ListPullTimeUpdateExclusions" => self.list_pull_time_update_exclusions(input),
            "GetAuthorizationToken" => self.get_authorization_token(input, caller),
            other => Err(Refused::unknown(format!("the fake does not know the call {other}"))),
        }
    }

    /// Returns a token. The endpoint is the fake itself, without TLS.
    fn get_authorization_token(&mut self, input: &Input<'_>, caller: &EcrCaller) -> Answer {
        input.knows(&[])?;
        let token = BASE64_STANDARD.encode(format!("AWS:{}", self.clock.hex()));
        Ok(json!({ "authorizationData": [{
            "authorizationToken": token,
            "expiresAt": epoch(self.clock.now() + TOKEN_LASTS),
            "proxyEndpoint": format!("http://{}", caller.host),
        }] }))
    }
}
