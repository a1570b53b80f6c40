//! Serves two repositories for the copies of `cargo xtask bench`, in its own process: `layers
//! 40000000 0 5000000`. The arguments are the image's size in bytes, the number of its layers that
//! the target has already, and the size of a layer's parts, 0 for ECR's own.
//!
//! The program first prints one line of JSON that describes the image. Then, for each line of its
//! input, it prints the calls since the previous line, the bytes of their bodies, and whether the
//! target has the same image. The program ends when its input ends.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _};

use serde_json::{Value, json};
use stablepin_tests::ecr_fake::{EcrFake, Repository, TagMutability};
use stablepin_tests::registry::Registry;
use xtask::image::{Blob, CONFIG, LAYER, MANIFEST, OciImage};

/// The number of layers of the image, all of the same size.
const LAYERS: usize = 8;

const TAG: &str = "production-20261201-120000-a1b2c3d4";

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let [bytes, there, part] = numbers[..] else { panic!("the arguments are three numbers") };
    let ecr = EcrFake::start();
    if part > 0 {
        ecr.has_layer_parts_of(1, part);
    }
    let [from, to] = ["web", "prod/web"].map(|name| ecr.creates(name, TagMutability::Mutable));
    let host = ecr.url().trim_start_matches("http://").to_owned();
    let registry = Registry::new(&host, "AWS", "token");
    let layers: Vec<Blob> = (1..=LAYERS as u64).map(|seed| layer(seed, bytes / LAYERS)).collect();
    let digest = registry.push(from.name(), Some("main"), &image(&layers)).expect("a push");
    if there > 0 {
        registry.push(to.name(), Some("earlier"), &image(&layers[..there])).expect("a push");
    }
    drop(layers);
    println!(
        "{}",
        json!({ "ecr": ecr.url(), "from": from.name(), "to": to.name(), "digest": digest, "tag": TAG })
    );
    let mut before = ecr.calls().len();
    for _ in io::stdin().lock().lines() {
        let calls = ecr.calls();
        let new = &calls[before..];
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for call in new {
            *counts.entry(&call.operation).or_default() += 1;
        }
        let received: usize = new.iter().map(|call| call.received).sum();
        let sent: usize = new.iter().map(|call| call.sent).sum();
        let same = is_same(&from, &to, &digest);
        println!("{}", json!({ "calls": counts, "received": received, "sent": sent, "same": same }));
        before = calls.len();
    }
}

/// Returns a layer of bytes that cannot be compressed: the numbers of a xorshift generator.
fn layer(seed: u64, length: usize) -> Blob {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    Blob::new(LAYER, bytes)
}

fn image(layers: &[Blob]) -> OciImage {
    let entry = |blob: &Blob| json!({ "mediaType": blob.media_type, "digest": blob.digest, "size": blob.bytes.len() });
    let diff_ids: Vec<&String> = layers.iter().map(|layer| &layer.digest).collect();
    let rootfs = json!({ "type": "layers", "diff_ids": diff_ids });
    let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": rootfs });
    let config = Blob::new(CONFIG, config.to_string().into_bytes());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": entry(&config),
        "layers": layers.iter().map(entry).collect::<Vec<_>>(),
    });
    let manifest = Blob::new(MANIFEST, manifest.to_string().into_bytes());
    OciImage { manifest, config, layers: layers.to_vec() }
}

/// Returns whether the target has the image under its tag, with the same bytes, all its layers and
/// its configuration.
fn is_same(from: &Repository, to: &Repository, digest: &str) -> bool {
    let Some(manifest) = from.manifest(digest) else { return false };
    let parsed: Value = serde_json::from_str(&manifest).expect("the manifest is JSON");
    let layers = parsed["layers"].as_array().into_iter().flatten().chain([&parsed["config"]]);
    to.tag(TAG).as_deref() == Some(digest)
        && to.manifest(digest) == Some(manifest)
        && layers
            .map(|layer| layer["digest"].as_str())
            .all(|layer| layer.is_some_and(|layer| to.layer(layer).is_some()))
}
