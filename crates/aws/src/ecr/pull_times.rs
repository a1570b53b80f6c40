//! Pull-time exclusions: ECR does not record the pulls of an excluded principal.

use super::client::Ecr;
use super::error::EcrError;
use crate::call::Call;
use crate::pages::Pages;

/// The most pages of pull-time exclusions. An account may have 100 pull-time exclusions.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-time-update-exclusions.html>
const MOST_PAGES_OF_EXCLUSIONS: usize = 100;

impl Ecr {
    /// Adds a pull-time exclusion, so that ECR no longer counts this role's reads as pulls. Returns
    /// false if the exclusion already existed. Without the exclusion, retention's daily read of
    /// every manifest would make every image look used.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-time-update-exclusions.html>
    pub async fn exclude_from_pull_times(&self, role_arn: &str) -> Result<bool, EcrError> {
        let call = Call::new("ListPullTimeUpdateExclusions", "list whose pulls are not recorded");
        let mut pages = Pages::at_most(MOST_PAGES_OF_EXCLUSIONS);
        loop {
            let answer = self
                .client
                .list_pull_time_update_exclusions()
                .set_next_token(pages.token())
                .send()
                .await
                .map_err(|error| call.failed(error))?;
            if answer.pull_time_update_exclusions().iter().any(|principal| principal == role_arn) {
                return Ok(false);
            }
            if !pages.follows(&call, answer.next_token())? {
                break;
            }
        }
        let purpose = format!("have the pulls of {role_arn} not recorded");
        let call = Call::new("RegisterPullTimeUpdateExclusion", purpose);
        let registered =
            self.client.register_pull_time_update_exclusion().principal_arn(role_arn).send().await;
        // This code means that another caller has registered the exclusion in the meantime.
        Ok(call.none_if(&["ExclusionAlreadyExistsException"], registered)?.is_some())
    }
}
