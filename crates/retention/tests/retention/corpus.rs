//! Known mistakes of retention tools. Each test builds a registry and checks the correct plan.
//! `owner/project#1` refers to an issue of that project.

use jiff::{SignedDuration, Timestamp};

use stablepin_retention_rules::inventory::{
    Image, Images, Inventory, Need, NeededName, Needer, Pinned, StorageState, Tag, WasLive,
};
use stablepin_retention_rules::plan::{Fate, Plan, Planned, RetentionRule, plan};
use stablepin_retention_rules::policy::{Removal, RetentionPolicy};
use stablepin_rules::image::ImageTag;
use stablepin_rules::pin_number::PinNumber;

use crate::fixtures::{days_ago, digest, environment, inventory, now, policy, tag};

fn image(n: usize, days: i64, tags: &[Tag]) -> Image {
    Image {
        digest: digest(n),
        tags: tags.to_vec(),
        pushed_at: Some(days_ago(days)),
        activated_at: None,
        status: StorageState::Active,
        size_bytes: Some(1_000_000),
        children: Vec::new(),
        subject: None,
        odd: None,
    }
}

/// Returns a build tag of Stablepin that is `days` days old.
fn build(days: i64) -> Tag {
    tag(&format!("production-{}-a1b2c3d4", days_ago(days).strftime("%Y%m%d-%H%M%S")), true)
}

fn backup(days: i64) -> Tag {
    tag(&format!("production-rollback-{}", days_ago(days).strftime("%Y%m%d-%H%M%S")), true)
}

fn other(text: &str) -> Tag {
    tag(text, false)
}

/// Adds newer builds, so that the tested images are not among the newest images.
fn with_newer(images: impl IntoIterator<Item = Image>) -> Inventory {
    let newer = (0..5).flat_map(|n| {
        let at = i64::try_from(n).unwrap();
        [image(900 + n, at, &[build(at)]), image(950 + n, at, &[other(&format!("other-{n}"))])]
    });
    inventory(images.into_iter().chain(newer).collect())
}

fn of(plan: &Plan, n: usize) -> &Planned {
    plan.images.iter().find(|one| one.digest == digest(n)).unwrap()
}

#[track_caller]
fn stays(inventory: &Inventory, n: usize, rule: RetentionRule) {
    let plan = plan(inventory, &policy(), now());
    let one = of(&plan, n);
    assert_eq!((&one.fate, one.rule), (&Fate::Keep, rule), "{one:#?}");
}

#[track_caller]
fn goes(inventory: &Inventory, n: usize, wave: u16) {
    let plan = plan(inventory, &policy(), now());
    let one = of(&plan, n);
    assert_eq!((&one.fate, one.rule), (&Fate::Delete { wave }, RetentionRule::Old), "{one:#?}");
}

fn workload(inventory: &mut Inventory, image: NeededName) {
    inventory.needs.push(Need { image, by: Needer::Workload("task 1 of service prod/web".to_owned()) });
}

#[test]
fn protected_tag_keeps_the_image_with_all_its_tags() {
    // awslabs/ecr-cleanup-lambda#34: deleting one tag also deleted the protected tag of the image.
    let inventory = with_newer([image(1, 400, &[other("v1.2.3"), other("feature-x"), build(400)])]);
    stays(&inventory, 1, RetentionRule::Protected);
}

#[test]
fn untagged_image_is_kept_if_a_task_runs_its_digest() {
    // Reported in awslabs/ecr-cleanup-lambda#44 and aws/containers-roadmap#2394.
    let mut inventory = with_newer([image(1, 400, &[])]);
    goes(&inventory, 1, 0);
    workload(&mut inventory, NeededName::Digest(digest(1)));
    stays(&inventory, 1, RetentionRule::InUse);
}

#[test]
fn tag_in_a_task_definition_keeps_the_image_with_that_tag() {
    let mut inventory =
        with_newer([image(1, 400, &[other("feature-x")]), image(2, 400, &[other("feature-y")])]);
    workload(&mut inventory, NeededName::Tag(ImageTag::parse("feature-x").unwrap()));
    stays(&inventory, 1, RetentionRule::InUse);
    goes(&inventory, 2, 0);
}

#[test]
fn protection_pattern_must_match_the_whole_tag() {
    // awslabs/ecr-cleanup-lambda: the pattern `latest` also protected the tag `my-latest-test`.
    let inventory =
        with_newer([image(1, 400, &[other("my-latest-test")]), image(2, 400, &[other("latest")])]);
    goes(&inventory, 1, 0);
    stays(&inventory, 2, RetentionRule::Protected);
}

#[test]
fn pattern_never_protects_a_build_tag_of_stablepin() {
    // An earlier mistake of Stablepin: `staging-*` also protected the build tags
    // `staging-20250717-…`, not only tags such as `staging-api`.
    let ours = tag("staging-20250717-143052-a1b2c3d4", true);
    let mut images = vec![image(1, 400, &[ours]), image(2, 400, &[other("staging-api")])];
    images.extend((0..5).map(|n| {
        let name = format!("staging-{}-0000000{n}", days_ago(100).strftime("%Y%m%d-%H%M%S"));
        image(10 + n, 100, &[tag(&name, true)])
    }));
    let inventory = with_newer(images);
    goes(&inventory, 1, 0);
    stays(&inventory, 2, RetentionRule::Protected);
}

#[test]
fn build_tag_from_a_pipeline_is_not_trusted() {
    // Such a tag does not set the age of the image, and a pattern can protect the tag.
    let theirs = tag("staging-20250717-143052-a1b2c3d4", false);
    let young = tag("production-20200101-000000-a1b2c3d4", false);
    let inventory = with_newer([image(1, 400, &[theirs]), image(2, 20, &[young])]);
    stays(&inventory, 1, RetentionRule::Protected);
    stays(&inventory, 2, RetentionRule::Young);
}

#[test]
fn image_index_keeps_its_untagged_children() {
    // Reported for GHCR in vlaurin/action-ghcr-prune#76 and docker/buildx#940.
    let index = Image { children: vec![digest(2), digest(3)], ..image(1, 400, &[other("main")]) };
    let inventory = with_newer([index, image(2, 400, &[]), image(3, 400, &[])]);
    stays(&inventory, 2, RetentionRule::PartOfKept);
    stays(&inventory, 3, RetentionRule::PartOfKept);
}

#[test]
fn child_of_two_image_indexes_is_deleted_after_both() {
    let index = |n, tags: &[Tag]| Image { children: vec![digest(3)], ..image(n, 400, tags) };
    let inventory = with_newer([index(1, &[]), index(2, &[other("main")]), image(3, 401, &[])]);
    goes(&inventory, 1, 0);
    stays(&inventory, 3, RetentionRule::PartOfKept);
    let inventory = with_newer([index(1, &[]), index(2, &[]), image(3, 401, &[])]);
    goes(&inventory, 1, 0);
    goes(&inventory, 2, 0);
    goes(&inventory, 3, 1);
}

#[test]
fn running_platform_image_keeps_its_whole_image_index() {
    // An ECS service names the image index, but its task reports the child's digest.
    let index = Image { children: vec![digest(2), digest(3)], ..image(1, 400, &[]) };
    let mut inventory = with_newer([index, image(2, 400, &[]), image(3, 400, &[])]);
    workload(&mut inventory, NeededName::Digest(digest(2)));
    stays(&inventory, 1, RetentionRule::IndexOfNeeded);
    stays(&inventory, 2, RetentionRule::InUse);
    stays(&inventory, 3, RetentionRule::PartOfKept);
}

#[test]
fn referrers_are_kept_as_long_as_their_image() {
    // Reported in google/go-containerregistry#1767, and for Harbor's accessories.
    let cosign =
        |n, of, suffix: &str| image(n, 400, &[other(&format!("sha256-{}{suffix}", digest(of).hex()))]);
    let sbom = Image { subject: Some(digest(1)), ..image(4, 400, &[]) };
    let signed = Image { subject: Some(digest(4)), ..image(5, 400, &[]) };
    let mut inventory =
        with_newer([image(1, 400, &[]), cosign(2, 1, ".sig"), cosign(3, 1, ".att"), sbom, signed]);
    for (n, wave) in [(1, 0), (2, 1), (3, 1), (4, 1), (5, 2)] {
        goes(&inventory, n, wave);
    }
    workload(&mut inventory, NeededName::Digest(digest(1)));
    for n in 2..=5 {
        stays(&inventory, n, RetentionRule::AboutKept);
    }
}

#[test]
fn images_that_refer_to_each_other_are_kept() {
    let about = |n, of| image(n, 400, &[other(&format!("sha256-{}.sig", digest(of).hex()))]);
    let inventory = with_newer([about(1, 2), about(2, 1), about(3, 3), about(4, 2)]);
    for n in [1, 2, 4] {
        stays(&inventory, n, RetentionRule::Tangled);
    }
    goes(&inventory, 3, 0); // Image 3 refers only to itself, so there is a correct order.
}

#[test]
fn image_with_three_tags_counts_as_one_newest_image() {
    // ecr-cleaner on PyPI skips the first image of each group. harbor#8717 counts tags, not images.
    let thrice = [build(200), build(201), build(202)];
    let images = (0..7).map(|n| match n {
        0 => image(n, 200, &thrice),
        _ => image(n, 200, &[build(200 + 10 * i64::try_from(n).unwrap())]),
    });
    let inventory = inventory(images.collect());
    for n in 0..5 {
        stays(&inventory, n, RetentionRule::Newest);
    }
    goes(&inventory, 5, 0);
    goes(&inventory, 6, 0);
}

#[test]
fn repository_of_five_images_keeps_all_images() {
    // ecr-cleaner on PyPI deleted all images, because the Python slice `[-0:]` is the whole list.
    let inventory = inventory((0..5).map(|n| image(n, 400, &[other(&format!("build-{n}"))])).collect());
    for n in 0..5 {
        stays(&inventory, n, RetentionRule::Newest);
    }
}

#[test]
fn pin_and_newest_earlier_pins_are_kept_after_400_days() {
    // aws/containers-roadmap#1128 and #2746: the image is in use, but its push is old.
    let mut inventory = with_newer((1..=8).map(|n| image(n, 400, &[])));
    let pin = |number, n| Pinned {
        environment: environment("production"),
        number: PinNumber::new(number).unwrap(),
        digest: digest(n),
    };
    // Image 8 is the newest pin. Image 7 has two pins, but counts once.
    inventory.pins = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 7), (7, 7), (8, 8)]
        .into_iter()
        .map(|(number, n)| pin(number, n))
        .collect();
    stays(&inventory, 8, RetentionRule::Pin);
    for n in [3, 4, 5, 7] {
        stays(&inventory, n, RetentionRule::PinHistory);
    }
    for n in [1, 2, 6] {
        goes(&inventory, n, 0);
    }
}

#[test]
fn image_with_an_unknown_or_future_time_is_kept() {
    let at = |n, pushed_at| Image { pushed_at, ..image(n, 0, &[]) };
    let inventory = with_newer([
        at(1, None),
        at(2, Some(Timestamp::MAX)),
        at(3, now().checked_add(SignedDuration::from_secs(1)).ok()),
        at(4, Some(Timestamp::MIN)),
        Image { pushed_at: None, ..image(5, 0, &[build(400)]) },
        Image { pushed_at: None, ..image(6, 0, &[tag("production-20259999-999999-a1b2c3d4", true)]) },
        image(7, 400, &[build(-2)]),
    ]);
    stays(&inventory, 1, RetentionRule::NoTime);
    stays(&inventory, 2, RetentionRule::Future);
    stays(&inventory, 3, RetentionRule::Future);
    stays(&inventory, 4, RetentionRule::NoTime);
    goes(&inventory, 5, 0);
    stays(&inventory, 6, RetentionRule::NoTime);
    stays(&inventory, 7, RetentionRule::Newest); // A wrong clock makes image 7 the newest image.
}

#[test]
fn image_with_a_thousand_tags_counts_as_one_image() {
    let tags: Vec<Tag> = (0..1000).map(|n| other(&format!("nightly-{n}"))).collect();
    let inventory = with_newer([image(1, 400, &tags)]);
    goes(&inventory, 1, 0);
    let tags: Vec<Tag> = tags.into_iter().chain([other("main")]).collect();
    stays(&with_newer([image(1, 400, &tags)]), 1, RetentionRule::Protected);
}

#[test]
fn expired_backup_tag_is_removed_from_a_kept_image() {
    let inventory = with_newer([
        image(1, 400, &[backup(29)]),
        image(2, 400, &[backup(30)]),
        image(3, 400, &[build(400), backup(40), backup(3)]),
        image(4, 400, &[build(400), backup(40), other("main")]),
        image(5, 400, &[backup(40), other("main")]),
    ]);
    stays(&inventory, 1, RetentionRule::Backup);
    goes(&inventory, 2, 0);
    let plan = plan(&inventory, &policy(), now());
    let untag = Fate::Untag { untag: vec![backup(40).tag] };
    assert_eq!((&of(&plan, 3).fate, of(&plan, 3).rule), (&untag, RetentionRule::Backup));
    assert_eq!((&of(&plan, 4).fate, of(&plan, 4).rule), (&untag, RetentionRule::Protected));
    assert_eq!(of(&plan, 5).fate, Fate::Keep, "the backup may become the last tag when main moves away");
}

#[test]
fn previously_live_image_is_kept_even_without_a_backup_tag() {
    let mut inventory = with_newer([image(1, 400, &[build(400)]), image(2, 400, &[build(400)])]);
    let live = |n: usize, days: i64| WasLive {
        environment: environment("production"),
        at: days_ago(days),
        digest: digest(n),
    };
    inventory.was_live = vec![live(1, 29), live(1, 300), live(2, 30), live(3, 1)];
    stays(&inventory, 1, RetentionRule::Backup);
    goes(&inventory, 2, 0);
    let plan = plan(&inventory, &policy(), now());
    let why = "in production, this was live when a rollback began, less than 30 days ago";
    assert_eq!(of(&plan, 1).why, why);
}

#[test]
fn backup_tag_that_a_workload_names_is_kept() {
    let mut inventory = with_newer([image(1, 400, &[build(400), backup(40), backup(50)])]);
    workload(&mut inventory, NeededName::Tag(backup(40).tag));
    let plan = plan(&inventory, &policy(), now());
    assert_eq!(
        (&of(&plan, 1).fate, of(&plan, 1).rule),
        (&Fate::Untag { untag: vec![backup(50).tag] }, RetentionRule::InUse)
    );
}

#[test]
fn retention_keeps_signature_and_index_of_a_missing_image() {
    // The needed image was pushed during the reads, so the list of images lacks this image.
    let signature = image(2, 400, &[other(&format!("sha256-{}.sig", digest(1).hex()))]);
    let index = Image { children: vec![digest(1)], ..image(3, 400, &[]) };
    let mut inventory = with_newer([signature, index]);
    goes(&inventory, 2, 0);
    workload(&mut inventory, NeededName::Digest(digest(1)));
    stays(&inventory, 2, RetentionRule::AboutKept);
    stays(&inventory, 3, RetentionRule::IndexOfNeeded);
}

#[test]
fn planned_image_lists_the_images_to_delete_before_it() {
    let index = Image { children: vec![digest(2)], ..image(1, 400, &[]) };
    let sbom = Image { subject: Some(digest(2)), ..image(3, 400, &[]) };
    let plan = plan(&with_newer([index, image(2, 400, &[]), sbom]), &policy(), now());
    assert_eq!(of(&plan, 1).after, []);
    assert_eq!(of(&plan, 2).after, [digest(1)]);
    assert_eq!(of(&plan, 3).after, [digest(2)]);
}

#[test]
fn archived_image_and_its_parts_are_kept_for_archive_days() {
    let archived =
        |n, days| Image { status: StorageState::Archived(Some(days_ago(days))), ..image(n, 400, &[]) };
    let index = Image { children: vec![digest(4)], ..archived(3, 10) };
    let restored = Image { activated_at: Some(days_ago(10)), ..image(6, 400, &[]) };
    let inventory =
        with_newer([archived(1, 59), archived(2, 60), index, archived(4, 100), image(5, 400, &[]), restored]);
    stays(&inventory, 1, RetentionRule::Archived);
    stays(&inventory, 3, RetentionRule::Archived);
    stays(&inventory, 4, RetentionRule::PartOfKept);
    stays(&inventory, 6, RetentionRule::Young); // The age counts from the restore.
    let policy = RetentionPolicy { removal: Removal::ArchiveFirst, ..policy() };
    let plan = plan(&inventory, &policy, now());
    assert_eq!(
        (&of(&plan, 2).fate, of(&plan, 2).rule),
        (&Fate::Delete { wave: 0 }, RetentionRule::ArchivedLongAgo)
    );
    assert_eq!((&of(&plan, 5).fate, of(&plan, 5).rule), (&Fate::Archive { wave: 0 }, RetentionRule::Old));
}

#[test]
fn run_removes_the_oldest_images_up_to_its_share() {
    let images = (1..=20).map(|n| image(n, 400 - i64::try_from(n).unwrap(), &[]));
    let policy = RetentionPolicy { share: 20, ..policy() };
    let plan = plan(&with_newer(images), &policy, now());
    let gone: Vec<_> =
        plan.images.iter().filter(|one| one.fate.wave().is_some()).map(|one| &one.digest).collect();
    assert_eq!(gone, (1..=6).map(digest).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    assert_eq!(of(&plan, 7).rule, RetentionRule::OverShare);
}

#[test]
fn plan_explains_the_fate_of_each_image() {
    let index = Image { children: vec![digest(2)], ..image(1, 400, &[other("main")]) };
    let mut inventory = with_newer([
        index,
        image(2, 400, &[]),
        Image { subject: Some(digest(1)), ..image(3, 400, &[]) },
        image(4, 400, &[build(400)]),
        image(5, 30, &[]),
        image(6, 400, &[]),
        image(7, 400, &[backup(3)]),
        image(8, 400, &[]),
        image(9, 400, &[]),
        Image { status: StorageState::Archived(Some(days_ago(9))), ..image(10, 400, &[]) },
        Image { status: StorageState::Archived(Some(days_ago(99))), ..image(11, 400, &[]) },
        image(12, 399, &[]),
        image(13, 399, &[]),
    ]);
    inventory.images =
        Images::new(inventory.images.iter().filter(|one| one.digest < digest(900)).cloned().collect());
    workload(&mut inventory, NeededName::Digest(digest(6)));
    inventory.pins = vec![8, 9]
        .into_iter()
        .map(|n: u64| Pinned {
            environment: environment("production"),
            number: PinNumber::new(n - 7).unwrap(),
            digest: digest(usize::try_from(n).unwrap()),
        })
        .collect();
    inventory.needs.push(Need {
        image: NeededName::Digest(digest(12)),
        by: Needer::Operation("promotion 0197".to_owned()),
    });
    let plan = plan(&inventory, &RetentionPolicy { share: 20, ..policy() }, now());
    let lines: Vec<String> = plan
        .images
        .iter()
        .map(|one| {
            format!("{}: {:?} ({}): {}", &one.digest.hex()[62..], one.fate, one.rule.as_str(), one.why)
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    01: Keep (protected): its tag main is protected by main
    02: Keep (part-of-kept): part of the index sha256:0000000000000000000000000000000000000000000000000000000000000001, which is kept
    03: Keep (about-kept): describes sha256:0000000000000000000000000000000000000000000000000000000000000001, which is kept
    04: Keep (newest): one of the newest 5 builds of production
    05: Keep (young): of 2025-12-02 02:00 UTC: younger than 90 days
    06: Keep (in-use): in use by task 1 of service prod/web
    07: Keep (backup): production-rollback-20251229-020000 was live when a rollback began, less than 30 days ago
    08: Keep (pin-history): was pin 1 of production; the newest 5 of them are kept for rollbacks
    09: Keep (pin): pin 2 of production
    0a: Keep (archived): archived 2025-12-23 02:00 UTC: can be restored for 60 days
    0b: Delete { wave: 0 } (archived-long-ago): archived 2025-09-24 02:00 UTC: more than 60 days ago, and not restored
    0c: Keep (open): promotion 0197 has not ended
    0d: Delete { wave: 0 } (old): of 2024-11-28 02:00 UTC: older than 90 days, and nothing needs it
    ");
}

#[test]
fn unreadable_image_is_kept_and_blocks_no_other_deletion() {
    let odd = |n, children: &[usize]| Image {
        odd: Some("its manifest is not understood".into()),
        children: children.iter().map(|n| digest(*n)).collect(),
        ..image(n, 400, &[other("broken")])
    };
    let images = [odd(1, &[2]), image(2, 400, &[]), image(3, 400, &[]), image(4, 400, &[other("feature")])];
    let inventory = with_newer(images);
    stays(&inventory, 1, RetentionRule::NotUnderstood);
    stays(&inventory, 2, RetentionRule::PartOfKept);
    goes(&inventory, 3, 0);
    goes(&inventory, 4, 0);
    assert_eq!(of(&plan(&inventory, &policy(), now()), 1).why, "its manifest is not understood");
}

#[test]
fn unreadable_image_index_keeps_every_untagged_image() {
    let signature = Image { subject: Some(digest(2)), ..image(5, 400, &[other("signature")]) };
    let images =
        [image(1, 400, &[other("v1")]), image(2, 400, &[]), image(4, 400, &[other("old")]), signature];
    let mut inventory = with_newer(images);
    inventory.unread = vec!["the index sha256:1".to_owned()];
    stays(&inventory, 2, RetentionRule::MayBePart);
    stays(&inventory, 5, RetentionRule::AboutKept);
    goes(&inventory, 1, 0);
    goes(&inventory, 4, 0);
    let why = &of(&plan(&inventory, &policy(), now()), 2).why.clone();
    assert_eq!(why, "may be part of the index sha256:1, whose parts are not known");
}

#[test]
fn unreadable_image_keeps_its_tags() {
    let image = |odd: Option<Box<str>>| Image { odd, ..image(1, 400, &[build(400), backup(60)]) };
    let fate = |odd| {
        of(&plan(&with_newer([image(odd)]), &RetentionPolicy { keep: 10, ..policy() }, now()), 1).fate.clone()
    };
    assert!(matches!(fate(None), Fate::Untag { .. }));
    assert_eq!(fate(Some("odd".into())), Fate::Keep);
}

#[test]
fn old_image_with_a_recent_tag_counts_as_young() {
    // aws/containers-roadmap#2746: pushed 400 days ago, tagged today.
    let tagged = |text: &str, ours, days| Tag { tagged_at: Some(days_ago(days)), ..tag(text, ours) };
    let inventory = with_newer([
        image(1, 400, &[tagged("hotfix-2026-11-30", false, 0)]),
        image(2, 400, &[tagged("hotfix-2026-09-01", false, 89), other("b")]),
        image(3, 400, &[tagged("hotfix-2026-07-01", false, 91)]),
        image(4, 400, &[tagged("production-20200101-000000-a1b2c3d4", true, 1)]),
    ]);
    stays(&inventory, 1, RetentionRule::Young);
    stays(&inventory, 2, RetentionRule::Young);
    goes(&inventory, 3, 0);
    goes(&inventory, 4, 0);
    let why = &of(&plan(&inventory, &policy(), now()), 1).why.clone();
    assert!(why.starts_with("somebody put the tag hotfix-2026-11-30 on it "), "{why}");
}
