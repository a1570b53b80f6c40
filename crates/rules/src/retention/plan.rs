//! The plan: the fate of each image of a repository, and the rule that decided it, in words.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::inventory::{Image, Inventory, NeededName, Needer, StorageState, Tag, WasLive};
use super::needed::{ImageGraph, subjects};
use super::order::order;
use super::policy::{Removal, RetentionPolicy, is_past};
use crate::build_tag::BackupTag;
use crate::image::{ImageDigest, ImageTag, RepositoryName};
use crate::name::EnvironmentName;
use crate::words::time;

/// The plan for every image of a repository. It does not depend on the order in which the images
/// were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub repository: RepositoryName,
    /// The time of the inventory.
    pub at: Timestamp,
    /// The images, sorted by digest.
    pub images: Vec<Planned>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    pub digest: ImageDigest,
    /// The tags, sorted. If the image has other tags when it is removed, it is left for the next
    /// run.
    pub tags: Vec<ImageTag>,
    /// The time that counts for the image's age: from its build tag, or its push.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub size_bytes: Option<u64>,
    /// The removed images that must go before this one: indexes that contain it, and images that it
    /// describes. If one of them is kept after all, this one is kept too.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub after: Vec<ImageDigest>,
    #[serde(flatten)]
    pub fate: Fate,
    pub rule: RetentionRule,
    /// The rule's explanation for people.
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Fate {
    Keep,
    /// Keeps the image, but removes these tags of ours, sorted.
    Untag {
        untag: Vec<ImageTag>,
    },
    /// Deletes the image. One call may delete a whole wave, but a later wave must wait.
    Delete {
        wave: u16,
    },
    Archive {
        wave: u16,
    },
}

impl Fate {
    /// Returns the wave of an image that is removed.
    pub fn wave(&self) -> Option<u16> {
        match self {
            Self::Keep | Self::Untag { .. } => None,
            Self::Delete { wave } | Self::Archive { wave } => Some(*wave),
        }
    }
}

/// The reason why an image is kept, the strongest first, or why it may be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetentionRule {
    /// The image is an environment's pin.
    Pin,
    /// The image was recently an environment's pin.
    PinHistory,
    /// The image was last proven to run.
    Current,
    /// A promotion or rollback of the image is open.
    Open,
    /// A workload runs the image, or may return to it.
    InUse,
    /// The image has an environment's stable tag or current tag.
    Standing,
    /// The application's file protects a tag of the image.
    Protected,
    /// A part of the image is not understood, so its use is unknown.
    NotUnderstood,
    /// The image is an index that refers to a needed image.
    IndexOfNeeded,
    /// A kept index refers to the image.
    PartOfKept,
    /// The image is an accessory of a kept image: a signature, attestation, SBOM or the like.
    AboutKept,
    /// The image has no tag, and may be part of an index whose parts are unknown.
    MayBePart,
    /// The image is one of the newest of its environment.
    Newest,
    Young,
    /// The image was live when a recent rollback began.
    Backup,
    /// The age of the image is unknown.
    NoTime,
    /// The time of the image lies in the future.
    Future,
    /// The image is being restored from the archive.
    Activating,
    /// The image is archived and can still be restored.
    Archived,
    /// Two images describe each other by their tags, so neither can go first.
    Tangled,
    /// The image may be removed, but is over this run's limit.
    OverShare,
    /// The image is old, and nothing needs it.
    Old,
    /// The image is archived, and the time to restore it is over.
    ArchivedLongAgo,
}

impl RetentionRule {
    /// Returns whether the image must never be deleted, whatever its age (rule 8).
    pub fn is_needed(self) -> bool {
        self <= Self::MayBePart
    }

    /// Returns whether the decision shows that the image is archived.
    pub fn is_archived(self) -> bool {
        matches!(self, Self::Archived | Self::ArchivedLongAgo)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pin => "pin",
            Self::PinHistory => "pin-history",
            Self::Current => "current",
            Self::Open => "open",
            Self::InUse => "in-use",
            Self::Standing => "standing",
            Self::Protected => "protected",
            Self::NotUnderstood => "not-understood",
            Self::IndexOfNeeded => "index-of-needed",
            Self::PartOfKept => "part-of-kept",
            Self::AboutKept => "about-kept",
            Self::MayBePart => "may-be-part",
            Self::Newest => "newest",
            Self::Young => "young",
            Self::Backup => "backup",
            Self::NoTime => "no-time",
            Self::Future => "future",
            Self::Activating => "activating",
            Self::Archived => "archived",
            Self::Tangled => "tangled",
            Self::OverShare => "over-share",
            Self::Old => "old",
            Self::ArchivedLongAgo => "archived-long-ago",
        }
    }
}

/// A rule with its explanation. The strongest rule is the smallest value, so one of several reasons
/// always wins.
type Reason = (RetentionRule, String);

/// Decides the fate of every image. The same inventory, policy and time give the same plan.
pub fn plan(inventory: &Inventory, policy: &RetentionPolicy, now: Timestamp) -> Plan {
    // Facts about images are kept in lists by place, because sets and maps of a hundred thousand
    // images are slow.
    let images: &[Image] = &inventory.images;
    let graph = ImageGraph::of(&inventory.images);

    let mut keeps: Vec<Option<Reason>> = vec![None; images.len()];
    keep_needed(inventory, policy, &mut keeps);
    let with_indexes = graph.with_indexes((0..images.len()).filter(|place| is_used(&keeps[*place])));
    for (kept, _) in keeps.iter_mut().zip(with_indexes).filter(|(kept, with)| *with && !is_used(kept)) {
        keep(kept, (RetentionRule::IndexOfNeeded, "refers to an image that is needed".to_owned()));
    }
    keep_newest(policy, images, &mut keeps);
    let times: Vec<Option<Timestamp>> = images.iter().map(age_of).collect();
    let was_live = backups(inventory, policy, now);
    let mut waiting = vec![false; images.len()];
    for (place, image) in images.iter().enumerate() {
        if keeps[place].is_some() {
            continue;
        }
        keeps[place] = too_young(image, times[place], was_live.get(&image.digest).copied(), policy, now);
        waiting[place] = keeps[place].as_ref().is_some_and(|(rule, _)| *rule == RetentionRule::Archived);
    }

    // An image that can be restored, now or after this run, needs the images below it. They are not
    // deleted, but may be archived.
    let archives = |place: usize| {
        policy.removal == Removal::ArchiveFirst && images[place].status == StorageState::Active
    };
    let firm = (0..images.len()).filter(|place| keeps[*place].is_some() && !waiting[*place]);
    let firm = graph.with_all_below(firm);
    for place in (0..images.len()).filter(|place| !firm[*place] && archives(*place)) {
        waiting[place] = true;
    }
    let held = graph.with_all_below((0..images.len()).filter(|place| waiting[*place]));
    let stays: Vec<bool> = (0..images.len())
        .map(|place| keeps[place].is_some() || firm[place] || (held[place] && !archives(place)))
        .collect();
    let remains = |place: usize| stays[place] || waiting[place];
    keep_because_of_others(images, &graph, &stays, remains, &mut keeps);

    let due: Vec<Option<Timestamp>> =
        times.iter().zip(&stays).map(|(at, stays)| at.filter(|_| !stays)).collect();
    let mut going = order(&due, &graph);
    let later = going.split_off(policy.at_most(images.len()).min(going.len()));
    let mut waves: Vec<Option<u16>> = vec![None; images.len()];
    for (place, wave) in going {
        waves[place] = Some(wave);
    }
    for (place, _) in later {
        let words = format!(
            "may go: {}; but one run takes {} % of a repository at most, the oldest first",
            old_words(&images[place], times[place], policy),
            policy.share
        );
        keeps[place] = Some((RetentionRule::OverShare, words));
    }

    let planned = images.iter().zip(keeps).enumerate().map(|(place, (image, kept))| {
        let (fate, (rule, why)) = match (kept, waves[place]) {
            // A later run removes this image with its tags.
            (Some(reason @ (RetentionRule::OverShare, _)), _) => (Fate::Keep, reason),
            (Some(reason), _) => (untag_expired_backups(image, inventory, policy, now), reason),
            (None, Some(wave)) if archives(place) => {
                (Fate::Archive { wave }, old(image, times[place], policy))
            }
            (None, Some(wave)) => (Fate::Delete { wave }, old(image, times[place], policy)),
            (None, None) => (Fate::Keep, tangled()),
        };
        let after = match fate.wave() {
            None => Vec::new(),
            Some(_) => {
                let above = graph.above(place).filter(|above| waves[*above].is_some());
                above.map(|above| images[above].digest.clone()).collect()
            }
        };
        Planned {
            after,
            digest: image.digest.clone(),
            tags: image.tags.iter().map(|tag| tag.tag.clone()).collect(),
            time: times[place],
            size_bytes: image.size_bytes,
            fate,
            rule,
            why,
        }
    });
    Plan { repository: inventory.repository.clone(), at: now, images: planned.collect() }
}

fn keep(kept: &mut Option<Reason>, reason: Reason) {
    if kept.as_ref().is_none_or(|known| reason < *known) {
        *kept = Some(reason);
    }
}

/// Keeps the images that are needed by themselves, whatever their age.
fn keep_needed(inventory: &Inventory, policy: &RetentionPolicy, keeps: &mut [Option<Reason>]) {
    // A needed image may be missing in the list, if it was pushed while the pages were read. The
    // images that belong to it are kept.
    let mut unlisted: BTreeSet<&ImageDigest> = BTreeSet::new();
    for (digest, reason) in pins(inventory, policy) {
        match inventory.images.place(digest) {
            Some(place) => keep(&mut keeps[place], reason),
            None => drop(unlisted.insert(digest)),
        }
    }
    let mut tags: BTreeMap<&ImageTag, Reason> = BTreeMap::new();
    for need in &inventory.needs {
        let reason = match &need.by {
            Needer::Current(environment) => {
                (RetentionRule::Current, format!("was last proven to run in {environment}"))
            }
            Needer::Operation(operation) => (RetentionRule::Open, format!("{operation} is not over")),
            Needer::Workload(workload) => (RetentionRule::InUse, format!("in use by {workload}")),
        };
        match &need.image {
            NeededName::Digest(digest) => match inventory.images.place(digest) {
                Some(place) => keep(&mut keeps[place], reason),
                None => drop(unlisted.insert(digest)),
            },
            NeededName::Tag(tag) => {
                let known = tags.entry(tag).or_insert_with(|| reason.clone());
                if reason < *known {
                    *known = reason;
                }
            }
        }
    }
    for (image, kept) in inventory.images.iter().zip(keeps) {
        if let Some(why) = &image.odd {
            keep(kept, (RetentionRule::NotUnderstood, why.to_string()));
        }
        if let (Some(unread), true) = (inventory.unread.first(), image.tags.is_empty()) {
            keep(
                kept,
                (RetentionRule::MayBePart, format!("may be part of {unread}, whose parts are not known")),
            );
        }
        if let Some(child) = image.children.iter().find(|child| unlisted.contains(child)) {
            keep(kept, (RetentionRule::IndexOfNeeded, format!("refers to {child}, which is needed")));
        }
        if let Some(subject) = subjects(image).iter().find(|subject| unlisted.contains(subject)) {
            keep(
                kept,
                (RetentionRule::AboutKept, format!("says something about {subject}, which is needed")),
            );
        }
        for tag in &image.tags {
            if let Some((rule, by)) = tags.get(&tag.tag) {
                keep(kept, (*rule, format!("{by}, by its tag {}", tag.tag)));
            }
            if policy.standing.contains(&tag.tag) {
                keep(kept, (RetentionRule::Standing, format!("has the tag {}", tag.tag)));
            }
            if let Some(pattern) = protected(tag, policy) {
                keep(
                    kept,
                    (RetentionRule::Protected, format!("its tag {} is protected by {pattern}", tag.tag)),
                );
            }
        }
    }
}

/// Returns the pattern that protects a tag. Our build tags and backup tags have their own rules, so
/// no pattern protects them.
fn protected<'a>(tag: &Tag, policy: &'a RetentionPolicy) -> Option<&'a str> {
    if tag.ours && (tag.build().is_some() || tag.backup().is_some()) {
        return None;
    }
    policy.protect.iter().find(|pattern| pattern.matches(tag.tag.as_str())).map(|pattern| pattern.as_str())
}

/// Returns the pins that are kept: for each environment the newest pin, and the configured number
/// of earlier digests.
fn pins<'a>(inventory: &'a Inventory, policy: &RetentionPolicy) -> Vec<(&'a ImageDigest, Reason)> {
    let mut of: BTreeMap<&EnvironmentName, Vec<_>> = BTreeMap::new();
    for pin in &inventory.pins {
        of.entry(&pin.environment).or_default().push(pin);
    }
    let mut found = Vec::new();
    for (environment, mut pins) in of {
        pins.sort_by(|one, other| other.cmp(one)); // newest number first
        let mut digests = BTreeSet::new();
        for pin in &pins {
            if digests.len() == policy.newest() && !digests.contains(&pin.digest) {
                break;
            }
            let reason = match digests.is_empty() {
                true => (RetentionRule::Pin, format!("pin {} of {environment}", pin.number.get())),
                false => (
                    RetentionRule::PinHistory,
                    format!(
                        "was pin {} of {environment}; the newest {} of them stay to go back to",
                        pin.number.get(),
                        policy.newest()
                    ),
                ),
            };
            digests.insert(&pin.digest);
            found.push((&pin.digest, reason));
        }
    }
    found
}

/// Returns whether the image runs or may have to run. The indexes of such images are needed too.
fn is_used(kept: &Option<Reason>) -> bool {
    kept.as_ref().is_some_and(|(rule, _)| *rule <= RetentionRule::InUse)
}

/// Keeps the newest images of each environment, by their build tags, and the newest images with
/// other tags.
fn keep_newest(policy: &RetentionPolicy, images: &[Image], keeps: &mut [Option<Reason>]) {
    let mut of: BTreeMap<Option<EnvironmentName>, BTreeSet<(Timestamp, usize)>> = BTreeMap::new();
    for (place, image) in images.iter().enumerate() {
        if matches!(image.status, StorageState::Archived(_)) {
            continue; // an archived image cannot be deployed at once
        }
        let mut built = false;
        for build in image.tags.iter().filter_map(Tag::build) {
            built = true;
            of.entry(Some(build.environment().clone())).or_default().insert((build.at(), place));
        }
        let tagged = image.tags.iter().any(|tag| tag.backup().is_none() && !tag.tag.is_a_referrers());
        if let (false, true, None, Some(at)) = (built, tagged, &image.subject, image.pushed_at) {
            of.entry(None).or_default().insert((at, place));
        }
    }
    for (environment, builds) in of {
        let mut seen = BTreeSet::new();
        for (_, place) in builds.into_iter().rev() {
            if !seen.insert(place) {
                continue;
            }
            if seen.len() > policy.newest() {
                break;
            }
            let whose = match &environment {
                Some(environment) => format!("builds of {environment}"),
                None => "images that other tags name".to_owned(),
            };
            keep(
                &mut keeps[place],
                (RetentionRule::Newest, format!("one of the newest {} {whose}", policy.newest())),
            );
        }
    }
}

/// Returns the time that counts for the age: from the newest build tag, else from the push. A later
/// restoration from the archive replaces it. Push times before the start of ECR are invalid.
fn age_of(image: &Image) -> Option<Timestamp> {
    let built = image.tags.iter().filter_map(Tag::build).map(|build| build.at()).max();
    built
        .or(image.pushed_at.filter(|at| at.as_second() >= ECR_BEGAN))
        .map(|at| image.activated_at.map_or(at, |restored| at.max(restored)))
}

/// The start of ECR, 2015-12-21, in seconds since 1970.
/// <https://aws.amazon.com/about-aws/whats-new/2015/12/introducing-amazon-ec2-container-registry/>
const ECR_BEGAN: i64 = 1_450_656_000;

/// Returns the digests that were live when a recent rollback began, each with its environment.
fn backups<'a>(
    inventory: &'a Inventory,
    policy: &RetentionPolicy,
    now: Timestamp,
) -> BTreeMap<&'a ImageDigest, &'a EnvironmentName> {
    let mut lately: Vec<&WasLive> =
        inventory.was_live.iter().filter(|was_live| !is_past(was_live.at, policy.backup_days, now)).collect();
    lately.sort_unstable();
    lately.into_iter().map(|was_live| (&was_live.digest, &was_live.environment)).collect()
}

/// Returns why an image is kept for its age alone.
fn too_young(
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
            format!("its time, {}, is yet to come: a clock is wrong", time(at)),
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
            Some((RetentionRule::Activating, "is on its way back from the archive".to_owned()))
        }
        StorageState::Archived(Some(since)) if is_past(since, policy.archive_days, now) => None,
        StorageState::Archived(Some(since)) => {
            let words = format!("archived {}: can be had back for {} days", time(since), policy.archive_days);
            Some((RetentionRule::Archived, words))
        }
        StorageState::Archived(None) => {
            Some((RetentionRule::NoTime, "archived, and the registry does not say since when".to_owned()))
        }
    }
}

fn tangled() -> Reason {
    let words = "is about an image that is, by its tags, about this one, or belongs to one of them: none can go first";
    (RetentionRule::Tangled, words.to_owned())
}

fn no_time() -> Reason {
    (RetentionRule::NoTime, "neither a build tag nor the registry says how old it is".to_owned())
}

/// Records, for each image that is kept because of another, one of those others as the reason.
fn keep_because_of_others(
    images: &[Image],
    graph: &ImageGraph,
    stays: &[bool],
    remains: impl Fn(usize) -> bool,
    keeps: &mut [Option<Reason>],
) {
    for place in (0..images.len()).filter(|place| stays[*place]) {
        let Some(above) = graph.above(place).filter(|above| remains(*above)).min() else { continue };
        let other = &images[above].digest;
        let reason = match graph.subjects(place).contains(&above) {
            true => (RetentionRule::AboutKept, format!("says something about {other}, which stays")),
            false => (RetentionRule::PartOfKept, format!("part of the index {other}, which stays")),
        };
        keep(&mut keeps[place], reason);
    }
}

fn old(image: &Image, at: Option<Timestamp>, policy: &RetentionPolicy) -> Reason {
    let rule = match image.status {
        StorageState::Active | StorageState::Activating => RetentionRule::Old,
        StorageState::Archived(_) => RetentionRule::ArchivedLongAgo,
    };
    (rule, old_words(image, at, policy))
}

fn old_words(image: &Image, at: Option<Timestamp>, policy: &RetentionPolicy) -> String {
    let of = at.map(time).unwrap_or_default();
    match image.status {
        StorageState::Active | StorageState::Activating => {
            format!("of {of}: older than {} days, and nothing needs it", policy.days)
        }
        StorageState::Archived(since) => format!(
            "archived {}: more than {} days ago, and nobody had it back",
            since.map(time).unwrap_or_default(),
            policy.archive_days
        ),
    }
}

/// Removes expired backup tags from an image that is kept, if a build tag of ours stays on it. The
/// last tag is never removed, because ECR would delete the image. A tag by which a workload uses
/// the image stays too.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html>
fn untag_expired_backups(
    image: &Image,
    inventory: &Inventory,
    policy: &RetentionPolicy,
    now: Timestamp,
) -> Fate {
    let named = image.tags.iter().any(|tag| tag.build().is_some());
    if !named || image.status != StorageState::Active || image.odd.is_some() {
        return Fate::Keep;
    }
    let used = |tag: &Tag| {
        inventory.needs.iter().any(|need| matches!(&need.image, NeededName::Tag(named) if *named == tag.tag))
    };
    let is_over =
        |tag: &Tag| tag.backup().is_some_and(|backup| is_past(backup.at(), policy.backup_days, now));
    let over = |tag: &&Tag| is_over(tag) && !used(tag);
    let untag: Vec<ImageTag> = image.tags.iter().filter(over).map(|tag| tag.tag.clone()).collect();
    if untag.is_empty() { Fate::Keep } else { Fate::Untag { untag } }
}
