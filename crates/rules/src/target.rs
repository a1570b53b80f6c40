//! The target of a rollback, which is always a pin of the environment.

use std::collections::BTreeSet;

use crate::build_tag::numbered;
use crate::commit::Commit;
use crate::image::{ImageDigest, ImageTag};
use crate::pin_number::PinNumber;
use crate::records::{Environment, Pin, ServiceRollout, SlotKind, Target};
use crate::refusal::Refusal;

/// The forms of a rollback request's `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    Stable,
    Previous,
    /// A pin number, with its original text. A text of seven or more digits may also be the
    /// beginning of a commit.
    Pin(PinNumber, String),
    Digest(ImageDigest),
    /// A build tag, a numbered stable tag, or the beginning of a commit.
    Name(String),
}

impl To {
    /// Parses `stable`, `previous`, a pin number or a digest. Any other text counts as the tag or
    /// the commit of a build.
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

/// Returns the current pin, if a rollback may begin.
pub fn ready(environment: &Environment) -> Result<&Pin, Refusal> {
    match &environment.slot {
        Some(slot) if slot.kind == SlotKind::Rollback => Err(Refusal::RollbackRunning { id: slot.operation }),
        Some(_) | None => environment.pin.as_ref().ok_or(Refusal::NothingPinned),
    }
}

/// Returns the digests that an environment is supposed to run, from the task definitions of its
/// services. If a task definition has no digest, the digests of its running containers count.
/// Returns the pin if no digest is known.
pub fn intended(services: &[ServiceRollout], pinned: Option<&ImageDigest>) -> BTreeSet<ImageDigest> {
    let of = |rollout: &ServiceRollout| match &rollout.before.described {
        // Running tasks do not count here, because tasks of an older deployment may run the
        // rollback's target.
        Some(digest) => BTreeSet::from([digest.clone()]),
        None => rollout.before.digests.clone(),
    };
    or_pinned(services.iter().flat_map(of).collect(), pinned)
}

/// Returns the digests that an environment is known to run, from its running containers and task
/// definitions. Returns the pin if no digest is known.
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

/// Finds the target among the environment's pins. `history` contains every pin, in any order.
/// `intended` contains the digests that the environment is supposed to run now.
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
        // The pin's commit or the requested commit may be a short form.
        let same = |pin: &Pin| {
            pin.commit.as_ref().is_some_and(|kept| {
                kept.starts_with(wanted.as_str()) || wanted.as_str().starts_with(kept.as_str())
            })
        };
        let found = newest(&same);
        let others: Vec<PinNumber> = found
            .iter()
            .flat_map(|found| history.iter().filter(|pin| same(pin) && pin.digest != found.digest))
            .filter(|pin| pin.number <= current.number)
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
    // If the digest of an older pin equals the digest of the current pin, the current pin is the
    // target, and the rollback sets no new pin.
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
