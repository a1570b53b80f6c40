//! In which order images go: oldest first, an index before its children, an image before what is said about it. So
//! that wherever it is cut off, nothing is left that lacks a part.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use jiff::Timestamp;

use super::needed::ImageGraph;

/// Of those that have a time the places with their waves: what is of one wave may go in one call. Places are sorted by
/// digest, so that equal times are in one order always.
///
/// Tags may say of two that each is about the other. Somebody made that up: neither is first, and both are left out.
pub(super) fn order(times: &[Option<Timestamp>], graph: &ImageGraph) -> Vec<(usize, u16)> {
    // How many of those above it are still to go.
    let mut above: Vec<usize> = (0..times.len())
        .map(|place| graph.above(place).filter(|one| times[*one].is_some()).count())
        .collect();
    let mut waves = vec![0_u16; times.len()];
    let due = times.iter().enumerate().filter_map(|(place, at)| at.map(|at| (at, place)));
    let mut ready: BinaryHeap<_> = due.filter(|(_, place)| above[*place] == 0).map(Reverse).collect();
    let mut ordered = Vec::with_capacity(times.len());
    while let Some(Reverse((_, place))) = ready.pop() {
        ordered.push((place, waves[place]));
        for below in graph.below(place) {
            let Some(at) = times[below] else { continue };
            above[below] -= 1;
            waves[below] = waves[below].max(waves[place].saturating_add(1));
            if above[below] == 0 {
                ready.push(Reverse((at, below)));
            }
        }
    }
    ordered
}
