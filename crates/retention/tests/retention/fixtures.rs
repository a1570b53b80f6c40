//! Values that all plan tests share: a fixed time, names, a policy, an inventory.

use jiff::{SignedDuration, Timestamp};

use stablepin_retention_rules::inventory::{Image, Images, Inventory, Tag};
use stablepin_retention_rules::policy::{ALWAYS, Removal, RetentionPolicy};
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::EnvironmentName;
use stablepin_rules::pattern::Pattern;

pub(crate) fn now() -> Timestamp {
    "2026-01-01T02:00:00Z".parse().unwrap()
}

pub(crate) fn days_ago(days: i64) -> Timestamp {
    now().checked_sub(SignedDuration::from_hours(24 * days)).unwrap()
}

pub(crate) fn digest(n: usize) -> ImageDigest {
    ImageDigest::parse(&format!("sha256:{n:064x}")).unwrap()
}

pub(crate) fn environment(name: &str) -> EnvironmentName {
    EnvironmentName::parse(name).unwrap()
}

pub(crate) fn tag(text: &str, ours: bool) -> Tag {
    Tag { tag: ImageTag::parse(text).unwrap(), ours, tagged_at: None }
}

pub(crate) fn policy() -> RetentionPolicy {
    RetentionPolicy {
        removal: Removal::Delete,
        days: 90,
        backup_days: 30,
        archive_days: 60,
        keep: ALWAYS,
        protect: ["latest", "main", "staging-*", "v*.*.*"].map(|text| Pattern::parse(text).unwrap()).to_vec(),
        standing: ["prod-stable", "production-current"].map(|text| ImageTag::parse(text).unwrap()).into(),
        share: 100,
    }
}

pub(crate) fn inventory(images: Vec<Image>) -> Inventory {
    Inventory {
        repository: RepositoryName::parse("web").unwrap(),
        images: Images::new(images),
        pins: Vec::new(),
        needs: Vec::new(),
        was_live: Vec::new(),
        unread: Vec::new(),
    }
}
