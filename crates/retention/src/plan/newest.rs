//! The newest images of each environment. Retention keeps these images at any age.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::rule::{Reason, RetentionRule, keep};
use crate::inventory::{Image, StorageState, Tag};
use crate::policy::RetentionPolicy;
use stablepin_rules::name::EnvironmentName;

/// Keeps the newest images of each environment, and the newest tagged images without a build tag. A
/// build tag names the environment and the time of its image.
pub(super) fn keep_newest(policy: &RetentionPolicy, images: &[Image], keeps: &mut [Option<Reason>]) {
    let mut of: BTreeMap<Option<EnvironmentName>, BTreeSet<(Timestamp, usize)>> = BTreeMap::new();
    for (place, image) in images.iter().enumerate() {
        if matches!(image.status, StorageState::Archived(_)) {
            continue; // ECS cannot deploy an archived image until it is restored.
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
