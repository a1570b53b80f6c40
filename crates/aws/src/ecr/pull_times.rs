//! The principals whose pulls ECR does not record.

use aws_sdk_ecr::operation::register_pull_time_update_exclusion::RegisterPullTimeUpdateExclusionError;

use super::client::Ecr;
use super::error::EcrError;
use crate::failed_call::FailedCall;
use crate::pages::{Endless, Pages};

/// The most pages of exclusions. An account may have 100 exclusions.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-time-update-exclusions.html>
const MOST_PAGES_OF_EXCLUSIONS: usize = 100;

impl Ecr {
    /// Stops ECR from counting this role's reads as pulls. Returns whether ECR counted them until
    /// now. Otherwise a daily read of every manifest would make every image look used.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-time-update-exclusions.html>
    pub async fn exclude_from_pull_times(&self, role_arn: &str) -> Result<bool, EcrError> {
        let mut pages = Pages::at_most(MOST_PAGES_OF_EXCLUSIONS);
        loop {
            let answer = self
                .client
                .list_pull_time_update_exclusions()
                .set_next_token(pages.token())
                .send()
                .await
                .map_err(|error| EcrError::ListPullTimeUpdateExclusions { source: FailedCall::new(error) })?;
            if answer.pull_time_update_exclusions().iter().any(|principal| principal == role_arn) {
                return Ok(false);
            }
            let follows = pages.follows(answer.next_token()).map_err(|Endless| EcrError::Endless {
                operation: "ListPullTimeUpdateExclusions",
                what: "principals whose pulls are not recorded".to_owned(),
            })?;
            if !follows {
                break;
            }
        }
        let registered =
            self.client.register_pull_time_update_exclusion().principal_arn(role_arn).send().await;
        let Err(error) = registered else { return Ok(true) };
        match error.as_service_error() {
            // Another call registered the exclusion in the meantime.
            Some(RegisterPullTimeUpdateExclusionError::ExclusionAlreadyExistsException(_)) => Ok(false),
            _ => Err(EcrError::RegisterPullTimeUpdateExclusion {
                role: role_arn.to_owned(),
                source: FailedCall::new(error),
            }),
        }
    }
}
