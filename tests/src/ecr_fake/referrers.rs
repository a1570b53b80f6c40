//! ListImageReferrers returns the signatures, SBOMs and attestations of an image.
//! <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListImageReferrers.html>

use serde_json::{Value, json};

use super::describe::status_filter;
use super::images::{Digest, is_digest};
use super::world::EcrWorld;
use crate::fake::input::{Answer, Input, Refused};
use crate::fake::pages::{PageLimits, page};

const PAGE: PageLimits = PageLimits { default: 20, greatest: 50 };
const TYPES: usize = 5;

impl EcrWorld {
    /// Lists the referrers of an image. Assumption: ECR lists the referrers even if the image does
    /// not exist.
    pub(super) fn list_image_referrers(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["registryId", "repositoryName", "subjectId", "filter", "nextToken", "maxResults"])?;
        let repository = &*self.of(input)?;
        let subject = input.object("subjectId")?.ok_or_else(|| Refused::parameter("subjectId is missing"))?;
        let subject = Input { operation: "subjectId", members: subject };
        subject.knows(&["imageDigest"])?;
        let subject = subject.needed("imageDigest")?;
        if !is_digest(subject) {
            return Err(Refused::parameter("Invalid parameter at 'subjectId.imageDigest'"));
        }
        let none = serde_json::Map::new();
        let filter = Input { operation: "filter", members: input.object("filter")?.unwrap_or(&none) };
        filter.knows(&["artifactTypes", "artifactStatus"])?;
        let types = filter.texts("artifactTypes")?;
        if types.len() > TYPES {
            return Err(Refused::parameter(format!("artifactTypes must have at most {TYPES} items.")));
        }
        let statuses = ["ACTIVE", "ARCHIVED", "ACTIVATING", "ANY"];
        let status = status_filter(filter.one_of("artifactStatus", &statuses)?);
        let all = repository.referrers.get(subject).into_iter().flatten();
        let shown = all.filter_map(|digest: &Digest| {
            let image = repository.images.get(digest)?;
            let artifact = image.artifact.as_deref();
            let wanted = status.is_none_or(|status| status == image.status)
                && (types.is_empty() || artifact.is_some_and(|artifact| types.contains(&artifact)));
            wanted.then(|| {
                let mut shown = json!({
                    "digest": &**digest,
                    "mediaType": &*image.media_type,
                    "size": image.size,
                    "artifactStatus": image.status.name(),
                });
                if let Some(artifact) = artifact {
                    shown["artifactType"] = artifact.into();
                }
                if let Some(annotations) = &image.annotations {
                    shown["annotations"] = annotations.clone();
                }
                shown
            })
        });
        let shown: Vec<Value> = shown.collect();
        page(input, "referrers", shown, &PAGE)
    }
}
