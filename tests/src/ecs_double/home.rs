//! The account and region that everything is in: names, ids, and the clock.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::task_definitions::Definitions;

pub(super) struct Home {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) definitions: Definitions,
    /// What EventBridge would have got.
    pub(super) events: Vec<Value>,
    /// What DescribeTasks reports for an image instead of the digest in its reference.
    pub(super) reported: Vec<(String, Option<String>)>,
    now: Timestamp,
    serial: u64,
}

impl Home {
    pub(super) fn new(account: &str, region: &str) -> Self {
        Self {
            account: account.to_owned(),
            region: region.to_owned(),
            definitions: Definitions::default(),
            events: Vec::new(),
            reported: Vec::new(),
            now: Timestamp::now(),
            serial: 0,
        }
    }

    pub(super) fn arn(&self, resource: &str) -> String {
        format!("arn:aws:ecs:{}:{}:{resource}", self.region, self.account)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) fn time_passes(&mut self, time: SignedDuration) {
        self.now += time;
    }

    /// Now, and each later than the one before: what happened in an order can be put in it.
    pub(super) fn stamp(&mut self) -> Timestamp {
        self.now += SignedDuration::from_micros(1);
        self.now
    }

    fn random(&mut self) -> u64 {
        // SplitMix64: looks like chance, and is the same in each run.
        self.serial += 1;
        let mut z = self.serial.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 19 digits, as ECS numbers deployments and service revisions.
    pub(super) fn digits(&mut self) -> String {
        (1_000_000_000_000_000_000 + self.random() % 8_000_000_000_000_000_000).to_string()
    }

    /// 32 hexadecimal digits, as ECS names tasks.
    pub(super) fn hex(&mut self) -> String {
        format!("{:016x}{:016x}", self.random(), self.random())
    }

    /// As UUIDs look.
    pub(super) fn uuid(&mut self) -> String {
        let hex = self.hex();
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }

    /// 21 letters and digits, as ECS names service deployments.
    pub(super) fn letters(&mut self) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let (mut left, mut right) = (self.random(), self.random());
        let mut letters = String::new();
        for _ in 0..10 {
            letters.push(char::from(LETTERS[(left & 63) as usize]));
            letters.push(char::from(LETTERS[(right & 63) as usize]));
            (left, right) = (left >> 6, right >> 6);
        }
        letters + "Z"
    }

    /// What a container's image turns out to be. None: ECS does not say.
    pub(super) fn digest(&self, image: &str) -> Option<String> {
        if let Some((_, digest)) = self.reported.iter().rev().find(|(reported, _)| reported == image) {
            return digest.clone();
        }
        let described = image.split_once('@').map(|(_, digest)| digest.to_owned());
        Some(described.unwrap_or_else(|| made_up(image)))
    }
}

/// A tag that no test has said anything about resolves to something, always the same.
fn made_up(image: &str) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in image.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("sha256:{}", format!("{hash:016x}").repeat(4))
}

/// As ECS's JSON has times: seconds, with a fraction.
pub(super) fn epoch(at: Timestamp) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "micros of this century fit")]
    let seconds = at.as_microsecond() as f64 / 1_000_000.0;
    json!(seconds)
}
