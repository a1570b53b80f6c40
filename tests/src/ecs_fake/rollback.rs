//! Lets deployments fail, and rolls failed or stopped deployments back.

use super::deployment::{Back, Because, DeploymentOutcome, WayBack};
use super::home::EcsHome;
use super::service::StoredService;
use super::task::{Last, Stop, TaskHealth};

impl StoredService {
    pub(super) fn never_healthy(&mut self, home: &mut EcsHome) {
        let id = self.primary().id.clone();
        let waiting = self.tasks.iter().any(|task| task.is_of(&id) && task.last == Last::Pending);
        if !waiting {
            return self.fail(home, &Stop::Unhealthy);
        }
        self.run(home, usize::MAX);
        for task in self.tasks.iter_mut().filter(|task| task.is_of(&id) && task.last == Last::Running) {
            task.becomes(TaskHealth::Unhealthy);
        }
    }

    /// Lets the tasks of the primary deployment fail. The first call counts one failure. The second
    /// call reaches the threshold of the circuit breaker.
    pub(super) fn fail(&mut self, home: &mut EcsHome, why: &Stop) {
        let id = self.primary().id.clone();
        // A task can exit only after it has run.
        self.run(home, usize::MAX);
        self.stop_all(home, &id, why);
        let watched = self.rollout().breaker != "DISABLED";
        let (failed, threshold) = (self.primary().failed, self.rollout().threshold);
        let now_failed = if watched && failed > 0 { failed.max(threshold) } else { failed + 1 };
        self.primary().failed = now_failed;
        self.primary().updated_at = home.clock.stamp();
        if watched {
            self.rollout().failures = now_failed;
            if now_failed >= threshold {
                self.rollout().breaker = "TRIGGERED";
                let back = self.rollout().is_on("deploymentCircuitBreaker", "rollback");
                return self.break_off(home, Because::Breaker, back);
            }
        }
        self.scale(home);
    }

    /// Marks the deployment as failed, as ECS does when it detects a failure.
    ///
    /// "A deployment in FAILED state doesn't launch any new tasks."
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html>
    pub(super) fn break_off(&mut self, home: &mut EcsHome, because: Because, back: bool) {
        let now = home.clock.stamp();
        // The text for an alarm imitates the text for the circuit breaker.
        let reason = match because {
            Because::Alarm => "ECS deployment alarm: an alarm was triggered.",
            _ => "ECS deployment circuit breaker: tasks failed to start.",
        };
        let primary = self.primary();
        let id = primary.id.clone();
        primary.state = "FAILED";
        primary.reason = reason.to_owned();
        primary.updated_at = now;
        let told = match because {
            // ECS writes "task" in the event, but "tasks" in the service.
            Because::Breaker => "ECS deployment circuit breaker: task failed to start.",
            _ => reason,
        };
        home.tell_of_deployment(self, &id, "FAILED", told);
        self.says(home, &format!("(deployment {id}) deployment failed: tasks failed to start."));
        if back {
            return self.go_back(home, because);
        }
        // "The service deployment stops when the rollback option is not in use and the service
        // fails."
        // <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html>
        let rollout = self.rollout();
        rollout.becomes("STOPPED", now);
        let why = because.reason().replace("rolled back", "stopped");
        rollout.reason = Some(why);
    }

    /// Starts a rollback to the last completed deployment. Until this rollback completes, ECS has
    /// no other rollback candidate.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>
    pub(super) fn go_back(&mut self, home: &mut EcsHome, because: Because) {
        let now = home.clock.stamp();
        let candidate = self.completed.take();
        let candidate = candidate.and_then(|id| self.deployments.iter().find(|one| one.id == id));
        let Some(candidate) = candidate else {
            // AWS's guide says "no new tasks are launched, and the deployment is stalled". Users
            // report instead that the deployment ends with the message below. `WayBack::Stalls`
            // follows the guide, and the other values follow the users' reports.
            if self.way_back != WayBack::Stalls || because != Because::Breaker {
                let rollout = self.rollout();
                rollout.becomes("ROLLBACK_FAILED", now);
                rollout.reason = Some("No rollback candidate was found to run the rollback.".to_owned());
            } else if self.primary().state == "FAILED" {
                self.primary().state = "IN_PROGRESS";
                self.rollout().outcome = DeploymentOutcome::Stalls;
            }
            return;
        };
        let (id, definition, revision) =
            (candidate.id.clone(), candidate.definition.clone(), candidate.revision.clone());
        let reason = because.reason();
        let rollout = self.rollout();
        rollout.becomes("ROLLBACK_IN_PROGRESS", now);
        rollout.reason = Some(reason.clone());
        // "ECS doesn't create a new service revision for a rollback":
        // <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-revision.html>
        rollout.back = Some(Back { reason, started_at: now, revision: revision.clone() });
        let words = match because {
            Because::Breaker => {
                Some(format!("ECS deployment circuit breaker: rolling back to deploymentId {id}."))
            }
            Because::Alarm => Some(format!("ECS deployment alarm: rolling back to deploymentId {id}.")),
            Because::Stopped | Because::Hook(_) => None,
        };
        self.begin(home, &definition, &revision, words);
        self.definition = Some(definition);
        self.says(home, &format!("rolling back to deployment {id}."));
        self.scale(home);
    }

    pub(super) fn arrive_back(&mut self, home: &mut EcsHome) {
        let now = home.clock.stamp();
        match self.way_back {
            WayBack::Stalls => {}
            WayBack::Fails => {
                self.rollout().becomes("ROLLBACK_FAILED", now);
                let id = self.primary().id.clone();
                let reason = "ECS deployment circuit breaker: tasks failed to start.";
                self.primary().state = "FAILED";
                self.primary().reason = reason.to_owned();
                self.stop_all(home, &id, &Stop::Exited(1));
                home.tell_of_deployment(self, &id, "FAILED", reason);
            }
            WayBack::Succeeds => {
                self.run(home, usize::MAX);
                self.complete(home, "ROLLBACK_SUCCESSFUL");
            }
        }
    }
}
