//! What is needed, and what goes with it: an index needs its children, and an image keeps what is said about it.

use std::collections::{BTreeSet, HashMap};

use super::inventory::Image;
use crate::image::ImageDigest;

/// How the images of a repository hang together, by their places in the list.
pub(super) struct Family {
    /// Of an index: its children that are here.
    children: Vec<Vec<usize>>,
    /// The indexes that refer to it.
    parents: Vec<Vec<usize>>,
    /// Signatures, attestations, SBOMs and the like that are about it.
    accessories: Vec<Vec<usize>>,
    /// What it is about.
    subjects: Vec<Vec<usize>>,
}

impl Family {
    pub(super) fn of(images: &[Image], places: &HashMap<&ImageDigest, usize>) -> Self {
        let mut family = Self {
            children: vec![Vec::new(); images.len()],
            parents: vec![Vec::new(); images.len()],
            accessories: vec![Vec::new(); images.len()],
            subjects: vec![Vec::new(); images.len()],
        };
        for (place, image) in images.iter().enumerate() {
            let children = image.children.iter().filter_map(|child| places.get(child));
            for child in children.filter(|child| **child != place) {
                family.children[place].push(*child);
                family.parents[*child].push(place);
            }
            for subject in subjects(image).iter().filter_map(|subject| places.get(subject)) {
                family.subjects[place].push(*subject);
                family.accessories[*subject].push(place);
            }
        }
        family
    }

    /// What cannot be had without it: of an index its children, of anything what is said about it.
    pub(super) fn below(&self, place: usize) -> impl Iterator<Item = usize> + '_ {
        self.children[place].iter().chain(&self.accessories[place]).copied()
    }

    /// What it goes with: indexes that refer to it, and what it is about.
    pub(super) fn above(&self, place: usize) -> impl Iterator<Item = usize> + '_ {
        self.parents[place].iter().chain(&self.subjects[place]).copied()
    }

    pub(super) fn parents(&self, place: usize) -> &[usize] {
        &self.parents[place]
    }

    pub(super) fn subjects(&self, place: usize) -> &[usize] {
        &self.subjects[place]
    }

    /// Those and, again and again, the indexes that refer to them: a task runs a platform's image, and the service
    /// names the index.
    pub(super) fn with_indexes(&self, from: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        closure(from, |place| self.parents(place).to_vec())
    }

    /// Those and, again and again, what is below them.
    pub(super) fn with_all_below(&self, from: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        closure(from, |place| self.below(place).collect())
    }
}

/// What it says something about: by its manifest, or by its tag where referrers are not known.
/// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema>
pub(super) fn subjects(image: &Image) -> BTreeSet<ImageDigest> {
    let by_tag = image.tags.iter().filter_map(|tag| tag.tag.subject());
    image.subject.iter().cloned().chain(by_tag).filter(|subject| *subject != image.digest).collect()
}

fn closure(from: impl IntoIterator<Item = usize>, next: impl Fn(usize) -> Vec<usize>) -> BTreeSet<usize> {
    let mut open: Vec<usize> = from.into_iter().collect();
    let mut found = BTreeSet::new();
    while let Some(place) = open.pop() {
        if found.insert(place) {
            open.extend(next(place));
        }
    }
    found
}
