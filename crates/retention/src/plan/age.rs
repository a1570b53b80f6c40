//! The age of an image, and the reasons to keep or remove an image by age.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::rule::{Reason, RetentionRule};
use crate::inventory::{Image, Inventory, StorageState, Tag, WasLive};
use crate::policy::{RetentionPolicy, is_past};
use stablepin_rules::build_tag::BackupTag;
use stablepin_rules::image::ImageDigest;
use stablepin_rules::name::EnvironmentName;
use stablepin_rules::words::time;

/// Returns the time from which the age counts: the time in the newest build tag, or else the push
/// time. If the image was restored from the archive after that time, the age counts from the
/// restore. Push times before the launch of ECR are invalid.
pub(super) fn age_of(image: &Image) -> Option<Timestamp> {
    let built = image.tags.iter().filter_map(Tag::build).map(|build| build.at()).max();
    built
        .or(image.pushed_at.filter(|at| at.as_second() >= ECR_BEGAN))
        .map(|at| image.activated_at.map_or(at, |restored| at.max(restored)))
}

/// The launch of ECR, 2015-12-21, in seconds since 1970.
/// <https://aws.amazon.com/about-aws/whats-new/2015/12/introducing-amazon-ec2-container-registry/>
const ECR_BEGAN: i64 = 1_450_656_000;

/// Returns each digest that was live when a recent rollback began, with the rollback's environment.
pub(super) fn backups<'a>(
    inventory: &'a Inventory,
    policy: &RetentionPolicy,
    now: Timestamp,
) -> BTreeMap<&'a ImageDigest, &'a EnvironmentName> {
    let mut lately: Vec<&WasLive> =
        inventory.was_live.iter().filter(|was_live| !is_past(was_live.at, policy.backup_days, now)).collect();
    lately.sort_unstable();
    lately.into_iter().map(|was_live| (&was_live.digest, &was_live.environment)).collect()
}

/// Returns the reason to keep an image that nothing needs: its age, a recent tag, a recent
/// rollback, or its archive state.
pub(super) fn too_young(
    image: &Image,
    at: Option<Timestamp>,
    was_live: Option<&EnvironmentName>,
    policy: &RetentionPolicy,
    now: Timestamp,
) -> Option<Reason> {
    let Some(at) = at else { return Some(no_time()) };
    if at > now {
        return Some((
            RetentionRule::Future,
            format!("its time, {}, is in the future: a clock is wrong", time(at)),
        ));
    }
    if !is_past(at, policy.days, now) {
        return Some((RetentionRule::Young, format!("of {}: younger than {} days", time(at), policy.days)));
    }
    let tagged = image.tags.iter().filter(|tag| !tag.ours);
    let tagged = tagged.filter_map(|tag| Some((tag.tagged_at?, &tag.tag))).max();
    if let Some((at, tag)) = tagged.filter(|(at, _)| !is_past(*at, policy.days, now)) {
        let words =
            format!("somebody put the tag {tag} on it {}: less than {} days ago", time(at), policy.days);
        return Some((RetentionRule::Young, words));
    }
    let lately = |backup: &BackupTag| !is_past(backup.at(), policy.backup_days, now);
    let backup = image.tags.iter().filter_map(Tag::backup).find(lately);
    let who = backup.map(|backup| backup.to_string());
    if let Some(who) = who.or(was_live.map(|environment| format!("in {environment}, this"))) {
        let words =
            format!("{who} was live when a rollback began, less than {} days ago", policy.backup_days);
        return Some((RetentionRule::Backup, words));
    }
    match image.status {
        StorageState::Active => None,
        StorageState::Activating => {
            Some((RetentionRule::Activating, "is being restored from the archive".to_owned()))
        }
        StorageState::Archived(Some(since)) if is_past(since, policy.archive_days, now) => None,
        StorageState::Archived(Some(since)) => {
            let words = format!("archived {}: can be restored for {} days", time(since), policy.archive_days);
            Some((RetentionRule::Archived, words))
        }
        StorageState::Archived(None) => {
            Some((RetentionRule::NoTime, "archived, and the registry does not say since when".to_owned()))
        }
    }
}

fn no_time() -> Reason {
    (RetentionRule::NoTime, "neither a build tag nor the registry says how old it is".to_owned())
}

pub(super) fn old(image: &Image, at: Option<Timestamp>, policy: &RetentionPolicy) -> Reason {
    let rule = match image.status {
        StorageState::Active | StorageState::Activating => RetentionRule::Old,
        StorageState::Archived(_) => RetentionRule::ArchivedLongAgo,
    };
    (rule, old_words(image, at, policy))
}

pub(super) fn old_words(image: &Image, at: Option<Timestamp>, policy: &RetentionPolicy) -> String {
    let of = at.map(time).unwrap_or_default();
    match image.status {
        StorageState::Active | StorageState::Activating => {
            format!("of {of}: older than {} days, and nothing needs it", policy.days)
        }
        StorageState::Archived(since) => format!(
            "archived {}: more than {} days ago, and not restored",
            since.map(time).unwrap_or_default(),
            policy.archive_days
        ),
    }
}
