//! The policies of a repository and of the registry.

use aws_sdk_ecr::operation::get_lifecycle_policy::GetLifecyclePolicyError;
use aws_sdk_ecr::operation::get_registry_policy::GetRegistryPolicyError;
use aws_sdk_ecr::operation::get_repository_policy::GetRepositoryPolicyError;
use stablepin_rules::image::RepositoryName;

use super::client::Ecr;
use super::error::EcrError;
use crate::failed_call::FailedCall;

impl Ecr {
    /// The repository's policy, which grants permissions, as JSON. `None` if there is no policy.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policies.html>
    pub async fn repository_policy(&self, repository: &RepositoryName) -> Result<Option<String>, EcrError> {
        let asked = self.client.get_repository_policy().repository_name(repository.as_str()).send().await;
        let error = match asked {
            Ok(answer) => {
                return answer.policy_text.map(Some).ok_or_else(|| EcrError::Answer {
                    operation: "GetRepositoryPolicy",
                    repository: repository.clone(),
                    member: "policyText",
                });
            }
            Err(error) => error,
        };
        let repository = repository.clone();
        match error.as_service_error() {
            Some(GetRepositoryPolicyError::RepositoryPolicyNotFoundException(_)) => Ok(None),
            Some(GetRepositoryPolicyError::RepositoryNotFoundException(_)) => {
                Err(EcrError::RepositoryNotFound { repository, source: FailedCall::new(error) })
            }
            _ => Err(EcrError::GetRepositoryPolicy { repository, source: FailedCall::new(error) }),
        }
    }

    /// The registry's policy, which grants permissions on some or all repositories, as JSON. `None`
    /// if there is no policy.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry-permissions.html>
    pub async fn registry_policy(&self) -> Result<Option<String>, EcrError> {
        match self.client.get_registry_policy().send().await {
            Ok(answer) => Ok(answer.policy_text),
            Err(error) => match error.as_service_error() {
                Some(GetRegistryPolicyError::RegistryPolicyNotFoundException(_)) => Ok(None),
                _ => Err(EcrError::GetRegistryPolicy { source: FailedCall::new(error) }),
            },
        }
    }

    /// The repository's lifecycle policy as JSON. ECR deletes images by this policy without
    /// checking who uses them. `None` if there is no policy.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/LifecyclePolicies.html>
    pub async fn lifecycle_policy(&self, repository: &RepositoryName) -> Result<Option<String>, EcrError> {
        let asked = self.client.get_lifecycle_policy().repository_name(repository.as_str()).send().await;
        let error = match asked {
            Ok(answer) => {
                return answer.lifecycle_policy_text.map(Some).ok_or_else(|| EcrError::Answer {
                    operation: "GetLifecyclePolicy",
                    repository: repository.clone(),
                    member: "lifecyclePolicyText",
                });
            }
            Err(error) => error,
        };
        let repository = repository.clone();
        match error.as_service_error() {
            Some(GetLifecyclePolicyError::LifecyclePolicyNotFoundException(_)) => Ok(None),
            Some(GetLifecyclePolicyError::RepositoryNotFoundException(_)) => {
                Err(EcrError::RepositoryNotFound { repository, source: FailedCall::new(error) })
            }
            _ => Err(EcrError::GetLifecyclePolicy { repository, source: FailedCall::new(error) }),
        }
    }
}
