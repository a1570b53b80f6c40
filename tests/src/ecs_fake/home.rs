//! The account and the region of the fake, with the fake's task definitions, events and clock.

use serde_json::Value;

use super::task_definition::Definitions;
use crate::fake::clock::Clock;

pub(super) struct EcsHome {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) definitions: Definitions,
    /// The events for EventBridge.
    pub(super) events: Vec<Value>,
    /// Pairs of an image and the digest that the test has set for the image. `DescribeTasks`
    /// reports this digest instead of the image's own digest. `None` means that ECS reports no
    /// digest.
    pub(super) reported: Vec<(String, Option<String>)>,
    /// True if descriptions of new task definitions contain additional fields, as in a newer ECS.
    pub(super) is_newer: bool,
    pub(super) clock: Clock,
}

impl EcsHome {
    pub(super) fn new(account: &str, region: &str) -> Self {
        Self {
            account: account.to_owned(),
            region: region.to_owned(),
            definitions: Definitions::default(),
            events: Vec::new(),
            reported: Vec::new(),
            is_newer: false,
            clock: Clock::default(),
        }
    }

    pub(super) fn arn(&self, resource: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{resource}", self.region, self.account)
    }

    /// Returns a number of 19 digits, like the ids of deployments and service revisions in ECS.
    pub(super) fn digits(&mut self) -> String {
        (1_000_000_000_000_000_000 + self.clock.random() % 8_000_000_000_000_000_000).to_string()
    }

    /// Returns 21 characters, like the ids of service deployments in ECS.
    pub(super) fn letters(&mut self) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let (mut left, mut right) = (self.clock.random(), self.clock.random());
        let mut letters = String::new();
        for _ in 0..10 {
            letters.push(char::from(LETTERS[(left & 63) as usize]));
            letters.push(char::from(LETTERS[(right & 63) as usize]));
            (left, right) = (left >> 6, right >> 6);
        }
        letters + "Z"
    }

    /// Returns the digest that ECS reports for a container of the image. `None` if ECS reports no
    /// digest.
    pub(super) fn digest(&self, image: &str) -> Option<String> {
        if let Some((_, digest)) = self.reported.iter().rev().find(|(reported, _)| reported == image) {
            return digest.clone();
        }
        let described = image.split_once('@').map(|(_, digest)| digest.to_owned());
        Some(described.unwrap_or_else(|| made_up(image)))
    }
}

/// Returns an invented digest for an image. An image always gets the same digest.
fn made_up(image: &str) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in image.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("sha256:{}", format!("{hash:016x}").repeat(4))
}
