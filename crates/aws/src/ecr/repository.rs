//! The description of a repository.

use aws_sdk_ecr::types::{
    ImageTagMutability, ImageTagMutabilityExclusionFilter, ImageTagMutabilityExclusionFilterType,
};
use stablepin_rules::image::RepositoryName;
use stablepin_rules::mutability::Mutability;
use stablepin_rules::pattern::Pattern;

use super::client::Ecr;
use super::error::EcrError;
use crate::call::Call;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    pub arn: String,
    /// The repository's name in image references, without a tag.
    pub uri: String,
    pub mutability: Mutability,
}

impl Ecr {
    /// Describes a repository. Returns `None` if it does not exist in the session's account and
    /// region.
    pub async fn repository(&self, repository: &RepositoryName) -> Result<Option<Repository>, EcrError> {
        let call = Call::new("DescribeRepositories", format!("describe the repository {repository}"));
        let described =
            self.client.describe_repositories().repository_names(repository.as_str()).send().await;
        let answer = call.none_if(&["RepositoryNotFoundException"], described)?;
        let found = answer.as_ref().and_then(|answer| answer.repositories().first());
        let Some(found) = found else { return Ok(None) };
        Ok(Some(Repository {
            arn: found.repository_arn().ok_or_else(|| call.lacks("repositoryArn"))?.to_owned(),
            uri: found.repository_uri().ok_or_else(|| call.lacks("repositoryUri"))?.to_owned(),
            mutability: mutability(
                found.image_tag_mutability(),
                found.image_tag_mutability_exclusion_filters(),
            ),
        }))
    }
}

/// Converts a repository's tag mutability. An unknown setting counts as `Immutable`, the strictest
/// setting. Each pin then gets its own tag, which every repository accepts.
fn mutability(
    setting: Option<&ImageTagMutability>,
    filters: &[ImageTagMutabilityExclusionFilter],
) -> Mutability {
    let patterns = |unknown: Option<&str>| -> Vec<Pattern> {
        let known = filters.iter().filter_map(|filter| match filter.filter_type() {
            ImageTagMutabilityExclusionFilterType::Wildcard => Pattern::parse(filter.filter()).ok(),
            _ => unknown.and_then(|pattern| Pattern::parse(pattern).ok()),
        });
        known.collect()
    };
    match setting {
        None | Some(ImageTagMutability::Mutable) => Mutability::Mutable,
        Some(ImageTagMutability::MutableWithExclusion) => Mutability::MutableExcept(patterns(Some("*"))),
        Some(ImageTagMutability::ImmutableWithExclusion) => Mutability::ImmutableExcept(patterns(None)),
        Some(_) => Mutability::Immutable,
    }
}
