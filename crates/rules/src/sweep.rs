//! The sweep: a comparison of the tags in the registry with the pushes that Stablepin has handled.
//! The difference shows the pushes whose events were lost.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::build_patterns::BuildPatterns;
use crate::event_time::is_ahead;
use crate::image::{ImageDigest, ImageTag};

/// A tag in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTag {
    pub tag: ImageTag,
    pub digest: ImageDigest,
    /// The time of the first push of the image. Another tag that is put on the same image does not
    /// change this time.
    pub pushed_at: Option<Timestamp>,
}

/// A tag in the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownTag {
    /// The digests on which Stablepin has put the tag, or has intended to put it.
    pub intents: BTreeSet<ImageDigest>,
    /// The digest and time of the newest push of the tag that Stablepin has handled.
    pub followed: Option<(ImageDigest, Timestamp)>,
    /// A push that Stablepin could not handle, because retention was deleting the image.
    pub unanswered: Option<(ImageDigest, Timestamp)>,
}

impl KnownTag {
    /// Returns the time of the last known push of the tag with this digest.
    pub fn pushed_at(&self, digest: &ImageDigest) -> Option<Timestamp> {
        let pushes = [&self.followed, &self.unanswered].into_iter().flatten();
        pushes.filter(|(on, _)| on == digest).map(|(_, at)| *at).max()
    }
}

/// A push that the sweep found and that Stablepin must still handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    pub tag: ImageTag,
    pub digest: ImageDigest,
    pub at: Timestamp,
    /// True if `at` is the exact time of the push, from its event. False: `at` is the earliest
    /// possible time.
    pub told: bool,
}

/// The most digests that are stored for one of Stablepin's tags. They use 71 KB of the 400 KB of an
/// item.
pub const MOST_INTENTS: usize = 1000;

/// The number of newest pins whose digests the table always keeps. EventBridge retries for a day,
/// so an event may arrive a day late. An environment cannot get more pins than this in a day.
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-retry-policy.html>
pub const NEWEST_PINS: usize = 500;

/// Returns the digests that Stablepin may delete from the record of its moving tag, because no
/// event for these digests is expected any more. Empty while the record is within its limit.
/// `newest` contains the digests of the newest pins, and the digest that now has the tag.
///
/// If an event for a deleted digest arrives all the same, the event opens no promotion, because
/// `builds` never matches Stablepin's own tags.
pub fn forgotten(intents: &BTreeSet<ImageDigest>, newest: &BTreeSet<ImageDigest>) -> Vec<ImageDigest> {
    if intents.len() <= MOST_INTENTS {
        return Vec::new();
    }
    intents.difference(newest).cloned().collect()
}

/// The time in which the event of a push may still arrive. The sweep skips pushes that are younger.
const EVENTS_COME_WITHIN: SignedDuration = SignedDuration::from_mins(5);

/// Returns the missed pushes: tags that match `builds` and are not on the digest of their newest
/// handled push, or whose push Stablepin could not handle. Omits Stablepin's own tags, and pushes
/// whose event may still arrive. If Stablepin has handled no push of a tag, a push from before
/// `configured_at` does not count.
pub fn missed(
    now: Timestamp,
    builds: &BuildPatterns,
    configured_at: Timestamp,
    found: &[FoundTag],
    known: &BTreeMap<ImageTag, KnownTag>,
) -> Vec<Missed> {
    // True if no event for a push at this time can still arrive. A time far in the future is wrong,
    // so the sweep does not wait for it to pass.
    let settled = |time: Timestamp| now.duration_since(time) > EVENTS_COME_WITHIN || is_ahead(now, time);
    let of = |found_tag: &FoundTag| {
        let known = known.get(&found_tag.tag);
        let ours = known.is_some_and(|known| known.intents.contains(&found_tag.digest));
        if ours || !builds.matches(&found_tag.tag) {
            return None;
        }
        let found =
            |at, told| Missed { tag: found_tag.tag.clone(), digest: found_tag.digest.clone(), at, told };
        // A push that Stablepin could not handle counts at any age, even if Stablepin has handled
        // other pushes of the tag since.
        match known.and_then(|known| known.unanswered.as_ref()) {
            Some((digest, at)) if *digest == found_tag.digest => return Some(found(*at, true)),
            Some(_) | None => {}
        }
        let pushed_at = found_tag.pushed_at.filter(|at| settled(*at))?;
        let at = match known.and_then(|known| known.followed.as_ref()) {
            Some((digest, _)) if *digest == found_tag.digest => None,
            // A pusher put the tag on an older image again. The time of that push is unknown, but
            // it is after the newest handled push.
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

    /// Runs the sweep an hour after the application was configured. Each tuple of `tags` has a tag,
    /// a digest, and the minutes from the configuration to the push.
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
    fn sweep_finds_push_whose_event_was_lost() {
        assert_eq!(found(&[("main", 1, 20)], &[]), [("main".to_owned(), 1, 20)]);
        assert_eq!(found(&[("main", 2, 20)], &[("main", followed(1, 10))]), [("main".to_owned(), 2, 20)]);
    }

    #[test]
    fn missed_push_of_a_known_image_gets_time_of_last_handled_push() {
        assert_eq!(found(&[("main", 1, 5)], &[("main", followed(2, 10))]), [("main".to_owned(), 1, 10)]);
    }

    #[test]
    fn sweep_skips_handled_pushes() {
        assert!(
            found(&[("main", 1, 20), ("v1", 1, 20)], &[("main", followed(1, 20)), ("v1", followed(1, 21))])
                .is_empty()
        );
    }

    #[test]
    fn sweep_skips_recent_push() {
        assert!(found(&[("main", 1, 56)], &[]).is_empty());
        assert!(found(&[("main", 1, 20)], &[("main", followed(2, 57))]).is_empty());
    }

    #[test]
    fn sweep_skips_pushes_from_before_the_configuration() {
        assert!(found(&[("v1", 1, -600)], &[]).is_empty());
    }

    #[test]
    fn sweep_finds_unhandled_push_of_old_image() {
        let unanswered = |n| KnownTag { unanswered: Some((digest(n), at(59))), ..followed(1, 20) };
        let main = [("main".to_owned(), 1, 59)];
        assert_eq!(
            found(&[("main", 1, -600)], &[("main", unanswered(1))]),
            main,
            "even if an earlier push was handled"
        );
        assert!(
            found(&[("main", 1, -600)], &[("main", unanswered(2))]).is_empty(),
            "the tag is on another image now"
        );
        assert!(
            found(&[("latest", 1, -600)], &[("latest", unanswered(1))]).is_empty(),
            "the tag is no longer a build"
        );
    }

    #[test]
    fn sweep_skips_other_tags_and_stablepins_own_tags() {
        assert!(found(&[("latest", 1, 20)], &[]).is_empty());
        let ours = KnownTag { intents: BTreeSet::from([digest(1)]), ..KnownTag::default() };
        assert!(found(&[("v1", 1, 20)], &[("v1", ours.clone())]).is_empty());
        assert_eq!(found(&[("v1", 2, 20)], &[("v1", ours)]).len(), 1, "our tag on another digest is a push");
    }

    #[test]
    fn sweep_finds_push_even_if_a_reported_time_is_in_the_future() {
        let years = 60 * 24 * 365 * 50;
        assert_eq!(
            found(&[("main", 1, years)], &[]),
            [("main".to_owned(), 1, years)],
            "the registry's time is wrong"
        );
        let ahead = found(&[("main", 2, 20)], &[("main", followed(1, years))]);
        assert_eq!(ahead.len(), 1, "the answered push has a future time");
        assert!(found(&[("main", 1, years)], &[("main", followed(1, years))]).is_empty());
    }

    #[test]
    fn record_of_a_tag_drops_old_digests_beyond_its_limit() {
        let of = |n: usize| ImageDigest::parse(&format!("sha256:{n:064x}")).unwrap();
        let intents = |count: usize| (0..count).map(of).collect::<BTreeSet<_>>();
        let newest: BTreeSet<_> = (900..1400).map(of).collect();
        assert!(forgotten(&intents(MOST_INTENTS), &newest).is_empty());
        let gone = forgotten(&intents(MOST_INTENTS + 1), &newest);
        assert_eq!((gone.len(), gone.iter().any(|digest| newest.contains(digest))), (900, false));
        assert_eq!(forgotten(&intents(5700), &newest).len(), 5200);
    }

    #[test]
    fn sweep_skips_image_without_push_time() {
        let found = [FoundTag { tag: tag("main"), digest: digest(1), pushed_at: None }];
        let builds = including(&["*"]);
        assert!(missed(at(60), &builds, at(0), &found, &BTreeMap::new()).is_empty());
    }
}
