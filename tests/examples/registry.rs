//! Serves a repository with a given number of images, in its own process, for `cargo xtask bench`:
//! `registry 10000`.
//!
//! The program first prints one line of JSON that describes the repository. The program then reads
//! its input. Each line of input lists images that a retention tool would delete, by prefixes of
//! their digests. For each line, the program prints the AWS calls since the previous line, the
//! number of listed images, and the number of torn images. An image is torn if the tool deletes the
//! image but keeps the image index or the subject to which the image belongs. The program ends when
//! its input ends.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{self, BufRead as _};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use stablepin_tests::ecr_fake::{EcrFake, NewImage, PushedAt, Repository, TagMutability};
use stablepin_tests::ecs_fake::EcsFake;

/// The number of images in one part. A part is 90 images, two image indexes with three images each,
/// a referrer, and a signature.
const PART: usize = 100;
/// The number of days over which the program spreads the pushes.
const DAYS: i64 = 400;

fn main() {
    let wanted = std::env::args().nth(1).and_then(|count| count.parse::<usize>().ok());
    let parts = wanted.expect("the first argument is the number of images") / PART;
    let (ecr, ecs) = (EcrFake::start(), EcsFake::start());
    let web = ecr.creates("web", TagMutability::Mutable);
    let mut shelf = Shelf { now: ecr.now(), web, count: 0, of: Vec::new() };
    (0..parts).for_each(|_| shelf.add_part());
    let Shelf { web, of, .. } = shelf;
    let live = web.tag("production-stable").expect("the newest image has the tag");
    let image = format!("000000000000.dkr.ecr.us-east-1.amazonaws.com/web@{live}");
    ecs.service("production/web").runs(&image).desired(3).create();

    let (digests, indexes) = (web.digests(), 2 * parts);
    println!(
        "{}",
        json!({ "ecr": ecr.url(), "ecs": ecs.url(), "images": digests.len(), "indexes": indexes })
    );
    let (mut by_ecr, mut by_ecs) = (0, 0);
    for line in io::stdin().lock().lines() {
        let line = line.expect("a line");
        let named: Vec<String> = serde_json::from_str(&line).expect("a list of digests");
        let mut calls: BTreeMap<String, usize> = BTreeMap::new();
        let (at_ecr, at_ecs) = (ecr.calls(), ecs.calls());
        let asked = at_ecr[by_ecr..].iter().map(|call| &call.operation);
        for operation in asked.chain(at_ecs[by_ecs..].iter().map(|call| &call.operation)) {
            *calls.entry(operation.clone()).or_default() += 1;
        }
        (by_ecr, by_ecs) = (at_ecr.len(), at_ecs.len());
        let deletes = resolved(&digests, &named);
        let torn = of.iter().filter(|(part, whole)| deletes.contains(part) && !deletes.contains(whole));
        let torn: HashSet<&String> = torn.map(|(part, _)| part).collect();
        println!("{}", json!({ "calls": calls, "deletes": deletes.len(), "torn": torn.len() }));
    }
}

/// Expands prefixes of digests to full digests, since tools abbreviate digests.
fn resolved<'a>(digests: &'a [String], named: &[String]) -> BTreeSet<&'a String> {
    let all = |begins: &String| {
        let from = digests.partition_point(|digest| digest < begins);
        let mut found = digests[from..].iter().take_while(|digest| digest.starts_with(begins.as_str()));
        let first = found.next().unwrap_or_else(|| panic!("no image begins with {begins}"));
        assert_eq!(found.next(), None, "several images begin with {begins}");
        first
    };
    named.iter().map(all).collect()
}

/// A repository while the program fills it.
struct Shelf {
    now: Timestamp,
    web: Repository,
    /// The number of pushes so far. An image index and its images count as one push.
    count: u32,
    /// Pairs of digests. The first image belongs to the second: it is a child, a referrer or a
    /// signature.
    of: Vec<(String, String)>,
}

impl Shelf {
    fn add_part(&mut self) {
        // A referrer and a signature get the push time of the image to which they belong.
        let mut signed = None;
        for _ in 0..90 {
            let (at, tags) = self.push();
            let image = self.image(&format!("build {}", self.count), at);
            signed = Some((at, self.web.put(tags.into_iter().fold(image, NewImage::tag))));
        }
        let mut described = None;
        for _ in 0..2 {
            let (at, tags) = self.push();
            let parts = ["amd64", "arm64", "attestation"];
            let parts = parts.map(|part| self.image(&format!("{part} of build {}", self.count), at));
            let index = NewImage::index_of(parts).pushed_at(at);
            let index = self.web.put(tags.into_iter().fold(index, NewImage::tag));
            let children = self.web.children(&index);
            self.of.extend(children.into_iter().map(|child| (child, index.clone())));
            described = Some((at, index));
        }
        if let Some((at, index)) = described {
            let sbom = self.web.put(NewImage::referrer(&index, "application/spdx+json").pushed_at(at));
            self.of.push((sbom, index));
        }
        if let Some((at, image)) = signed {
            let signature = self.web.put(NewImage::cosign_signature(&image).pushed_at(at));
            self.of.push((signature, image));
        }
    }

    /// Returns an image with two layers that other images share, and one layer of its own.
    fn image(&self, name: &str, at: PushedAt) -> NewImage {
        let base = self.count % 7;
        let image = NewImage::named(name).layer(format!("base {base}"), 80_000_000);
        image.layer("packages", 30_000_000).layer(name, 2_000_000).pushed_at(at)
    }

    /// Returns the push time and the tags of the next image. Every tenth image has a build tag of
    /// Stablepin. Every thousandth image has a release tag.
    fn push(&mut self) -> (PushedAt, Vec<String>) {
        self.count += 1;
        let (count, at) = (self.count, self.time());
        let commit = format!("{:08x}", count.wrapping_mul(0x9e37_79b1));
        let mut tags = vec![format!("build-{count}-{commit}")];
        if count.is_multiple_of(10) {
            tags.push(format!("production-{}-{commit}", at.strftime("%Y%m%d-%H%M%S")));
        }
        if count.is_multiple_of(1000) {
            tags.push(format!("v1.{}.0", count / 1000));
        }
        // The service runs the first image, which was pushed 30 days ago.
        if count == 1 {
            tags.push("production-stable".to_owned());
            tags.push("latest".to_owned());
            return (PushedAt::At(self.now - SignedDuration::from_hours(24 * 30)), tags);
        }
        (PushedAt::At(at), tags)
    }

    /// Returns a push time. Successive times are in no order. Each time is half an hour off the
    /// full hour, so that no image reaches an age limit between the runs of two tools.
    fn time(&self) -> Timestamp {
        let hours = i64::from(self.count.wrapping_mul(0x9e37_79b1) >> 8) % (24 * DAYS);
        self.now - SignedDuration::from_mins(60 * hours + 30)
    }
}
