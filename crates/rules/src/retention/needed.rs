//! What is needed, and what goes with it: an index needs its children, and an image keeps what is said about it.

use std::collections::BTreeSet;

use super::inventory::{Image, Images};
use crate::image::ImageDigest;

/// How the images of a repository hang together, by their places in the list. Most belong to nothing, and take a word.
pub(super) struct ImageGraph(Vec<Option<Box<Relations>>>);

#[derive(Default)]
struct Relations {
    /// Of an index: its children that are here.
    children: Vec<usize>,
    /// The indexes that refer to it.
    parents: Vec<usize>,
    /// Signatures, attestations, SBOMs and the like that are about it.
    accessories: Vec<usize>,
    /// What it is about.
    subjects: Vec<usize>,
}

impl ImageGraph {
    pub(super) fn of(images: &Images) -> Self {
        let mut graph = Self(images.iter().map(|_| None).collect());
        for (place, image) in images.iter().enumerate() {
            let children = image.children.iter().filter_map(|child| images.place(child));
            for child in children.filter(|child| *child != place) {
                graph.relations(place).children.push(child);
                graph.relations(child).parents.push(place);
            }
            for subject in subjects(image).iter().filter_map(|subject| images.place(subject)) {
                graph.relations(place).subjects.push(subject);
                graph.relations(subject).accessories.push(place);
            }
        }
        graph
    }

    fn relations(&mut self, place: usize) -> &mut Relations {
        self.0[place].get_or_insert_default()
    }

    /// What cannot be had without it: of an index its children, of anything what is said about it.
    pub(super) fn below(&self, place: usize) -> impl Iterator<Item = usize> + '_ {
        self.0[place]
            .iter()
            .flat_map(|relations| relations.children.iter().chain(&relations.accessories).copied())
    }

    /// What it goes with: indexes that refer to it, and what it is about.
    pub(super) fn above(&self, place: usize) -> impl Iterator<Item = usize> + '_ {
        self.parents(place).iter().chain(self.subjects(place)).copied()
    }

    fn parents(&self, place: usize) -> &[usize] {
        self.0[place].as_ref().map_or(&[], |relations| &relations.parents)
    }

    pub(super) fn subjects(&self, place: usize) -> &[usize] {
        self.0[place].as_ref().map_or(&[], |relations| &relations.subjects)
    }

    /// Of each image whether it is one of those or, again and again, an index that refers to one: a task runs a platform's
    /// image, and the service names the index.
    pub(super) fn with_indexes(&self, from: impl IntoIterator<Item = usize>) -> Vec<bool> {
        self.closure(from, |place| self.parents(place).iter().copied())
    }

    /// Of each image whether it is one of those or, again and again, below one.
    pub(super) fn with_all_below(&self, from: impl IntoIterator<Item = usize>) -> Vec<bool> {
        self.closure(from, |place| self.below(place))
    }

    fn closure<Next: Iterator<Item = usize>>(
        &self,
        from: impl IntoIterator<Item = usize>,
        next: impl Fn(usize) -> Next,
    ) -> Vec<bool> {
        let mut open: Vec<usize> = from.into_iter().collect();
        let mut found = vec![false; self.0.len()];
        while let Some(place) = open.pop() {
            if !found[place] {
                found[place] = true;
                open.extend(next(place));
            }
        }
        found
    }
}

/// What it says something about: by its manifest, or by its tag where referrers are not known.
/// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema>
pub(super) fn subjects(image: &Image) -> BTreeSet<ImageDigest> {
    let by_tag = image.tags.iter().filter_map(|tag| tag.tag.subject());
    image.subject.iter().cloned().chain(by_tag).filter(|subject| *subject != image.digest).collect()
}
