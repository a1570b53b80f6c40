//! Advances deployments step by step to the outcome that the test has chosen.

use jiff::SignedDuration;
use serde_json::Value;

use super::deployment::{
    Because, DeploymentOutcome, Hook, Revision, StoredDeployment, StoredServiceDeployment,
};
use super::home::EcsHome;
use super::service::StoredService;
use super::stage::{Stage, hooks, path};
use super::task::Stop;

/// Returns the number of failed tasks at which a circuit breaker triggers.
///
/// The default is half of the desired count, but at least 3 and at most 200.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>
fn threshold(configuration: &Value, desired: u32) -> u32 {
    let set = &configuration["deploymentCircuitBreaker"]["thresholdConfiguration"];
    let value = set["value"].as_u64().and_then(|value| u32::try_from(value).ok());
    let percent = |percent: u32| (desired * percent).div_ceil(100);
    match (set["type"].as_str(), value) {
        (Some("COUNT"), Some(value)) => value.max(1),
        (Some("UNBOUNDED_PERCENT"), Some(value)) => percent(value).max(1),
        (_, value) => percent(value.unwrap_or(50)).clamp(3, 200),
    }
}

impl StoredService {
    /// Starts a deployment of the service's current task definition.
    ///
    /// "When a new deployment starts while another is in progress, that one is stopped": the status
    /// of the older deployment becomes `STOP_REQUESTED`. The tasks of the older deployment run
    /// until the new deployment completes.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>
    pub(super) fn deploy(&mut self, home: &mut EcsHome) {
        let definition =
            self.definition.clone().expect("a service of the ECS controller has a task definition");
        let at = home.clock.stamp();
        if let Some(last) = self.rollouts.last_mut().filter(|last| !last.has_ended()) {
            last.becomes("STOP_REQUESTED", at);
        }
        let digits = home.digits();
        let place = format!("{}/{}", self.cluster, self.name);
        let revision = home.arn(&format!("service-revision/{place}/{digits}"));
        self.revisions.push(Revision {
            arn: revision.clone(),
            definition: definition.clone(),
            created_at: at,
            resolved: false,
        });
        let mut source: Vec<String> = Vec::new();
        for one in &self.deployments {
            if !source.contains(&one.revision) {
                source.push(one.revision.clone());
            }
        }
        let outcome = self.outcomes.pop_front().unwrap_or(DeploymentOutcome::Succeeds);
        let pauses_at = match outcome {
            DeploymentOutcome::PausesAt(stage) => Some(stage),
            _ => None,
        };
        let several = source.len() > 1;
        let letters = home.letters();
        let mut rollout = StoredServiceDeployment {
            arn: home.arn(&format!("service-deployment/{place}/{letters}")),
            source,
            target: revision.clone(),
            status: "PENDING",
            reason: None,
            configuration: self.configuration.clone(),
            hooks: Vec::new(),
            back: None,
            breaker: "DISABLED",
            failures: 0,
            threshold: 0,
            alarms: None,
            created_at: at,
            started_at: None,
            finished_at: None,
            stopped_at: None,
            updated_at: at,
            outcome,
            path: path(&self.configuration, several, pauses_at),
            at: 0,
        };
        if rollout.is_on("deploymentCircuitBreaker", "enable") {
            rollout.breaker = "MONITORING";
            rollout.threshold = threshold(&self.configuration, self.desired);
        }
        if rollout.is_on("alarms", "enable") {
            rollout.alarms = Some("MONITORING");
        }
        self.rollouts.push(rollout);
        self.begin(home, &definition, &revision, None);
        // A deployment that starts no tasks cannot fail. ECS completes it immediately.
        if self.desired == 0 {
            self.rollout().started_at = Some(at);
            self.succeed(home);
        }
    }

    /// Inserts a new first entry into `deployments[]`.
    pub(super) fn begin(
        &mut self,
        home: &mut EcsHome,
        definition: &str,
        revision: &str,
        reason: Option<String>,
    ) {
        let id = format!("ecs-svc/{}", home.digits());
        let at = home.clock.stamp();
        let reason = reason.unwrap_or_else(|| format!("ECS deployment {id} in progress."));
        home.tell_of_deployment(self, &id, "IN_PROGRESS", &reason);
        let begun = StoredDeployment {
            id,
            definition: definition.to_owned(),
            revision: revision.to_owned(),
            state: "IN_PROGRESS",
            reason,
            failed: 0,
            created_at: at,
            updated_at: at,
            drains: None,
        };
        self.deployments.insert(0, begun);
    }

    pub(super) fn rollout(&mut self) -> &mut StoredServiceDeployment {
        self.rollouts.last_mut().expect("the service has a service deployment")
    }

    pub(super) fn primary(&mut self) -> &mut StoredDeployment {
        self.deployments.first_mut().expect("the service has a deployment")
    }

    /// Advances everything that is in progress by one step.
    pub(super) fn advance(&mut self, home: &mut EcsHome) {
        self.drain(home);
        let at = home.clock.stamp();
        for stopping in self.rollouts.iter_mut().filter(|one| one.status == "STOP_REQUESTED") {
            stopping.becomes("STOPPED", at);
            stopping.reason = Some("Service deployment stopped because a newer one was started.".to_owned());
        }
        let Some(last) = self.rollouts.last_mut() else { return };
        match last.status {
            "PENDING" => {
                last.started_at = Some(at);
                last.becomes("IN_PROGRESS", at);
                self.enter(home);
            }
            "IN_PROGRESS" => self.go_on(home),
            "ROLLBACK_REQUESTED" => self.go_back(home, Because::Stopped),
            "ROLLBACK_IN_PROGRESS" => self.arrive_back(home),
            _ => {}
        }
    }

    /// Removes replaced deployments after their tasks have drained.
    fn drain(&mut self, home: &mut EcsHome) {
        if self.deployments.first().is_some_and(|primary| primary.state == "COMPLETED") {
            self.run(home, usize::MAX); // with early success, some tasks have not started yet
        }
        self.let_go(home);
    }

    fn let_go(&mut self, home: &mut EcsHome) {
        let mut gone = Vec::new();
        for deployment in &mut self.deployments {
            match &mut deployment.drains {
                None => {}
                Some(0) => gone.push(deployment.id.clone()),
                Some(left) => *left -= 1,
            }
        }
        for id in gone {
            self.stop_all(home, &id, &Stop::Scaled);
            self.deployments.retain(|deployment| deployment.id != id);
        }
    }

    /// Starts the deployment's current stage.
    fn enter(&mut self, home: &mut EcsHome) {
        let (now, outcome) = (home.clock.stamp(), self.rollout().outcome);
        let Some(stage) = self.rollout().stage() else { return self.succeed(home) };
        let configuration = self.rollout().configuration.clone();
        // Each pause hook has a timeout in minutes, and an action that ECS takes after the timeout.
        // <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/pause-lifecycle-hooks.html>
        let timeout = |hook: &Value| {
            let set = &hook["timeoutConfiguration"];
            let minutes = set["timeoutInMinutes"].as_i64().unwrap_or(1440);
            (minutes, set["action"].as_str().unwrap_or("ROLLBACK").to_owned())
        };
        let mut pausing: Vec<_> = hooks(&configuration, stage).map(timeout).collect();
        if outcome == DeploymentOutcome::PausesAt(stage) && pausing.is_empty() {
            pausing.push((1440, "ROLLBACK".to_owned()));
        }
        for (minutes, timeout_action) in pausing {
            let id = format!("ecs-pause-{}{}", home.letters(), home.letters());
            let expires_at = now + SignedDuration::from_mins(minutes);
            let arn = self.rollout().arn.clone();
            home.tell_of_hook(self, &arn, (&id, "AWAITING_ACTION", stage.as_str()), expires_at);
            self.rollout().hooks.push(Hook {
                id,
                status: "AWAITING_ACTION",
                expires_at,
                timeout_action,
                stage,
            });
        }
        if stage == Stage::ScaleUp {
            self.scale(home);
        }
    }

    fn go_on(&mut self, home: &mut EcsHome) {
        if self.desired == 0 {
            return self.succeed(home);
        }
        let now = home.clock.now();
        let expired =
            self.rollout().hooks.iter().find(|one| one.status == "AWAITING_ACTION" && one.expires_at <= now);
        if let Some(hook) = expired {
            let (id, action) = (hook.id.clone(), hook.timeout_action.clone());
            return self.settle_hook(home, &id, "TIMED_OUT", action == "CONTINUE");
        }
        // "The deployment stays paused until all hooks at that stage are continued."
        if self.rollout().hooks.iter().any(|one| one.status == "AWAITING_ACTION") {
            return;
        }
        let (outcome, stage) = (self.rollout().outcome, self.rollout().stage());
        if stage == Some(Stage::ScaleUp) {
            match outcome {
                DeploymentOutcome::CrashesUntilTheBreaker => return self.fail(home, &Stop::Exited(1)),
                DeploymentOutcome::NeverHealthy => return self.never_healthy(home),
                DeploymentOutcome::Stalls => {
                    let said = self
                        .events
                        .first()
                        .is_some_and(|event| event.to_string().contains("unable to place"));
                    if !said {
                        self.says(home, "was unable to place a task because no container instance met all of its requirements.");
                    }
                    return;
                }
                DeploymentOutcome::Succeeds
                | DeploymentOutcome::PausesAt(_)
                | DeploymentOutcome::AlarmFires => self.scaled_up(home),
            }
        }
        self.rollout().at += 1;
        if self.rollout().stage().is_some() {
            return self.enter(home);
        }
        if outcome == DeploymentOutcome::AlarmFires && self.rollout().alarms.is_some() {
            self.rollout().alarms = Some("TRIGGERED");
            let back = self.rollout().is_on("alarms", "rollback");
            return self.break_off(home, Because::Alarm, back);
        }
        self.succeed(home);
    }

    /// Ends a pause: either the deployment continues, or ECS rolls the deployment back.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/pause-lifecycle-hooks.html>
    pub(super) fn settle_hook(
        &mut self,
        home: &mut EcsHome,
        id: &str,
        status: &'static str,
        continues: bool,
    ) {
        let arn = self.rollout().arn.clone();
        let hook = self
            .rollout()
            .hooks
            .iter_mut()
            .find(|hook| hook.id == id)
            .expect("the caller has found the hook");
        hook.status = status;
        let (stage, expires_at) = (hook.stage.as_str(), hook.expires_at);
        home.tell_of_hook(self, &arn, (id, status, stage), expires_at);
        if !continues {
            self.go_back(home, Because::Hook(stage));
        }
    }

    fn succeed(&mut self, home: &mut EcsHome) {
        if self.rollout().breaker == "MONITORING" {
            self.rollout().breaker = "MONITORING_COMPLETE";
        }
        if self.rollout().alarms == Some("MONITORING") {
            self.rollout().alarms = Some("MONITORING_COMPLETE");
        }
        self.complete(home, "SUCCESSFUL");
    }

    pub(super) fn complete(&mut self, home: &mut EcsHome, status: &'static str) {
        let now = home.clock.stamp();
        self.rollout().becomes(status, now);
        let drains = self.drains;
        let primary = self.primary();
        let id = primary.id.clone();
        primary.state = "COMPLETED";
        primary.reason = format!("ECS deployment {id} completed.");
        primary.updated_at = now;
        let reason = primary.reason.clone();
        self.completed = Some(id.clone());
        // With early success, a deployment becomes `SUCCESSFUL` before all new tasks have started.
        // With deferred cleanup, a deployment becomes `SUCCESSFUL` before the old tasks have
        // stopped.
        // <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeploymentEarlySuccessCriteria.html>
        let early = &self.rollout().configuration["earlySuccessCriteria"];
        let deferred = early["enable"] == true && early["sourceServiceRevisionCleanup"] == "DEFERRED";
        for old in self.deployments.iter_mut().skip(1) {
            old.drains.get_or_insert(drains);
        }
        for task in self.tasks.iter_mut().filter(|task| !task.is_of(&id) && task.lives() && task.wanted) {
            task.is_unwanted(now);
            home.tell_of_task(task);
        }
        if drains == 0 && !deferred {
            self.let_go(home);
        }
        home.tell_of_deployment(self, &id, "COMPLETED", &reason);
        self.says(home, &format!("(deployment {id}) deployment completed."));
        self.says(home, "has reached a steady state.");
    }
}
