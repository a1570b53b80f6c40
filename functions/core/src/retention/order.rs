//! In which order images go: oldest first, an index before its children, an image before what is said about it. So
//! that wherever it is cut off, nothing is left that lacks a part.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use jiff::Timestamp;

use super::needed::Family;

/// The places with their waves: what is of one wave may go in one call. Places come sorted by digest, so that equal
/// times are in one order always.
///
/// Tags may say of two that each is about the other. Somebody made that up: neither is first, and both are left out.
pub(super) fn order(times: &BTreeMap<usize, Timestamp>, family: &Family) -> Vec<(usize, u16)> {
    // How many of those above it are still to go, and its wave.
    let above = |place: usize| family.above(place).filter(|one| times.contains_key(one)).count();
    let mut open: BTreeMap<usize, (usize, u16)> =
        times.keys().map(|place| (*place, (above(*place), 0))).collect();
    let free = open.iter().filter(|(_, (above, _))| *above == 0);
    let mut ready: BinaryHeap<_> = free.map(|(place, _)| Reverse((times[place], *place))).collect();
    let mut ordered = Vec::with_capacity(times.len());
    while let Some(Reverse((_, place))) = ready.pop() {
        let Some((_, wave)) = open.remove(&place) else { continue };
        ordered.push((place, wave));
        for below in family.below(place) {
            let Some((above, after)) = open.get_mut(&below) else { continue };
            *above -= 1;
            *after = (*after).max(wave.saturating_add(1));
            if *above == 0 {
                ready.push(Reverse((times[&below], below)));
            }
        }
    }
    ordered
}
