//! The plan: the fate of each image of a repository, and the retention rule that decides the fate.

mod age;
mod need;
mod newest;
mod rule;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::rule::RetentionRule;

use self::age::{age_of, backups, old, old_words, too_young};
use self::need::keep_needed;
use self::newest::keep_newest;
use self::rule::{Reason, is_used, keep};
use super::image_graph::ImageGraph;
use super::inventory::{Image, Inventory, NeededName, StorageState, Tag};
use super::order::order;
use super::policy::{Removal, RetentionPolicy, is_past};
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};

/// The plan for every image of a repository. The order of the reads does not change the plan.
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
    /// The tags, sorted. If the image's tags have changed after the plan, this run does not remove
    /// the image.
    pub tags: Vec<ImageTag>,
    /// The time from which the image's age counts: of its build tag, its push, or its restore.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub size_bytes: Option<u64>,
    /// The images to remove before this image: image indexes that contain this image, and images
    /// that this referrer refers to. If a run keeps one of those images, the run also keeps this
    /// image.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub after: Vec<ImageDigest>,
    #[serde(flatten)]
    pub fate: Fate,
    pub rule: RetentionRule,
    /// The explanation of the retention rule, for people.
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Fate {
    Keep,
    /// Keeps the image, but removes these expired backup tags. The tags are sorted.
    Untag {
        untag: Vec<ImageTag>,
    },
    /// Deletes the image. One call may delete all images of a wave, but not images of two waves.
    Delete {
        wave: u16,
    },
    Archive {
        wave: u16,
    },
}

impl Fate {
    /// Returns the wave, if the image is deleted or archived.
    pub fn wave(&self) -> Option<u16> {
        match self {
            Self::Keep | Self::Untag { .. } => None,
            Self::Delete { wave } | Self::Archive { wave } => Some(*wave),
        }
    }
}

/// Decides the fate of every image. The same inventory, policy and time give the same plan.
pub fn plan(inventory: &Inventory, policy: &RetentionPolicy, now: Timestamp) -> Plan {
    // The lists below have one entry for each image, at the image's position. Sets and maps of a
    // hundred thousand images would be slower.
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

    // A person can restore an image that is archived, or that this run archives. A restored image
    // needs its children and referrers. So the run may archive these, but does not delete them.
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
            "may be removed: {}; but one run removes at most {} % of a repository, the oldest first",
            old_words(&images[place], times[place], policy),
            policy.share
        );
        keeps[place] = Some((RetentionRule::OverShare, words));
    }

    let planned = images.iter().zip(keeps).enumerate().map(|(place, (image, kept))| {
        let (fate, (rule, why)) = match (kept, waves[place]) {
            // A later run removes the image and all its tags, so this run removes no tags.
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

fn tangled() -> Reason {
    let words = "describes an image that, by its tags, describes this one, or is part of one of them: \
                 neither can be removed first";
    (RetentionRule::Tangled, words.to_owned())
}

/// Finds the images that are kept because another image needs them, and records that image as the
/// reason.
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
            true => (RetentionRule::AboutKept, format!("describes {other}, which is kept")),
            false => (RetentionRule::PartOfKept, format!("part of the index {other}, which is kept")),
        };
        keep(&mut keeps[place], reason);
    }
}

/// Removes the expired backup tags of a kept image, but only if the image also has a build tag: ECR
/// deletes an image together with its last tag. Keeps a tag that a workload uses.
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
