//! Retention of many images in many repositories.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::thread;

use jiff::SignedDuration;
use serde_json::json;
use stablepin_tests::ecr_fake::{NewImage, Repository, StorageStatus, TagMutability};
use stablepin_tests::retention::{Retention, days_ago};
use stablepin_tests::{Plan, runs_deep};

const REPOSITORIES: usize = 40;
const IMAGES: usize = 500;
const LONG_ARCHIVED: usize = 10;

/// The most images that ECR deletes in one call.
///
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html>
const PER_CALL: usize = 100;

/// The number of parallel runs. The programs and the emulator share one machine.
const SIDE_BY_SIDE: usize = 4;

/// A repository with 100 image indexes for two platforms, 100 signatures, 100 single images and 50
/// archived images. Two neighbouring image indexes share an image.
struct Filled {
    web: Repository,
    stays: BTreeSet<String>,
    /// The number of calls that delete images. The first wave of calls deletes image indexes and
    /// single images. The second wave deletes the images of the deleted image indexes, and
    /// signatures.
    deletions: usize,
}

/// Returns how many of the 100 image indexes, and how many of the 100 single images, are old.
/// Without `--deep` fewer are old, because each deletion also writes marks and takes time.
fn old_ones() -> (usize, usize) {
    if runs_deep() { (100, 90) } else { (24, 75) }
}

#[track_caller]
fn fill(story: &Retention, plan: &Plan, web: Repository, number: usize) -> Filled {
    story.app.registers(&plan.name, &format!("{}\n[retention]\nmode = \"delete\"\nkeep = 5\n", plan.toml()));
    let (old_indexes, old_images) = old_ones();
    let named = |name: String| {
        let own = format!("{name} of {number}");
        NewImage::named(&own).layer("base", 80_000_000).layer(own, 10_000)
    };
    let old = |name: String| named(name).pushed_at(days_ago(400));
    let young = |name: String| named(name).pushed_at(days_ago(10));
    let shared = web.put_all((0..50).map(|n| old(format!("shared {n}"))));
    let own = web.put_all((0..100).map(|n| old(format!("own {n}"))));
    // Image indexes 0, 2, 4 and 6 are protected. Each shares an image with an image index that
    // retention deletes.
    let protected = |n: usize| n < 8 && n.is_multiple_of(2);
    let indexes = web.put_all((0..100).map(|n| {
        let index = NewImage::index([&own[n], &shared[n / 2]]);
        match n {
            _ if protected(n) => index.tag(format!("v1.0.{n}")).pushed_at(days_ago(300)),
            _ if n < old_indexes => index.pushed_at(days_ago(300)),
            _ => index.pushed_at(days_ago(10)),
        }
    }));
    let signature = |of: &String| NewImage::cosign_signature(of).pushed_at(days_ago(300));
    let signatures = web.put_all(indexes.iter().map(signature));
    let images = web.put_all((0..100).map(|n| {
        let name = format!("image {n}");
        if n < old_images { old(name) } else { young(name) }
    }));
    let mut stays: BTreeSet<String> = images.into_iter().skip(old_images).collect();
    let archived = |n| old(format!("archived {n}")).status(StorageStatus::Archived);
    stays.extend(web.put_all((0..40).map(archived)));
    for n in (0..100).filter(|n| *n >= old_indexes || protected(*n)) {
        stays.extend([&indexes[n], &own[n], &shared[n / 2], &signatures[n]].map(String::clone));
    }
    let count = |of: &[String]| of.iter().filter(|digest| !stays.contains(*digest)).count();
    let first = count(&indexes) + old_images + LONG_ARCHIVED;
    let after = count(&own) + count(&shared) + count(&signatures);
    Filled { web, deletions: first.div_ceil(PER_CALL) + after.div_ceil(PER_CALL), stays }
}

/// Adds images that were archived long ago.
#[track_caller]
fn fill_archive(web: &Repository, number: usize) {
    let archived = |n| NewImage::named(format!("long archived {n} of {number}")).pushed_at(days_ago(500));
    web.put_all((0..LONG_ARCHIVED).map(|n| archived(n).status(StorageStatus::Archived)));
}

#[test]
fn retention_deletes_thousands_of_images_in_few_calls() {
    let story = Retention::begin("ret-many", "mode = \"delete\"");
    let plans: Vec<Plan> = (0..REPOSITORIES).map(|_| Plan::new("ret-many")).collect();
    let repositories: Vec<Repository> =
        plans.iter().map(|plan| story.ecr.creates(&plan.repository, TagMutability::Mutable)).collect();
    let half_a_year = SignedDuration::from_hours(24 * 180);
    story.ecr.time_passes(-half_a_year);
    repositories.iter().enumerate().for_each(|(number, web)| fill_archive(web, number));
    story.ecr.time_passes(half_a_year);

    let open = Mutex::new(plans.iter().zip(repositories).enumerate().collect::<Vec<_>>());
    let deletions = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                let next = || open.lock().unwrap_or_else(PoisonError::into_inner).pop();
                while let Some((number, (plan, web))) = next() {
                    let filled = fill(&story, plan, web, number);
                    assert_eq!(filled.web.count(), IMAGES);
                    let before = filled.web.layer_bytes();
                    let run = story.begins_for(&plan.name, &plan.repository, &json!({ "share": 100 }));
                    let recorded = run.ends();
                    let there: BTreeSet<String> = filled.web.digests().into_iter().collect();
                    assert_eq!(there, filled.stays, "{recorded:#}");
                    assert_eq!(
                        (&recorded["state"], &recorded["errors"]),
                        (&json!("Done"), &json!({})),
                        "{recorded:#}"
                    );
                    assert_eq!(run.number("deleted") as usize, IMAGES - there.len(), "{recorded:#}");
                    assert!(run.number("freed_bytes") >= before - filled.web.layer_bytes(), "{recorded:#}");
                    deletions.lock().unwrap_or_else(PoisonError::into_inner).push(filled.deletions);
                }
            });
        }
    });
    let deletions = deletions.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(deletions.len(), REPOSITORIES);
    let deletions: usize = deletions.iter().sum();
    assert!(deletions > 2 * REPOSITORIES, "some wave needs more than one call");

    // A run lists its repository once before and once after all deletions. Before each deletion,
    // the run also reads the images of that deletion once more.
    let counts = story.ecr.counts();
    assert_eq!(counts["DescribeImages"], 2 * REPOSITORIES + deletions, "{counts:?}");
    assert_eq!(counts["BatchDeleteImage"], deletions, "{counts:?}");
}
