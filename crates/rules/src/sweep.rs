//! Pushes that no event told of: what the registry has, against what was answered.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::build_patterns::BuildPatterns;
use crate::event_time::is_ahead;
use crate::image::{ImageDigest, ImageTag};

/// A tag as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTag {
    pub tag: ImageTag,
    pub digest: ImageDigest,
    /// Of the image: its first push. A tag that is put on it later does not renew it.
    pub pushed_at: Option<Timestamp>,
}

/// A tag as the table has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownTag {
    /// Digests that we put it on ourselves, or were about to.
    pub intents: BTreeSet<ImageDigest>,
    /// The digest of the newest push of it that was answered, and when that was.
    pub followed: Option<(ImageDigest, Timestamp)>,
    /// A push of it that was told of, and could not be answered: retention was deleting that image.
    pub unanswered: Option<(ImageDigest, Timestamp)>,
}

impl KnownTag {
    /// When a push of the tag on this digest was last told of.
    pub fn pushed_at(&self, digest: &ImageDigest) -> Option<Timestamp> {
        let told = [&self.followed, &self.unanswered].into_iter().flatten();
        told.filter(|(on, _)| on == digest).map(|(_, at)| *at).max()
    }
}

/// A push that was missed, and when it was, at the earliest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    pub tag: ImageTag,
    pub digest: ImageDigest,
    pub at: Timestamp,
    /// `at` is when it was, as its event said.
    pub told: bool,
}

/// So many digests are known that a tag of ours was put on: 71 KB of the 400 KB that an item may hold.
pub const MOST_INTENTS: usize = 1000;

/// So many of the newest pins stay known as ours whenever the others are forgotten: more than can be pinned while an event is on
/// its way, for which EventBridge tries a day.
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html>
pub const NEWEST_PINS: usize = 500;

/// Digests that a moving tag of ours was on so long ago that nothing can still be told of it; none while there is room.
/// `newest` are those of the newest pins, and what is shown now. A late event of what was forgotten is still no push: a tag that
/// we keep is none that `builds` names.
pub fn forgotten(intents: &BTreeSet<ImageDigest>, newest: &BTreeSet<ImageDigest>) -> Vec<ImageDigest> {
    if intents.len() <= MOST_INTENTS {
        return Vec::new();
    }
    intents.difference(newest).cloned().collect()
}

/// An event may still be on its way: what is younger is left to it.
const EVENTS_COME_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// Followed tags that are on another digest than the newest push that was answered. What was there before the
/// configuration that is in force (`configured_at`) was never asked for, unless it was followed before.
pub fn missed(
    now: Timestamp,
    builds: &BuildPatterns,
    configured_at: Timestamp,
    found: &[FoundTag],
    known: &BTreeMap<ImageTag, KnownTag>,
) -> Vec<Missed> {
    // Nor is what no clock can have told.
    let settled = |time: Timestamp| now.duration_since(time) > EVENTS_COME_WITHIN || is_ahead(now, time);
    let of = |one: &FoundTag| {
        let known = known.get(&one.tag);
        let ours = known.is_some_and(|known| known.intents.contains(&one.digest));
        if ours || !builds.matches(&one.tag) {
            return None;
        }
        let found = |at, told| Missed { tag: one.tag.clone(), digest: one.digest.clone(), at, told };
        // However old the image is, and whatever was answered before.
        match known.and_then(|known| known.unanswered.as_ref()) {
            Some((digest, at)) if *digest == one.digest => return Some(found(*at, true)),
            Some(_) | None => {}
        }
        let pushed_at = one.pushed_at.filter(|at| settled(*at))?;
        let at = match known.and_then(|known| known.followed.as_ref()) {
            Some((digest, _)) if *digest == one.digest => None,
            // Back on an older image: nobody knows since when, but it was after the last push that was answered.
            Some((_, seen)) => settled(*seen).then_some(pushed_at.max(*seen)),
            None => (pushed_at > configured_at).then_some(pushed_at),
        };
        at.map(|at| found(at, false))
    };
    found.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Pattern;

    fn including(patterns: &[&str]) -> BuildPatterns {
        let include = patterns.iter().map(|pattern| Pattern::parse(pattern).unwrap()).collect();
        BuildPatterns { include, exclude: Vec::new() }
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_752_762_652 + minutes * 60).unwrap()
    }

    fn digest(n: u8) -> ImageDigest {
        ImageDigest::parse(&format!("sha256:{}", format!("{n:02x}").repeat(32))).unwrap()
    }

    fn tag(text: &str) -> ImageTag {
        ImageTag::parse(text).unwrap()
    }

    /// An hour after the configuration; each tag on a digest, pushed so many minutes after it.
    fn found(tags: &[(&str, u8, i64)], known: &[(&str, KnownTag)]) -> Vec<(String, u8, i64)> {
        let found: Vec<FoundTag> = tags
            .iter()
            .map(|(name, n, minutes)| FoundTag {
                tag: tag(name),
                digest: digest(*n),
                pushed_at: Some(at(*minutes)),
            })
            .collect();
        let known = known.iter().map(|(name, known)| (tag(name), known.clone())).collect();
        let builds = including(&["main", "v*"]);
        let missed = missed(at(60), &builds, at(0), &found, &known);
        let minutes = |at_: Timestamp| at_.duration_since(at(0)).as_mins();
        missed
            .into_iter()
            .map(|one| {
                (
                    one.tag.to_string(),
                    u8::from_str_radix(&one.digest.as_str()[7..9], 16).unwrap(),
                    minutes(one.at),
                )
            })
            .collect()
    }

    fn followed(n: u8, minutes: i64) -> KnownTag {
        KnownTag { followed: Some((digest(n), at(minutes))), ..KnownTag::default() }
    }

    #[test]
    fn a_push_that_nobody_answered_is_found() {
        assert_eq!(found(&[("main", 1, 20)], &[]), [("main".to_owned(), 1, 20)]);
        assert_eq!(found(&[("main", 2, 20)], &[("main", followed(1, 10))]), [("main".to_owned(), 2, 20)]);
    }

    #[test]
    fn a_tag_that_moved_back_is_found_with_the_time_of_the_last_answer() {
        assert_eq!(found(&[("main", 1, 5)], &[("main", followed(2, 10))]), [("main".to_owned(), 1, 10)]);
    }

    #[test]
    fn what_was_answered_is_not() {
        assert!(
            found(&[("main", 1, 20), ("v1", 1, 20)], &[("main", followed(1, 20)), ("v1", followed(1, 21))])
                .is_empty()
        );
    }

    #[test]
    fn what_may_still_be_told_of_is_left_to_its_event() {
        assert!(found(&[("main", 1, 56)], &[]).is_empty());
        assert!(found(&[("main", 1, 20)], &[("main", followed(2, 57))]).is_empty());
    }

    #[test]
    fn what_was_there_before_anybody_asked_is_left_alone() {
        assert!(found(&[("v1", 1, -600)], &[]).is_empty());
    }

    #[test]
    fn a_push_that_could_not_be_answered_is_found_however_old_its_image_is() {
        let unanswered = |n| KnownTag { unanswered: Some((digest(n), at(59))), ..followed(1, 20) };
        let main = [("main".to_owned(), 1, 59)];
        assert_eq!(
            found(&[("main", 1, -600)], &[("main", unanswered(1))]),
            main,
            "also of what was answered once"
        );
        assert!(
            found(&[("main", 1, -600)], &[("main", unanswered(2))]).is_empty(),
            "it is on another image by now"
        );
        assert!(found(&[("latest", 1, -600)], &[("latest", unanswered(1))]).is_empty(), "no build any more");
    }

    #[test]
    fn neither_other_tags_nor_our_own_are_builds() {
        assert!(found(&[("latest", 1, 20)], &[]).is_empty());
        let ours = KnownTag { intents: BTreeSet::from([digest(1)]), ..KnownTag::default() };
        assert!(found(&[("v1", 1, 20)], &[("v1", ours.clone())]).is_empty());
        assert_eq!(
            found(&[("v1", 2, 20)], &[("v1", ours)]).len(),
            1,
            "a name of ours on another digest is a push"
        );
    }

    #[test]
    fn push_behind_a_time_of_the_future_is_found() {
        let years = 60 * 24 * 365 * 50;
        assert_eq!(
            found(&[("main", 1, years)], &[]),
            [("main".to_owned(), 1, years)],
            "the registry's time is wrong"
        );
        let ahead = found(&[("main", 2, 20)], &[("main", followed(1, years))]);
        assert_eq!(ahead.len(), 1, "what was answered before says that it is of the future");
        assert!(found(&[("main", 1, years)], &[("main", followed(1, years))]).is_empty());
    }

    #[test]
    fn old_intents_are_forgotten_beyond_the_bound() {
        let of = |n: usize| ImageDigest::parse(&format!("sha256:{n:064x}")).unwrap();
        let intents = |count: usize| (0..count).map(of).collect::<BTreeSet<_>>();
        let newest: BTreeSet<_> = (900..1400).map(of).collect();
        assert!(forgotten(&intents(MOST_INTENTS), &newest).is_empty());
        let gone = forgotten(&intents(MOST_INTENTS + 1), &newest);
        assert_eq!((gone.len(), gone.iter().any(|digest| newest.contains(digest))), (900, false));
        assert_eq!(forgotten(&intents(5700), &newest).len(), 5200);
    }

    #[test]
    fn an_image_without_a_time_is_left_alone() {
        let found = [FoundTag { tag: tag("main"), digest: digest(1), pushed_at: None }];
        let builds = including(&["*"]);
        assert!(missed(at(60), &builds, at(0), &found, &BTreeMap::new()).is_empty());
    }
}
