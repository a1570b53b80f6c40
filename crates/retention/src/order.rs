//! The order of deletion: oldest first, an image index before its children, an image before its
//! referrers. If a run stops at any point, every remaining image still has all its parts.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use jiff::Timestamp;

use super::image_graph::ImageGraph;

/// Returns the positions of the images with a time, each with its wave. One call may delete all
/// images of a wave. Images with equal times are sorted by digest.
///
/// Forged tags may claim that two images refer to each other. Then no order is correct, and the
/// result omits both images, with their children and referrers.
pub(super) fn order(times: &[Option<Timestamp>], graph: &ImageGraph) -> Vec<(usize, u16)> {
    // For each image, the number of images that must be deleted first and are not ordered yet.
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
