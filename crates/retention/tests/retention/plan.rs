//! Properties of retention plans, checked for generated registries.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use stablepin_retention_rules::inventory::{
    Image, Inventory, Need, NeededName, Needer, Pinned, StorageState, Tag, WasLive,
};
use stablepin_retention_rules::plan::{Fate, Plan, RetentionRule, plan};
use stablepin_retention_rules::policy::{Removal, RetentionPolicy};
use stablepin_rules::image::{ImageDigest, ImageTag};
use stablepin_rules::pattern::Pattern;
use stablepin_rules::pin_number::PinNumber;

use crate::fixtures::{days_ago, digest, environment, inventory, now, policy, tag};

const MOST: usize = 30;

/// A generated registry: plain lists, so that a test can shuffle them.
#[derive(Debug, Clone)]
struct Registry {
    images: Vec<Image>,
    pins: Vec<Pinned>,
    needs: Vec<Need>,
    was_live: Vec<WasLive>,
}

impl Registry {
    fn inventory(&self) -> Inventory {
        Inventory {
            pins: self.pins.clone(),
            needs: self.needs.clone(),
            was_live: self.was_live.clone(),
            ..inventory(self.images.clone())
        }
    }
}

fn any_time() -> impl Strategy<Value = Option<Timestamp>> {
    prop_oneof![
        20 => (-3..400_i64).prop_map(|days| Some(days_ago(days))),
        2 => Just(None),
        1 => select(vec![Some(Timestamp::MIN), Some(Timestamp::MAX), Some(Timestamp::UNIX_EPOCH)]),
    ]
}

fn any_tag() -> impl Strategy<Value = Tag> {
    let stamp = |days: i64| days_ago(days).strftime("%Y%m%d-%H%M%S").to_string();
    let of = select(vec!["production", "staging"]);
    prop_oneof![
        6 => (of.clone(), -2..400_i64, any::<u32>(), prop::bool::weighted(0.8)).prop_map(
            move |(environment, days, commit, ours)| {
                tag(&format!("{environment}-{}-{commit:08x}", stamp(days)), ours)
            }
        ),
        2 => (of, 0..60_i64, prop::bool::weighted(0.8)).prop_map(move |(environment, days, ours)| {
            tag(&format!("{environment}-rollback-{}", stamp(days)), ours)
        }),
        2 => (0..MOST, select(vec![".sig", ".att", ".sbom", ""]))
            .prop_map(|(n, suffix)| tag(&format!("sha256-{}{suffix}", digest(n).hex()), false)),
        3 => select(vec!["latest", "main", "staging-api", "v1.2.3", "feature-x", "main-a1b2c3d", "prod-stable"])
            .prop_map(|text| tag(text, false)),
    ]
}

prop_compose! {
    fn any_image(n: usize)(
        tags in prop::collection::vec(any_tag(), 0..3),
        pushed_at in any_time(),
        activated_at in prop_oneof![9 => Just(None), 1 => any_time()],
        status in prop_oneof![
            8 => Just(StorageState::Active),
            3 => any_time().prop_map(StorageState::Archived),
            1 => Just(StorageState::Activating),
        ],
        size_bytes in prop::option::of(any::<u64>()),
        children in prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(0..MOST + 3, 0..4)],
        subject in prop_oneof![4 => Just(None), 1 => (0..MOST + 3).prop_map(Some)],
    ) -> Image {
        Image {
            digest: digest(n),
            tags,
            pushed_at,
            activated_at,
            status,
            size_bytes,
            // A digest is a hash of the content, so no image can contain itself, even indirectly.
            children: children.into_iter().filter(|child| *child > n).map(digest).collect(),
            subject: subject.map(digest),
            odd: None,
        }
    }
}

fn any_need() -> impl Strategy<Value = Need> {
    let named = prop_oneof![
        4 => (0..MOST + 3).prop_map(|n| NeededName::Digest(digest(n))),
        1 => select(vec!["main", "feature-x", "gone"]).prop_map(|text| NeededName::Tag(ImageTag::parse(text).unwrap())),
    ];
    let by = select(vec![
        Needer::Current(environment("production")),
        Needer::Operation("promotion 1".to_owned()),
        Needer::Workload("task 1 of service prod/web".to_owned()),
    ]);
    (named, by).prop_map(|(image, by)| Need { image, by })
}

prop_compose! {
    fn any_registry()(count in 0..MOST)(
        images in (0..count).map(any_image).collect::<Vec<_>>(),
        pinned in prop::collection::vec((select(vec!["production", "staging"]), 0..MOST + 3), 0..12),
        needs in prop::collection::vec(any_need(), 0..4),
        was_live in prop::collection::vec((-2..60_i64, 0..MOST + 3), 0..3),
    ) -> Registry {
        let mut numbers: BTreeMap<&str, u64> = BTreeMap::new();
        let pins = pinned.into_iter().map(|(name, n)| {
            let number = numbers.entry(name).or_default();
            *number += 1;
            Pinned { environment: environment(name), number: PinNumber::new(*number).unwrap(), digest: digest(n) }
        });
        let was_live = was_live.into_iter().map(|(days, n)| {
            WasLive { environment: environment("production"), at: days_ago(days), digest: digest(n) }
        });
        Registry { images, pins: pins.collect(), needs, was_live: was_live.collect() }
    }
}

fn any_policy() -> impl Strategy<Value = RetentionPolicy> {
    let removal = select(vec![Removal::Delete, Removal::Delete, Removal::ArchiveFirst]);
    (removal, 1..200_u32, 1..60_u32, 1..200_u32, 5..8_usize).prop_map(
        |(removal, days, backup_days, archive_days, keep)| RetentionPolicy {
            removal,
            days,
            backup_days,
            archive_days,
            keep,
            ..policy()
        },
    )
}

fn deleted(plan: &Plan) -> BTreeSet<&ImageDigest> {
    plan.images.iter().filter(|one| matches!(one.fate, Fate::Delete { .. })).map(|one| &one.digest).collect()
}

/// Returns the images that the plan deletes or archives.
fn gone(plan: &Plan) -> BTreeSet<&ImageDigest> {
    plan.images.iter().filter(|one| one.fate.wave().is_some()).map(|one| &one.digest).collect()
}

/// Returns the images that rule 8 protects, computed in a simpler way than the plan.
fn rule_8(registry: &Registry, policy: &RetentionPolicy) -> BTreeSet<ImageDigest> {
    let mut runs: BTreeSet<ImageDigest> = BTreeSet::new();
    for environment in registry.pins.iter().map(|pin| &pin.environment) {
        let mut of: Vec<_> = registry.pins.iter().filter(|pin| pin.environment == *environment).collect();
        of.sort_by_key(|pin| std::cmp::Reverse(pin.number));
        let mut history: Vec<&ImageDigest> = Vec::new();
        for pin in of {
            if !history.contains(&&pin.digest) {
                history.push(&pin.digest);
            }
        }
        runs.extend(history.into_iter().take(policy.keep.max(5)).cloned());
    }
    let has = |name: &ImageTag| {
        let images = registry.images.iter().filter(|image| image.tags.iter().any(|tag| tag.tag == *name));
        images.map(|image| image.digest.clone()).collect::<Vec<_>>()
    };
    for need in &registry.needs {
        match &need.image {
            NeededName::Digest(digest) => drop(runs.insert(digest.clone())),
            NeededName::Tag(name) => runs.extend(has(name)),
        }
    }
    // Every image index of a needed image is needed too, and so is every parent of such an index.
    loop {
        let more: Vec<_> = registry
            .images
            .iter()
            .filter(|image| {
                image.children.iter().any(|child| runs.contains(child) && present(registry, child))
            })
            .filter(|image| !runs.contains(&image.digest))
            .map(|image| image.digest.clone())
            .collect();
        if more.is_empty() {
            break;
        }
        runs.extend(more);
    }
    let named = registry.images.iter().filter(|image| {
        image.tags.iter().any(|tag| {
            let own = tag.build().is_some() || tag.backup().is_some();
            let matched = policy.protect.iter().any(|pattern| pattern.matches(tag.tag.as_str()));
            (matched && !own) || policy.standing.contains(&tag.tag)
        })
    });
    runs.extend(named.map(|image| image.digest.clone()));
    runs
}

fn present(registry: &Registry, digest: &ImageDigest) -> bool {
    registry.images.iter().any(|image| image.digest == *digest)
}

/// Applies a plan to a registry. Panics if the plan deletes a part of a kept image index.
fn applied(registry: &Registry, plan: &Plan) -> Registry {
    let mut after = registry.clone();
    let mut waves: Vec<(u16, &ImageDigest, bool)> = plan
        .images
        .iter()
        .filter_map(|one| match one.fate {
            Fate::Delete { wave } => Some((wave, &one.digest, true)),
            Fate::Archive { wave } => Some((wave, &one.digest, false)),
            Fate::Keep | Fate::Untag { .. } => None,
        })
        .collect();
    waves.sort_unstable();
    for wave in waves.chunk_by(|one, other| one.0 == other.0) {
        for (_, digest, deletes) in wave {
            let mut holders = after.images.iter().filter(|image| image.children.contains(digest));
            match deletes {
                true => assert_eq!(holders.next(), None, "{digest} is part of an existing index"),
                false => assert!(
                    holders.all(|index| index.status != StorageState::Active),
                    "{digest} is part of an index that is not archived"
                ),
            }
        }
        let of = |image: &Image| wave.iter().find(|(_, digest, _)| **digest == image.digest);
        after.images.retain(|image| !of(image).is_some_and(|(_, _, deletes)| *deletes));
        for image in &mut after.images {
            if of(image).is_some() {
                image.status = StorageState::Archived(Some(plan.at));
            }
        }
    }
    for one in &plan.images {
        let Fate::Untag { untag } = &one.fate else { continue };
        let image = after.images.iter_mut().find(|image| image.digest == one.digest).unwrap();
        image.tags.retain(|tag| !untag.contains(&tag.tag));
        assert!(image.tags.iter().any(|tag| tag.build().is_some()), "an image must keep a tag");
    }
    after
}

fn is_empty(plan: &Plan) -> bool {
    plan.images.iter().all(|one| one.fate == Fate::Keep)
}

/// Returns the tags and the archive state of each image, sorted, for comparison.
fn state(registry: &Registry) -> BTreeMap<ImageDigest, (BTreeSet<Tag>, bool)> {
    let of = |image: &Image| {
        (image.tags.iter().cloned().collect(), matches!(image.status, StorageState::Archived(_)))
    };
    registry.images.iter().map(|image| (image.digest.clone(), of(image))).collect()
}

fn config() -> ProptestConfig {
    // Retention deletes images, so its properties run more cases than other properties.
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases.max(10_000), ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn rule_8_needed_images_and_their_parts_are_never_deleted(
        registry in any_registry(), policy in any_policy(), share in 1..=100_u8,
    ) {
        let policy = RetentionPolicy { share, ..policy };
        let plan = plan(&registry.inventory(), &policy, now());
        let (deleted, gone) = (deleted(&plan), gone(&plan));
        for needed in rule_8(&registry, &policy) {
            prop_assert!(!gone.contains(&needed), "{needed} is needed");
        }
        for image in &registry.images {
            if deleted.contains(&image.digest) {
                continue;
            }
            // A restore of an archived image needs all parts of the image. So the plan may archive
            // those parts, but must not delete them.
            let archived = matches!(image.status, StorageState::Archived(_)) || gone.contains(&image.digest);
            let lost = if archived { &deleted } else { &gone };
            let accessories = registry.images.iter().filter(|other| {
                let by_tag = |tag: &Tag| tag.tag.as_str().starts_with(&format!("sha256-{}", image.digest.hex()));
                let about = other.subject.as_ref() == Some(&image.digest) || other.tags.iter().any(by_tag);
                about && other.digest != image.digest
            });
            for part in image.children.iter().chain(accessories.map(|other| &other.digest)) {
                prop_assert!(!lost.contains(part), "{part} belongs to {}, which stays", image.digest);
            }
        }
    }

    #[test]
    fn young_newest_and_undated_images_are_never_removed(
        registry in any_registry(), policy in any_policy(),
    ) {
        let plan = plan(&registry.inventory(), &policy, now());
        let gone = gone(&plan);
        for image in registry.images.iter().filter(|image| gone.contains(&image.digest)) {
            let built = image.tags.iter().filter_map(Tag::build).map(|build| build.at()).max();
            let at = built.or(image.pushed_at);
            prop_assert!(at.is_some_and(|at| now().duration_since(at) >= SignedDuration::from_hours(24) * i32::try_from(policy.days).unwrap()));
            for build in image.tags.iter().filter_map(Tag::build).filter(|_| image.status == StorageState::Active) {
                let newer = registry.images.iter().filter(|other| other.digest != image.digest).filter(|other| {
                    !matches!(other.status, StorageState::Archived(_))
                        && other.tags.iter().filter_map(Tag::build).any(|one| one.environment() == build.environment() && one.at() >= build.at())
                });
                prop_assert!(newer.count() >= policy.keep);
            }
        }
    }

    #[test]
    fn read_order_does_not_change_the_plan(
        registry in any_registry(), policy in any_policy(), share in 1..=100_u8, swaps in prop::collection::vec(any::<(Index, Index)>(), 40),
    ) {
        let policy = RetentionPolicy { share, ..policy };
        let mut other = registry.clone();
        for (one, another) in &swaps {
            fn swap<T>(all: &mut [T], one: &Index, another: &Index) {
                if !all.is_empty() {
                    all.swap(one.index(all.len()), another.index(all.len()));
                }
            }
            swap(&mut other.images, one, another);
            swap(&mut other.pins, one, another);
            swap(&mut other.needs, one, another);
            if let Some(image) = other.images.first_mut() {
                swap(&mut image.tags, one, another);
                swap(&mut image.children, one, another);
            }
        }
        other.images.extend(registry.images.first().cloned()); // The registry lists the first image twice.
        prop_assert_eq!(plan(&registry.inventory(), &policy, now()), plan(&other.inventory(), &policy, now()));
    }

    #[test]
    fn second_run_right_after_the_first_removes_nothing(registry in any_registry(), policy in any_policy()) {
        let first = plan(&registry.inventory(), &policy, now());
        let after = applied(&registry, &first);
        let second = plan(&after.inventory(), &policy, now());
        prop_assert!(is_empty(&second), "{second:#?}");
    }

    #[test]
    fn stricter_policy_never_removes_an_additional_image(
        registry in any_registry(), policy in any_policy(), need in any_need(), more in 0..4_u8,
    ) {
        let (mut larger, mut stricter) = (registry.clone(), policy.clone());
        match more {
            0 => larger.needs.push(need),
            1 => stricter.keep += 1,
            2 => stricter.days += 30,
            _ => stricter.protect.push(Pattern::parse("feature-*").unwrap()),
        }
        let (few, many) = (plan(&larger.inventory(), &stricter, now()), plan(&registry.inventory(), &policy, now()));
        prop_assert!(deleted(&few).is_subset(&deleted(&many)));
        prop_assert!(gone(&few).is_subset(&gone(&many)));
    }

    #[test]
    fn limited_runs_reach_the_result_of_one_full_run(
        registry in any_registry(), policy in any_policy(), share in 1..60_u8,
    ) {
        let all = applied(&registry, &plan(&registry.inventory(), &policy, now()));
        let policy = RetentionPolicy { share, ..policy };
        let mut little = registry.clone();
        for _ in 0..=2 * MOST {
            let plan = plan(&little.inventory(), &policy, now());
            let most = (little.images.len() * usize::from(share) / 100).max(1);
            let gone = gone(&plan);
            prop_assert!(gone.len() <= most);
            let time = |digest: &ImageDigest| plan.images.iter().find(|one| one.digest == *digest).and_then(|one| one.time);
            let later: Vec<_> = plan.images.iter().filter(|one| one.rule == RetentionRule::OverShare).collect();
            prop_assert!(later.is_empty() || gone.len() == most);
            for left in &later {
                let below = |other: &Image| other.children.contains(&left.digest);
                let image = little.images.iter().find(|image| image.digest == left.digest).unwrap();
                let about = image.subject.is_some() || image.tags.iter().any(|tag| tag.tag.is_a_referrers());
                let alone = !about && !little.images.iter().any(below);
                if alone {
                    prop_assert!(gone.iter().all(|digest| time(digest) <= left.time));
                }
            }
            if is_empty(&plan) {
                break;
            }
            little = applied(&little, &plan);
        }
        let (little, all) = (state(&little), state(&all));
        let differ: Vec<_> = little.iter().filter(|(digest, one)| all.get(digest) != Some(one)).collect();
        prop_assert!(differ.is_empty() && little.len() == all.len(), "{differ:#?}");
    }
}

/// The properties are only useful if generated registries lead to every retention rule and fate.
#[test]
fn generated_registries_cover_every_retention_rule() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..3000 {
        let (registry, policy, share) =
            (any_registry(), any_policy(), 1..=100_u8).new_tree(&mut runner).unwrap().current();
        for one in plan(&registry.inventory(), &RetentionPolicy { share, ..policy }, now()).images {
            *seen.entry(one.rule.as_str()).or_default() += 1;
            let fate = match one.fate {
                Fate::Keep => "to keep",
                Fate::Untag { .. } => "to untag",
                Fate::Delete { wave: 0 } => "to delete",
                Fate::Delete { .. } => "to delete later",
                Fate::Archive { .. } => "to archive",
            };
            *seen.entry(fate).or_default() += 1;
        }
    }
    let rare: Vec<_> = seen.iter().filter(|(_, count)| **count < 3).collect();
    assert!(rare.is_empty() && seen.len() == 21 + 5, "{seen:#?}");
}
