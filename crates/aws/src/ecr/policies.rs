//! The policies of a repository and of the registry.

use stablepin_rules::image::RepositoryName;

use super::client::Ecr;
use super::error::EcrError;
use crate::call::Call;

impl Ecr {
    /// The permissions policy of a repository as JSON. `None` if there is no policy.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policies.html>
    pub async fn repository_policy(&self, repository: &RepositoryName) -> Result<Option<String>, EcrError> {
        let call = Call::new("GetRepositoryPolicy", format!("read the policy of {repository}"));
        let asked = self.client.get_repository_policy().repository_name(repository.as_str()).send().await;
        let answer = call.none_if(&["RepositoryPolicyNotFoundException"], asked)?;
        let text = answer.map(|answer| answer.policy_text.ok_or_else(|| call.lacks("policyText")));
        Ok(text.transpose()?)
    }

    /// The permissions policy of the registry as JSON. The policy applies to some or all
    /// repositories. `None` if there is no policy.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry-permissions.html>
    pub async fn registry_policy(&self) -> Result<Option<String>, EcrError> {
        let call = Call::new("GetRegistryPolicy", "read the registry's policy");
        let asked = self.client.get_registry_policy().send().await;
        let answer = call.none_if(&["RegistryPolicyNotFoundException"], asked)?;
        Ok(answer.and_then(|answer| answer.policy_text))
    }

    /// The lifecycle policy of a repository as JSON. `None` if there is no policy. ECR deletes
    /// images by this policy and does not check whether the images are in use.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html>
    pub async fn lifecycle_policy(&self, repository: &RepositoryName) -> Result<Option<String>, EcrError> {
        let call = Call::new("GetLifecyclePolicy", format!("read the lifecycle policy of {repository}"));
        let asked = self.client.get_lifecycle_policy().repository_name(repository.as_str()).send().await;
        let answer = call.none_if(&["LifecyclePolicyNotFoundException"], asked)?;
        let text = answer
            .map(|answer| answer.lifecycle_policy_text.ok_or_else(|| call.lacks("lifecyclePolicyText")));
        Ok(text.transpose()?)
    }
}
