//! BatchDeleteImage removes tags and deletes images.
//! <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_BatchDeleteImage.html>

use std::collections::HashSet;

use serde_json::{Value, json};

use super::image_id::{BatchFailure, Id};
use super::images::Digest;
use super::world::EcrWorld;
use crate::fake::input::{Answer, Input};

impl EcrWorld {
    /// Deletes the images of the request one after the other, in the order of the request.
    pub(super) fn batch_delete_image(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["registryId", "repositoryName", "imageIds"])?;
        let name = self.of(input)?.name.clone();
        let ids = Id::all(input)?;
        // ECR refuses to delete a child of an image index, even if the same call deletes the index.
        // AWS does not document this. Users report that they need several passes to delete such
        // images.
        // <https://github.com/opensupplyhub/open-supply-hub/pull/1243>
        let repository = &self.repositories[&name];
        let kept: HashSet<Digest> = ids
            .iter()
            .filter_map(|id| id.find(repository).ok())
            .filter(|digest| repository.is_child(digest))
            .collect();
        let (mut deleted, mut failures) = (Vec::new(), Vec::new());
        for id in &ids {
            match self.delete_one(&name, id, &kept) {
                Ok(rows) => deleted.extend(rows),
                Err(failure) => failures.push(id.failed(&failure)),
            }
        }
        Ok(json!({ "imageIds": deleted, "failures": failures }))
    }

    fn delete_one(
        &mut self,
        name: &str,
        id: &Id<'_>,
        kept: &HashSet<Digest>,
    ) -> Result<Vec<Value>, BatchFailure> {
        let repository = self.repositories.get_mut(name).expect("the caller has found the repository");
        let digest = id.find(repository)?;
        let tags = repository.images[&digest].tags.len();
        // "You can remove a tag from an image by specifying the image's tag in your request. When
        // you remove the last tag from an image, the image is deleted from your repository."
        // Assumption: a request with a digest deletes the image with all its tags, even if the
        // request also contains a tag.
        let untags = id.digest.is_none() && tags > 1;
        if !untags && kept.contains(&digest) {
            // ECR also refuses to remove the last tag of a child, since the removal would delete
            // the child.
            // <https://github.com/aws/containers-roadmap/issues/1567>
            let reason = "Requested image referenced by manifest list".to_owned();
            return Err(BatchFailure { code: "ImageReferencedByManifestList", reason });
        }
        let gone: Vec<String> = if untags {
            let tag = id.tag.unwrap_or_default();
            repository.untag(tag);
            vec![tag.to_owned()]
        } else {
            // ECR keeps the referrers of a deleted image.
            // <https://docs.aws.amazon.com/AmazonECR/latest/userguide/delete_image.html>
            let image = repository.remove(&digest).expect("the image was found above");
            image.tags.iter().map(|tag| (**tag).to_owned()).collect()
        };
        // Assumption: ECR sends one event for each tag, or one event for an image without tags. AWS
        // documents only an example with a tag.
        let rows = if gone.is_empty() {
            self.tell_of_delete(name, &digest, "");
            vec![json!({ "imageDigest": &*digest })]
        } else {
            gone.iter().for_each(|tag| self.tell_of_delete(name, &digest, tag));
            gone.iter().map(|tag| json!({ "imageDigest": &*digest, "imageTag": tag })).collect()
        };
        Ok(rows)
    }
}
