//! Records when principals pull images, except for pulls by excluded principals.
//! <https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-time-update-exclusions.html>

use serde_json::json;

use super::caller::EcrCaller;
use super::images::Digest;
use super::world::EcrWorld;
use crate::fake::clock::epoch;
use crate::fake::input::{Answer, Input, Refused};
use crate::fake::pages::{PageLimits, page};

/// The page sizes of the list of pull-time exclusions. The default size is an assumption.
/// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListPullTimeUpdateExclusions.html>
const PAGE: PageLimits = PageLimits { default: 100, greatest: 100 };
const EXCLUSIONS: usize = 100;

impl EcrWorld {
    /// Records a pull. ECR updates the pull time "at least once every 24 hours". The fake updates
    /// the pull time at every pull.
    pub(super) fn pulled(&mut self, name: &str, digest: &Digest, caller: &EcrCaller) {
        let now = self.clock.now();
        let principal = caller.access_key.as_ref().and_then(|key| self.principals.get(key));
        if principal.is_some_and(|principal| self.exclusions.contains_key(principal)) {
            return;
        }
        let image = self.repositories.get_mut(name).and_then(|repository| repository.images.get_mut(digest));
        if let Some(image) = image {
            image.pulled_at = Some(now);
        }
    }

    /// Excludes a principal: the principal's pulls no longer update pull times.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_RegisterPullTimeUpdateExclusion.html>
    pub(super) fn register_pull_time_update_exclusion(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["principalArn"])?;
        let principal = input.needed("principalArn")?;
        if !principal.starts_with("arn:aws:iam::") {
            return Err(Refused::parameter("Invalid parameter at 'principalArn'"));
        }
        if self.exclusions.contains_key(principal) {
            let message = format!("The exclusion of {principal} already exists");
            return Err(Refused::new(400, "ExclusionAlreadyExistsException", message));
        }
        if self.exclusions.len() >= EXCLUSIONS {
            return Err(Refused::new(400, "LimitExceededException", "The limit of exclusions is reached"));
        }
        let now = self.clock.stamp();
        self.exclusions.insert(principal.to_owned(), now);
        Ok(json!({ "principalArn": principal, "createdAt": epoch(now) }))
    }

    /// Removes the pull-time exclusion of a principal.
    /// <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DeregisterPullTimeUpdateExclusion.html>
    pub(super) fn deregister_pull_time_update_exclusion(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["principalArn"])?;
        let principal = input.needed("principalArn")?;
        match self.exclusions.remove(principal) {
            Some(_) => Ok(json!({ "principalArn": principal })),
            None => {
                let message = format!("There is no exclusion of {principal}");
                Err(Refused::new(400, "ExclusionNotFoundException", message))
            }
        }
    }

    pub(super) fn list_pull_time_update_exclusions(&mut self, input: &Input<'_>) -> Answer {
        input.knows(&["maxResults", "nextToken"])?;
        let all = self.exclusions.keys().map(|principal| json!(principal)).collect();
        page(input, "pullTimeUpdateExclusions", all, &PAGE)
    }
}
