//! The image graph: an image index needs its children, and an image keeps its referrers.

use std::collections::BTreeSet;

use super::inventory::{Image, Images};
use stablepin_rules::image::ImageDigest;

/// The relations between the images of a repository. Each image has the same position here as in
/// [`Images`]. Most images have no relations, and need only the memory of one pointer.
pub(super) struct ImageGraph(Vec<Option<Box<Relations>>>);

#[derive(Default)]
struct Relations {
    /// The children of this image index. Contains only children in the repository.
    children: Vec<usize>,
    /// The image indexes that refer to this image.
    parents: Vec<usize>,
    /// The referrers of this image: signatures, attestations, SBOMs and the like.
    accessories: Vec<usize>,
    /// The images that this referrer refers to.
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

    /// Returns the images that are useless without this image: the children of this image index,
    /// and the referrers of this image.
    pub(super) fn below(&self, place: usize) -> impl Iterator<Item = usize> + '_ {
        self.0[place]
            .iter()
            .flat_map(|relations| relations.children.iter().chain(&relations.accessories).copied())
    }

    /// Returns the images that keep this image: the image indexes that refer to this image, and the
    /// images that this referrer refers to.
    pub(super) fn above(&self, place: usize) -> impl Iterator<Item = usize> + '_ {
        self.parents(place).iter().chain(self.subjects(place)).copied()
    }

    fn parents(&self, place: usize) -> &[usize] {
        self.0[place].as_ref().map_or(&[], |relations| &relations.parents)
    }

    pub(super) fn subjects(&self, place: usize) -> &[usize] {
        self.0[place].as_ref().map_or(&[], |relations| &relations.subjects)
    }

    /// Marks the given images, and then every image index that refers to a marked image. An ECS
    /// task runs the image of one platform, but its service names the image index.
    pub(super) fn with_indexes(&self, from: impl IntoIterator<Item = usize>) -> Vec<bool> {
        self.closure(from, |place| self.parents(place).iter().copied())
    }

    /// Marks the given images, and then every child and referrer of a marked image.
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

/// Returns the digests that a referrer refers to. The digest is in the referrer's manifest, or in a
/// tag if the registry does not support referrers.
/// <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#referrers-tag-schema>
pub(super) fn subjects(image: &Image) -> BTreeSet<ImageDigest> {
    let by_tag = image.tags.iter().filter_map(|tag| tag.tag.subject());
    image.subject.iter().cloned().chain(by_tag).filter(|subject| *subject != image.digest).collect()
}
