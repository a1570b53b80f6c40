//! Restores a task definition family after an operation, so that the family's newest revision is
//! good. A caller who starts a task by the family's name gets the newest `ACTIVE` revision. The
//! newest revision must not be a revision of Stablepin that failed or was never used.
//!
//! Stablepin deregisters no revision, because deregistrations use the request quota that rollbacks
//! need.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>

use serde_json::Value;
use stablepin_aws::ecs::{Ecs, EcsError, RawTaskDefinition};
use stablepin_rules::application::{EnvironmentPolicy, ServiceName};
use stablepin_rules::effect::Outcome;
use stablepin_rules::image::ImageDigest;
use stablepin_rules::records::{Direction, PromotionState, ServiceRollout, Subject, Work};
use stablepin_rules::task_definition::{at_digest, copy, described_digest, same_but_image};

use super::{problem, words};
use crate::Clients;
use crate::snapshot::{ServiceLocation, read_service};

pub(super) async fn restore(
    clients: &Clients,
    subject: &Subject,
    policy: &EnvironmentPolicy,
    service: &ServiceName,
) -> Outcome {
    let Some(ecs) = &clients.ecs else {
        return Outcome::Problem("this function deploys no services".to_owned());
    };
    match (TaskDefinitionFamily { subject, policy, service }).restore(ecs).await {
        Ok(()) => {}
        // A retry would get the same refusal, and no operation waits for this effect. So the
        // refusal is only logged.
        Err(error) if error.refusal().is_some() => {
            tracing::warn!(
                "the task definition family of {service} could not be restored: {}",
                words(&error)
            );
        }
        Err(error) => return problem(&error),
    }
    Outcome::FamilyRestored(service.clone())
}

/// The task definition family of a service that an operation deployed or tried to deploy.
struct TaskDefinitionFamily<'a> {
    subject: &'a Subject,
    policy: &'a EnvironmentPolicy,
    service: &'a ServiceName,
}

impl TaskDefinitionFamily<'_> {
    /// Registers the good revision again, if Stablepin registered the newest revision and this
    /// revision is not good. If a person registered the newest revision, nothing is registered.
    async fn restore(&self, ecs: &Ecs) -> Result<(), EcsError> {
        let Some(state) = read_service(ecs, self.service).await? else { return Ok(()) };
        let (Some(has), Some(location)) = (state.task_definition, ServiceLocation::of(&state.arn)) else {
            return Ok(());
        };
        let Some(family) = family(&has) else { return Ok(()) };
        let newest = ecs.task_definition(family).await?;
        let good = self.instead_of(&has).unwrap_or(&has);
        if newest.arn == *good || self.pinned() == Some(&newest.arn) {
            return Ok(());
        }
        let good = ecs.task_definition(good).await?;
        if same_but_image(&good.described, &newest.described, &[]).is_ok()
            || !self.is_ours(&newest, &good, &location)
        {
            return Ok(());
        }
        let Ok(request) = copy(&good.described, &good.tags) else { return Ok(()) };
        let again = ecs.register(&Value::Object(request)).await?;
        tracing::info!(
            "registered {} as a copy of {}, so that the family does not run {}",
            again.arn,
            good.arn,
            newest.arn
        );
        Ok(())
    }

    /// Returns the rollouts of this service in this operation, in both directions.
    fn rollouts(&self) -> impl Iterator<Item = &ServiceRollout> {
        let operation = self.subject.operation.as_ref();
        let directions = [Direction::Forward, Direction::Revert]
            .into_iter()
            .filter_map(move |direction| operation?.rollout_to(direction));
        directions.flat_map(|rollout| &rollout.services).filter(|one| one.service == *self.service)
    }

    /// Returns the revision with which this service was proven for the environment's pin.
    fn pinned(&self) -> Option<&String> {
        self.subject.environment.pin.as_ref()?.revisions.get(self.service)
    }

    /// Returns the good revision, if the service still has the failed revision. The good revision
    /// is the pin's revision, or the revision from before the promotion.
    fn instead_of(&self, has: &str) -> Option<&String> {
        let promotion = self.subject.promotion().filter(|one| one.state != PromotionState::Completed)?;
        let rolled_out = promotion.rollout.iter().flat_map(|rollout| &rollout.services);
        let rolled_out = rolled_out.into_iter().find(|one| one.service == *self.service)?;
        let failed = &rolled_out.started.as_ref()?.task_definition;
        let before = &rolled_out.before.task_definition;
        (failed == has && failed != before).then(|| self.pinned().unwrap_or(before))
    }

    /// Returns whether this operation registered the newest revision. If the response of ECS was
    /// lost, the operation does not know the ARN. In this case, the content decides: the revision
    /// must equal the good revision, except for an image that only this operation deploys.
    fn is_ours(
        &self,
        newest: &RawTaskDefinition,
        good: &RawTaskDefinition,
        location: &ServiceLocation,
    ) -> bool {
        let Some(operation) = &self.subject.operation else { return false };
        let is_left = matches!(operation.work, Work::Rollback(_));
        let is_known = self.rollouts().any(|one| {
            let started = one.started.as_ref().map(|started| &started.task_definition);
            let left = is_left.then_some(&one.before.task_definition);
            [started, one.unused.as_ref(), left].contains(&Some(&newest.arn))
        });
        let own = location.own(self.policy);
        let brought = match described_digest(&newest.described, &own) {
            Ok(Some(digest)) if self.brings(&digest) => digest,
            _ => return is_known,
        };
        let clone = at_digest(&good.described, &Value::Null, &own, &brought);
        is_known
            || clone.is_ok_and(|clone| {
                same_but_image(&good.described, &newest.described, &clone.containers).is_ok()
            })
    }

    /// Returns whether the operation registers revisions with this image.
    fn brings(&self, digest: &ImageDigest) -> bool {
        let Some(operation) = &self.subject.operation else { return false };
        let own = match &operation.work {
            Work::Promotion(promotion) => [Some(&promotion.digest), None],
            Work::Rollback(rollback) => [Some(&rollback.target.digest), rollback.preempted.as_ref()],
            Work::Repair(_) | Work::LiveDrift(_) => [None, None],
        };
        let back = operation.rollout_to(Direction::Revert).and_then(|back| back.destination.digest());
        // A release that ended before this rollback may have registered a revision with the image
        // that the rollback replaces.
        let is_left = |one: &ServiceRollout| one.before.described.as_ref() == Some(digest);
        let left = matches!(operation.work, Work::Rollback(_)) && self.rollouts().any(is_left);
        own.contains(&Some(digest)) || back == Some(digest) || left
    }
}

/// Returns the family from a revision's ARN, such as `…:task-definition/{family}:{revision}`.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_TaskDefinition.html>
fn family(arn: &str) -> Option<&str> {
    let (_, named) = arn.rsplit_once('/')?;
    Some(named.rsplit_once(':')?.0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn task_definition_family_is_parsed_from_a_revision_arn() {
        let arn = "arn:aws:ecs:eu-central-1:111122223333:task-definition/web-api_2:41";
        assert_eq!(super::family(arn), Some("web-api_2"));
        assert_eq!(super::family("web"), None);
    }
}
