//! Many images at once.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::thread;

use jiff::SignedDuration;
use serde_json::json;
use stablepin_tests::Plan;
use stablepin_tests::ecr_double::{Mutability, NewImage, Repository, Status};
use stablepin_tests::retention::{Retention, days_ago};

const REPOSITORIES: usize = 40;
const IMAGES: usize = 500;

/// So many runs at a time: programs and the emulator share the machine.
const SIDE_BY_SIDE: usize = 4;

/// What is in one of them: 100 indexes of two platforms, of which each two share a child, 100 signatures, 100 images of
/// their own, 50 in the archive. 10 of the indexes have a protected tag.
struct Filled {
    web: Repository,
    stays: BTreeSet<String>,
}

#[track_caller]
fn fill(story: &Retention, plan: &Plan, web: Repository, number: usize) -> Filled {
    story.registers(&plan.name, &format!("{}\n[retention]\nmode = \"delete\"\nkeep = 5\n", plan.toml()));
    let named = |name: String| NewImage::named(format!("{name} of {number}")).layer("base", 80_000_000);
    let old = |name: String| {
        named(name.clone()).layer(format!("{name} of {number}"), 10_000).pushed_at(days_ago(400))
    };
    let shared = web.put_all((0..50).map(|n| old(format!("shared {n}"))));
    let own = web.put_all((0..100).map(|n| old(format!("own {n}"))));
    let tagged = |n: usize| n < 20 && n % 2 == 0;
    let indexes = web.put_all((0..100).map(|n| {
        let index = NewImage::index([&own[n], &shared[n / 2]]).pushed_at(days_ago(300));
        if tagged(n) { index.tag(format!("v1.0.{n}")) } else { index }
    }));
    let signature = |of: &String| NewImage::cosign_signature(of).pushed_at(days_ago(300));
    let signatures = web.put_all(indexes.iter().map(signature));
    let plain = web.put_all((0..100).map(|n| match n {
        0..10 => named(format!("young {n}")).pushed_at(days_ago(10)),
        _ => old(format!("plain {n}")),
    }));
    let archived = web.put_all((0..25).map(|n| old(format!("archived {n}")).status(Status::Archived)));
    let mut stays: BTreeSet<String> = plain.into_iter().take(10).collect();
    stays.extend(archived);
    for n in (0..100).filter(|n| tagged(*n)) {
        stays.extend([&indexes[n], &own[n], &shared[n / 2], &signatures[n]].map(String::clone));
    }
    Filled { web, stays }
}

/// What was archived long ago.
#[track_caller]
fn fill_archive(web: &Repository, number: usize) {
    let archived = |n| NewImage::named(format!("long archived {n} of {number}")).pushed_at(days_ago(500));
    web.put_all((0..25).map(|n| archived(n).status(Status::Archived)));
}

#[test]
fn of_20_000_images_in_40_repositories_all_goes_that_may_and_nothing_else_in_few_calls() {
    let story = Retention::begin("ret-many", "mode = \"delete\"");
    let plans: Vec<Plan> = (0..REPOSITORIES).map(|_| Plan::new("ret-many")).collect();
    let repositories: Vec<Repository> =
        plans.iter().map(|plan| story.ecr.creates(&plan.repository, Mutability::Mutable)).collect();
    let half_a_year = SignedDuration::from_hours(24 * 180);
    story.ecr.time_passes(-half_a_year);
    repositories.iter().enumerate().for_each(|(number, web)| fill_archive(web, number));
    story.ecr.time_passes(half_a_year);

    let open = Mutex::new(plans.iter().zip(repositories).enumerate().collect::<Vec<_>>());
    let done = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                let next = || open.lock().unwrap_or_else(PoisonError::into_inner).pop();
                while let Some((number, (plan, web))) = next() {
                    let filled = fill(&story, plan, web, number);
                    assert_eq!(filled.web.count(), IMAGES);
                    let before = filled.web.layer_bytes();
                    let run = story.begins_for(&plan.name, &plan.repository, &json!({ "share": 100 }));
                    let told = run.ends();
                    let there: BTreeSet<String> = filled.web.digests().into_iter().collect();
                    assert_eq!(there, filled.stays, "{told:#}");
                    assert_eq!((&told["state"], &told["errors"]), (&json!("Done"), &json!({})), "{told:#}");
                    assert_eq!(run.number("deleted") as usize, IMAGES - there.len(), "{told:#}");
                    assert!(run.number("freed_bytes") >= before - filled.web.layer_bytes(), "{told:#}");
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(plan.repository.clone());
                }
            });
        }
    });
    assert_eq!(done.into_inner().map(|done| done.len()).unwrap_or_default(), REPOSITORIES);

    // Of each repository: one look before and one after, and one at each hundred before they go: 205 images and
    // indexes, then 220 that belong to them.
    let counts = story.ecr.counts();
    assert_eq!(counts["DescribeImages"], REPOSITORIES * (2 + 6), "{counts:?}");
    assert_eq!(counts["BatchDeleteImage"], REPOSITORIES * 6, "{counts:?}");
}
