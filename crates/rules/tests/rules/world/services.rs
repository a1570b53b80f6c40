//! The ECS services of the world: the digest that each service runs, and the deployments.

use std::collections::BTreeSet;

use stablepin_rules::application::ServiceName;
use stablepin_rules::effect::Observation;
use stablepin_rules::image::ImageDigest;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{Direction, Live, ServiceRollout, Started};

use super::{Running, World};

impl World {
    /// Returns ECS's report of what each service runs.
    pub(super) fn prepare(&self) -> Vec<(ServiceName, Live)> {
        let live = |running: &Running| Live {
            task_definition: format!("td of {}", running.digest),
            deployment: running.deployment.clone(),
            digests: BTreeSet::from([running.digest.clone()]),
            described: Some(running.digest.clone()),
        };
        self.services.iter().map(|(service, running)| (service.clone(), live(running))).collect()
    }

    /// Deploys a digest to a service, as a person or a pipeline does without Stablepin.
    pub(crate) fn deploy_by_hand(&mut self, service: &ServiceName, digest: ImageDigest) {
        self.ids += 1;
        let running = Running { digest, deployment: format!("theirs {}", self.ids) };
        self.services.insert(service.clone(), running);
    }

    fn rollout_of(
        &self,
        operation: OperationId,
        direction: Direction,
        service: &ServiceName,
    ) -> (ServiceRollout, ImageDigest) {
        let rollout = self.operations[&operation].rollout_to(direction).unwrap();
        let one = rollout.services.iter().find(|one| one.service == *service).unwrap().clone();
        let to = rollout.destination.digest().or(one.before.described.as_ref()).unwrap().clone();
        (one, to)
    }

    pub(super) fn deploy(
        &mut self,
        operation: OperationId,
        direction: Direction,
        service: &ServiceName,
    ) -> Observation {
        let (one, to) = self.rollout_of(operation, direction, service);
        let running = self.services[service].clone();
        let ours = self.subject(Some(operation), None).promotion().map(|promotion| promotion.digest.clone());
        if one.if_moved && Some(&running.digest) != ours.as_ref() {
            return Observation::Returned {
                reason: "it was not moved".to_owned(),
                digest: Some(running.digest),
            };
        }
        if running.digest != to {
            self.ids += 1;
            let deployment = format!("{operation} {}", self.ids);
            self.services.insert(service.clone(), Running { digest: to.clone(), deployment });
        }
        Observation::Deployed(Started {
            deployment: self.services[service].deployment.clone(),
            service_deployment: None,
            task_definition: format!("td of {to}"),
            health_checked: false,
            at: self.now,
        })
    }

    pub(super) fn follow(
        &mut self,
        operation: OperationId,
        direction: Direction,
        service: &ServiceName,
    ) -> Observation {
        let (one, to) = self.rollout_of(operation, direction, service);
        let running = self.services[service].clone();
        // Another operation has overtaken this operation since the effect started.
        let Some(started) = one.started else { return Observation::Overtaken };
        if running.deployment != started.deployment {
            let reason = format!("{} replaced {}", running.deployment, started.deployment);
            if running.deployment == "breaker" {
                return Observation::Returned { reason, digest: Some(running.digest) };
            }
            let subject = self.subject(Some(operation), None);
            let late = subject.rollback().and_then(|rollback| rollback.preempted.clone());
            return match late {
                Some(late) if late == running.digest => Observation::Overtaken,
                _ => Observation::Superseded { reason },
            };
        }
        if !self.broken.contains(&to) {
            return Observation::Proven { tasks: 1 };
        }
        let reason = "ECS deployment circuit breaker: task failed to start.".to_owned();
        if self.breaker {
            let digest = one.before.described.unwrap();
            self.services.insert(service.clone(), Running { digest, deployment: "breaker".to_owned() });
            return Observation::Returning { reason };
        }
        Observation::Failed { reason }
    }
}
