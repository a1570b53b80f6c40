//! What a rollback goes back to. However it is named, it is something that this environment has pinned.

use std::collections::BTreeSet;

use crate::commit::Commit;
use crate::image::{ImageDigest, ImageTag};
use crate::pin_number::PinNumber;
use crate::records::{Environment, Pin, ServiceRollout, Target};
use crate::refusal::Refusal;

/// The forms of `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    Stable,
    Previous,
    Pin(PinNumber),
    Digest(ImageDigest),
    /// A build tag, a numbered stable tag, or the beginning of a commit.
    Name(String),
}

impl To {
    /// `stable`, `previous`, a pin number, a digest; anything else names a build by its tag or commit.
    pub fn parse(text: &str) -> Self {
        match text {
            "stable" => Self::Stable,
            "previous" => Self::Previous,
            _ => PinNumber::parse(text)
                .map(Self::Pin)
                .or_else(|_| ImageDigest::parse(text).map(Self::Digest))
                .unwrap_or_else(|_| Self::Name(text.to_owned())),
        }
    }
}

/// What an environment runs, as far as can be told: what its containers carry, and what its services are described
/// to run, which may be crashing. Where neither says, what it has pinned.
pub fn live(services: &[ServiceRollout], pinned: Option<&ImageDigest>) -> BTreeSet<ImageDigest> {
    let seen: BTreeSet<ImageDigest> = services
        .iter()
        .flat_map(|rollout| rollout.before.digests.iter().chain(&rollout.before.described))
        .cloned()
        .collect();
    if seen.is_empty() { pinned.cloned().into_iter().collect() } else { seen }
}

/// Finds it among the environment's pins. `history` holds every pin, in any order; `live` what runs now.
pub fn resolve(
    to: &To,
    environment: &Environment,
    history: &[Pin],
    live: &BTreeSet<ImageDigest>,
    stable_tag: &ImageTag,
) -> Result<Target, Refusal> {
    let current = environment.pin.as_ref().ok_or(Refusal::NothingPinned)?;
    let newest = |wanted: &dyn Fn(&Pin) -> bool| {
        history
            .iter()
            .chain([current])
            .filter(|pin| pin.number <= current.number && wanted(pin))
            .max_by_key(|pin| pin.number)
    };
    let found = match to {
        To::Stable => Ok(current),
        To::Previous => {
            newest(&|pin| !live.contains(&pin.digest) && !environment.rolled_back_from.contains(&pin.digest))
                .ok_or(Refusal::NoPrevious)
        }
        To::Pin(number) => newest(&|pin| pin.number == *number)
            .ok_or(Refusal::UnknownPin { number: *number, newest: current.number }),
        To::Digest(digest) => newest(&|pin| pin.digest == *digest)
            .ok_or_else(|| Refusal::NeverPinned { to: digest.to_string() }),
        To::Name(name) => {
            let commit = Commit::parse(name).ok();
            let starts = |pin: &Pin| match (&pin.commit, &commit) {
                (Some(full), Some(part)) => full.starts_with(part.as_str()),
                _ => false,
            };
            newest(&|pin| {
                pin.build_tag.to_string() == *name
                    || crate::build_tag::numbered(stable_tag, pin.number).as_str() == name
                    || starts(pin)
            })
            .ok_or_else(|| Refusal::NeverPinned { to: name.clone() })
        }
    }?;
    // The digest's newest number: going back to what is pinned now, by an older name, changes no pin.
    let pin = if found.digest == current.digest { current } else { found };
    Ok(Target {
        pin: pin.number,
        digest: pin.digest.clone(),
        build_tag: pin.build_tag.clone(),
        commit: pin.commit.clone(),
    })
}

#[cfg(test)]
mod tests;
