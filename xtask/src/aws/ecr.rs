//! Tags in ECR.

use super::{Aws, AwsError};
use serde_json::{Value, json};

impl Aws {
    /// Returns the digest of the image that has the tag.
    pub fn tag(&self, repository: &str, tag: &str) -> Result<Option<String>, AwsError> {
        let request = json!({ "repositoryName": repository, "imageIds": [{ "imageTag": tag }] });
        let answer = self.ecr("BatchGetImage", &request)?;
        Ok(answer["images"][0]["imageId"]["imageDigest"].as_str().map(str::to_owned))
    }

    /// Returns all tags of the image with this digest, sorted.
    pub fn tags(&self, repository: &str, digest: &str) -> Result<Vec<String>, AwsError> {
        let request = json!({ "repositoryName": repository, "imageIds": [{ "imageDigest": digest }] });
        let answer = self.ecr("DescribeImages", &request)?;
        let tags = answer["imageDetails"][0]["imageTags"].as_array().into_iter().flatten();
        let mut tags: Vec<_> = tags.filter_map(Value::as_str).map(str::to_owned).collect();
        tags.sort();
        Ok(tags)
    }
}
