//! What a rollback goes back to. However it is named, it is something that this environment has pinned.

use std::collections::BTreeSet;

use crate::build_tag::numbered;
use crate::commit::Commit;
use crate::image::{ImageDigest, ImageTag};
use crate::pin_number::PinNumber;
use crate::records::{Environment, Pin, ServiceRollout, SlotKind, Target};
use crate::refusal::Refusal;

/// The forms of `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    Stable,
    Previous,
    /// As it was written, too: seven digits and more may be the beginning of a commit.
    Pin(PinNumber, String),
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
                .map(|number| Self::Pin(number, text.to_owned()))
                .or_else(|_| ImageDigest::parse(text).map(Self::Digest))
                .unwrap_or_else(|_| Self::Name(text.to_owned())),
        }
    }
}

/// Whether a rollback may begin, and what the environment has pinned.
pub fn ready(environment: &Environment) -> Result<&Pin, Refusal> {
    match &environment.slot {
        Some(slot) if slot.kind == SlotKind::Rollback => Err(Refusal::RollbackRunning { id: slot.operation }),
        Some(_) | None => environment.pin.as_ref().ok_or(Refusal::NothingPinned),
    }
}

/// What an environment is meant to run: what its services' task definitions name, which may be crashing; where
/// one names no digest, what the service's containers carry; without services, what is pinned. The tasks of an
/// older deployment that a newer one has yet to replace do not count: they may be just what to go back to.
pub fn intended(services: &[ServiceRollout], pinned: Option<&ImageDigest>) -> BTreeSet<ImageDigest> {
    let of = |rollout: &ServiceRollout| match &rollout.before.described {
        Some(digest) => BTreeSet::from([digest.clone()]),
        None => rollout.before.digests.clone(),
    };
    or_pinned(services.iter().flat_map(of).collect(), pinned)
}

/// What an environment runs, as far as can be told: what its containers carry, and what its services are described
/// to run. Where neither says, what it has pinned.
pub fn live(services: &[ServiceRollout], pinned: Option<&ImageDigest>) -> BTreeSet<ImageDigest> {
    let seen: BTreeSet<ImageDigest> = services
        .iter()
        .flat_map(|rollout| rollout.before.digests.iter().chain(&rollout.before.described))
        .cloned()
        .collect();
    or_pinned(seen, pinned)
}

fn or_pinned(seen: BTreeSet<ImageDigest>, pinned: Option<&ImageDigest>) -> BTreeSet<ImageDigest> {
    if seen.is_empty() { pinned.cloned().into_iter().collect() } else { seen }
}

/// Finds it among the environment's pins. `history` holds every pin, in any order; `intended` what
/// the environment is meant to run now.
pub fn resolve(
    to: &To,
    environment: &Environment,
    history: &[Pin],
    intended: &BTreeSet<ImageDigest>,
    stable_tag: &ImageTag,
) -> Result<Target, Refusal> {
    let current = ready(environment)?;
    let newest = |wanted: &dyn Fn(&Pin) -> bool| {
        history
            .iter()
            .chain([current])
            .filter(|pin| pin.number <= current.number && wanted(pin))
            .max_by_key(|pin| pin.number)
    };
    let named = |name: &str| -> Result<Option<&Pin>, Refusal> {
        let tagged = newest(&|pin| {
            pin.build_tag.to_string() == name || numbered(stable_tag, pin.number).as_str() == name
        });
        let (None, Ok(wanted)) = (tagged, Commit::parse(name)) else { return Ok(tagged) };
        // Either may have been shortened.
        let same = |pin: &Pin| {
            pin.commit.as_ref().is_some_and(|kept| {
                kept.starts_with(wanted.as_str()) || wanted.as_str().starts_with(kept.as_str())
            })
        };
        let found = newest(&same);
        let others: Vec<PinNumber> = found
            .iter()
            .flat_map(|found| history.iter().filter(|pin| same(pin) && pin.digest != found.digest))
            .map(|pin| pin.number)
            .collect();
        match (found, others.is_empty()) {
            (Some(found), false) => {
                let candidates = others.into_iter().chain([found.number]).collect();
                Err(Refusal::Ambiguous { to: name.to_owned(), candidates })
            }
            (found, _) => Ok(found),
        }
    };
    let found = match to {
        To::Stable => Ok(current),
        To::Previous => newest(&|pin| {
            !intended.contains(&pin.digest) && !environment.rolled_back_from.contains(&pin.digest)
        })
        .ok_or(Refusal::NoPrevious),
        To::Pin(number, text) => newest(&|pin| pin.number == *number)
            .map_or_else(|| named(text), |pin| Ok(Some(pin)))?
            .ok_or(Refusal::UnknownPin { number: *number, newest: current.number }),
        To::Digest(digest) => newest(&|pin| pin.digest == *digest)
            .ok_or_else(|| Refusal::NeverPinned { to: digest.to_string() }),
        To::Name(name) => named(name)?.ok_or_else(|| Refusal::NeverPinned { to: name.clone() }),
    }?;
    // The digest's newest number: going back to what is pinned now, by an older name, changes no pin.
    let pin = if found.digest == current.digest { current } else { found };
    Ok(Target {
        pin: pin.number,
        digest: pin.digest.clone(),
        build_tag: pin.build_tag.clone(),
        commit: pin.commit.clone(),
        platforms: pin.platforms.clone(),
        size_bytes: pin.size_bytes,
        revisions: pin.revisions.clone(),
    })
}

#[cfg(test)]
mod tests;
