//! Images of any age that are needed on their own, not as a part of another image.

use std::collections::{BTreeMap, BTreeSet};

use super::rule::{Reason, RetentionRule, keep};
use crate::image_graph::subjects;
use crate::inventory::{Inventory, NeededName, Needer, Tag};
use crate::policy::RetentionPolicy;
use stablepin_rules::image::{ImageDigest, ImageTag};
use stablepin_rules::name::EnvironmentName;

/// Keeps images of any age that are needed on their own, not as a part of another image.
pub(super) fn keep_needed(inventory: &Inventory, policy: &RetentionPolicy, keeps: &mut [Option<Reason>]) {
    // The list of images may lack a needed image that was pushed during the reads. The image
    // indexes and referrers of such an image are kept.
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
            Needer::Operation(operation) => (RetentionRule::Open, format!("{operation} has not ended")),
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
            keep(kept, (RetentionRule::AboutKept, format!("describes {subject}, which is needed")));
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

/// Returns the pattern that protects a tag. No pattern protects Stablepin's build tags and backup
/// tags, because other retention rules decide about such tags.
fn protected<'a>(tag: &Tag, policy: &'a RetentionPolicy) -> Option<&'a str> {
    if tag.ours && (tag.build().is_some() || tag.backup().is_some()) {
        return None;
    }
    policy.protect.iter().find(|pattern| pattern.matches(tag.tag.as_str())).map(|pattern| pattern.as_str())
}

/// Returns the digests of the kept pins, each with its reason. For each environment, the newest
/// digests are kept, up to the configured number. Several pins of one digest count once.
fn pins<'a>(inventory: &'a Inventory, policy: &RetentionPolicy) -> Vec<(&'a ImageDigest, Reason)> {
    let mut of: BTreeMap<&EnvironmentName, Vec<_>> = BTreeMap::new();
    for pin in &inventory.pins {
        of.entry(&pin.environment).or_default().push(pin);
    }
    let mut found = Vec::new();
    for (environment, mut pins) in of {
        pins.sort_by(|one, other| other.cmp(one)); // The newest pin comes first.
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
                        "was pin {} of {environment}; the newest {} of them are kept for rollbacks",
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
