//! Moves deployments step by step to the end that the test has chosen.
//!
//! A service shows a deployment in two places. An entry of `deployments[]` has an id (`ecs-svc/…`),
//! a status (`PRIMARY` or `ACTIVE`) and a rollout state. A *service deployment* has an ARN and a
//! status, and stays in the history. A rollback adds an entry to `deployments[]`, but only changes
//! the status of the service deployment.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::home::EcsHome;
use super::services::StoredService;
use super::tasks::{Last, Stop, StoredTask, TaskHealth};
use crate::fake::clock::epoch;

/// How a deployment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeploymentOutcome {
    Succeeds,
    /// Tasks end as soon as they run. Without a circuit breaker this goes on forever.
    CrashesUntilTheBreaker,
    /// Tasks run and fail their health checks. Without a circuit breaker this goes on forever.
    NeverHealthy,
    /// ECS cannot place a task: nothing fails and nothing runs.
    Stalls,
    /// The deployment pauses as if the stage had a pause hook. Then it succeeds.
    PausesAt(Stage),
    /// An alarm of the service fires once the tasks run. Without alarms the deployment succeeds.
    AlarmFires,
}

/// How ECS's own rollback ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WayBack {
    Succeeds,
    Fails,
    /// The rollback stays in progress forever.
    Stalls,
}

/// A lifecycle stage of a service deployment.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    ReconcileService,
    PreScaleUp,
    ScaleUp,
    PostScaleUp,
    TestTrafficShift,
    PostTestTrafficShift,
    PreProductionTrafficShift,
    ProductionTrafficShift,
    PostProductionTrafficShift,
    BakeTime,
    CleanUp,
}

impl Stage {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReconcileService => "RECONCILE_SERVICE",
            Self::PreScaleUp => "PRE_SCALE_UP",
            Self::ScaleUp => "SCALE_UP",
            Self::PostScaleUp => "POST_SCALE_UP",
            Self::TestTrafficShift => "TEST_TRAFFIC_SHIFT",
            Self::PostTestTrafficShift => "POST_TEST_TRAFFIC_SHIFT",
            Self::PreProductionTrafficShift => "PRE_PRODUCTION_TRAFFIC_SHIFT",
            Self::ProductionTrafficShift => "PRODUCTION_TRAFFIC_SHIFT",
            Self::PostProductionTrafficShift => "POST_PRODUCTION_TRAFFIC_SHIFT",
            Self::BakeTime => "BAKE_TIME",
            Self::CleanUp => "CLEAN_UP",
        }
    }
}

/// An entry of `deployments[]`.
pub(super) struct StoredDeployment {
    pub(super) id: String,
    pub(super) definition: String,
    /// The ARN of the service revision.
    pub(super) revision: String,
    pub(super) state: &'static str,
    pub(super) reason: String,
    pub(super) failed: u32,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    /// The steps until a replaced deployment has drained. `None` until it is replaced.
    drains: Option<u32>,
}

/// A service revision. It never changes, except that its first running task fixes the image
/// digests.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceRevision.html>
pub(super) struct Revision {
    pub(super) arn: String,
    pub(super) definition: String,
    pub(super) created_at: Timestamp,
    pub(super) resolved: bool,
}

pub(super) struct Hook {
    pub(super) id: String,
    pub(super) status: &'static str,
    pub(super) expires_at: Timestamp,
    pub(super) timeout_action: String,
    stage: Stage,
}

pub(super) struct Back {
    pub(super) reason: String,
    pub(super) started_at: Timestamp,
    pub(super) revision: String,
}

/// A service deployment.
pub(super) struct StoredServiceDeployment {
    pub(super) arn: String,
    pub(super) source: Vec<String>,
    pub(super) target: String,
    pub(super) status: &'static str,
    pub(super) reason: Option<String>,
    pub(super) configuration: Value,
    pub(super) hooks: Vec<Hook>,
    pub(super) back: Option<Back>,
    pub(super) breaker: &'static str,
    pub(super) failures: u32,
    pub(super) threshold: u32,
    pub(super) alarms: Option<&'static str>,
    pub(super) created_at: Timestamp,
    pub(super) started_at: Option<Timestamp>,
    pub(super) finished_at: Option<Timestamp>,
    pub(super) stopped_at: Option<Timestamp>,
    pub(super) updated_at: Timestamp,
    outcome: DeploymentOutcome,
    path: Vec<Stage>,
    /// The index of the current stage in `path`.
    at: usize,
}

/// The cause of a rollback.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Because {
    Breaker,
    Alarm,
    Stopped,
    Hook(&'static str),
}

impl Because {
    /// Returns the reason as ECS words it.
    /// Users report ECS's words for the circuit breaker. The other texts imitate them.
    fn reason(self) -> String {
        let why = match self {
            Self::Breaker => "the circuit breaker threshold was exceeded.".to_owned(),
            Self::Alarm => "one or more alarms were triggered.".to_owned(),
            Self::Stopped => "a stop was requested.".to_owned(),
            Self::Hook(stage) => format!("{stage} lifecycle hook(s) failed."),
        };
        format!("Service deployment rolled back because {why}")
    }
}

impl StoredServiceDeployment {
    pub(super) fn stage(&self) -> Option<Stage> {
        self.started_at.and(self.path.get(self.at).copied())
    }

    /// Whether the status is final.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-deployment.html>
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.status, "SUCCESSFUL" | "STOPPED" | "ROLLBACK_SUCCESSFUL" | "ROLLBACK_FAILED")
    }

    pub(super) fn becomes(&mut self, status: &'static str, at: Timestamp) {
        self.status = status;
        self.updated_at = at;
        if self.has_ended() {
            self.finished_at = Some(at);
        }
        if status == "STOPPED" {
            self.stopped_at = Some(at);
        }
    }

    /// Returns the id of the pause hook at which the deployment waits.
    pub(super) fn waiting_hook(&self) -> Option<&str> {
        self.hooks.iter().find(|hook| hook.status == "AWAITING_ACTION").map(|hook| hook.id.as_str())
    }

    fn is_on(&self, what: &str, switch: &str) -> bool {
        self.configuration[what][switch] == true
    }
}

/// Returns the failure threshold of a circuit breaker.
///
/// The default is half of the desired count, at least 3 and at most 200.
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

/// Returns the stages of a deployment, in order.
/// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/blue-green-deployment-how-it-works.html>
///
/// The other stages of a rolling deployment are not documented. The fake lets it scale up, and adds
/// only stages with a pause hook.
fn path(configuration: &Value, several: bool, pauses_at: Option<Stage>) -> Vec<Stage> {
    use Stage::*;
    let shift = [PreProductionTrafficShift, ProductionTrafficShift];
    let times = match configuration["strategy"].as_str() {
        Some("BLUE_GREEN") => 1,
        // "A canary shifts twice: its percent, and the rest."
        Some("CANARY") => 2,
        Some("LINEAR") => {
            let percent = configuration["linearConfiguration"]["stepPercent"].as_f64().unwrap_or(10.0);
            (1..=34).find(|step| f64::from(*step) * percent >= 100.0).unwrap_or(34)
        }
        _ => {
            let hooked = |stage: &Stage| {
                *stage == ScaleUp || pauses_at == Some(*stage) || has_hook(configuration, *stage)
            };
            let all =
                [ReconcileService, PreScaleUp, ScaleUp, PostScaleUp, PostProductionTrafficShift, BakeTime];
            return all.into_iter().filter(hooked).collect();
        }
    };
    let mut path = if several { vec![ReconcileService] } else { Vec::new() };
    path.extend([PreScaleUp, ScaleUp, PostScaleUp, TestTrafficShift, PostTestTrafficShift]);
    for _ in 0..times {
        path.extend(shift);
    }
    path.extend([PostProductionTrafficShift, BakeTime, CleanUp]);
    path
}

/// Returns the configured pause hooks of a stage.
fn hooks(configuration: &Value, stage: Stage) -> impl Iterator<Item = &Value> {
    let all = configuration["lifecycleHooks"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter(move |hook| {
        let stages = hook["lifecycleStages"].as_array().map_or(&[][..], Vec::as_slice);
        stages.iter().any(|one| one == stage.as_str())
    })
}

fn has_hook(configuration: &Value, stage: Stage) -> bool {
    hooks(configuration, stage).next().is_some()
}

impl StoredService {
    /// Starts a deployment of the service's current task definition.
    ///
    /// "When a new deployment starts while another is in progress, that one is stopped": its status
    /// becomes `STOP_REQUESTED`. Its tasks stay until the new deployment has completed.
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
        // Without tasks to start, the deployment cannot fail. It completes at once.
        if self.desired == 0 {
            self.rollout().started_at = Some(at);
            self.succeed(home);
        }
    }

    /// Adds a new first entry to `deployments[]`.
    fn begin(&mut self, home: &mut EcsHome, definition: &str, revision: &str, reason: Option<String>) {
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

    fn rollout(&mut self) -> &mut StoredServiceDeployment {
        self.rollouts.last_mut().expect("the service has a service deployment")
    }

    fn primary(&mut self) -> &mut StoredDeployment {
        self.deployments.first_mut().expect("the service has a deployment")
    }

    /// Moves everything that is in progress by one step.
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

    /// Removes replaced deployments whose tasks have drained.
    fn drain(&mut self, home: &mut EcsHome) {
        if self.deployments.first().is_some_and(|primary| primary.state == "COMPLETED") {
            self.run(home, usize::MAX); // early success did not wait for these tasks
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

    /// Begins a stage.
    fn enter(&mut self, home: &mut EcsHome) {
        let (now, outcome) = (home.clock.stamp(), self.rollout().outcome);
        let Some(stage) = self.rollout().stage() else { return self.succeed(home) };
        let configuration = self.rollout().configuration.clone();
        // The timeout in minutes and the action of each hook:
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

    /// Ends a pause: the stage continues, or the deployment rolls back.
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

    /// Starts or stops tasks until the primary deployment has the desired count.
    pub(super) fn scale(&mut self, home: &mut EcsHome) {
        let Some(primary) = self.deployments.first() else { return };
        let (id, definition, completed) =
            (primary.id.clone(), primary.definition.clone(), primary.state == "COMPLETED");
        if self.desired == 0 {
            let ids: Vec<_> = self.deployments.iter().map(|one| one.id.clone()).collect();
            return ids.iter().for_each(|id| self.stop_all(home, id, &Stop::Scaled));
        }
        // A deployment that has not reached `SCALE_UP` yet starts its tasks there.
        let started = self.tasks.iter().any(|task| task.is_of(&id));
        let scales_up = self.rollouts.last().is_some_and(|last| last.stage() == Some(Stage::ScaleUp));
        let comes_back = self.rollouts.last().is_some_and(|last| last.status == "ROLLBACK_IN_PROGRESS");
        if !(started || completed || scales_up || comes_back) || primary.state == "FAILED" {
            return;
        }
        let wanted = self.desired as usize;
        let mut live: Vec<usize> =
            (0..self.tasks.len()).filter(|at| self.tasks[*at].is_of(&id) && self.tasks[*at].wanted).collect();
        let now = home.clock.stamp();
        while live.len() > wanted {
            let at = live.pop().expect("there are more tasks than wanted");
            self.tasks[at].stops(now, &Stop::Scaled);
            home.tell_of_task(&self.tasks[at]);
        }
        let missing = wanted - live.len();
        for _ in 0..missing {
            let Some(mut task) = StoredTask::new(home, self, &definition, &id) else { return };
            if completed {
                task.runs(now);
            }
            home.tell_of_task(&task);
            self.tasks.push(task);
        }
        if missing > 0 && !completed {
            self.says(home, &format!("has started {missing} tasks."));
        }
    }

    /// Lets the pending tasks of the primary deployment run, or enough of them for early success.
    fn scaled_up(&mut self, home: &mut EcsHome) {
        let early = &self.rollout().configuration["earlySuccessCriteria"];
        let percent =
            if early["enable"] == true { early["healthyPercent"].as_u64().unwrap_or(100) } else { 100 };
        let enough = (u64::from(self.desired) * percent).div_ceil(100);
        self.run(home, usize::try_from(enough).unwrap_or(usize::MAX));
    }

    fn run(&mut self, home: &mut EcsHome, most: usize) {
        let now = home.clock.stamp();
        let (id, revision) = (self.primary().id.clone(), self.primary().revision.clone());
        let pending = |task: &&mut StoredTask| task.is_of(&id) && task.last == Last::Pending && task.wanted;
        let mut any = false;
        for task in self.tasks.iter_mut().filter(pending).take(most) {
            task.runs(now);
            home.tell_of_task(task);
            any = true;
        }
        // "The first started task fixes the digests":
        // <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html>
        if let Some(revision) = self.revisions.iter_mut().find(|one| any && one.arn == revision) {
            revision.resolved = true;
        }
    }

    fn never_healthy(&mut self, home: &mut EcsHome) {
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

    /// Fails the tasks of the primary deployment once more.
    /// The first time counts as one failure. The second time reaches the circuit breaker's
    /// threshold.
    fn fail(&mut self, home: &mut EcsHome, why: &Stop) {
        let id = self.primary().id.clone();
        // A task must run before it can exit.
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

    /// Marks the deployment as failed, as ECS does when it detects the failure.
    ///
    /// "A deployment in FAILED state doesn't launch any new tasks."
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Deployment.html>
    fn break_off(&mut self, home: &mut EcsHome, because: Because, back: bool) {
        let now = home.clock.stamp();
        // The text for an alarm imitates the one for the circuit breaker.
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
            // The event says "task", the service says "tasks".
            Because::Breaker => "ECS deployment circuit breaker: task failed to start.",
            _ => reason,
        };
        home.tell_of_deployment(self, &id, "FAILED", told);
        self.says(home, &format!("(deployment {id}) deployment failed: tasks failed to start."));
        if back {
            return self.go_back(home, because);
        }
        // "The service deployment stops when the rollback option is not in use and the service fails."
        // <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html>
        let rollout = self.rollout();
        rollout.becomes("STOPPED", now);
        let why = because.reason().replace("rolled back", "stopped");
        rollout.reason = Some(why);
    }

    /// Begins a rollback to the most recent completed deployment.
    /// Until that deployment has completed again, there is nothing else to roll back to.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html>
    pub(super) fn go_back(&mut self, home: &mut EcsHome, because: Because) {
        let now = home.clock.stamp();
        let candidate = self.completed.take();
        let candidate = candidate.and_then(|id| self.deployments.iter().find(|one| one.id == id));
        let Some(candidate) = candidate else {
            // The guide says "no new tasks are launched, and the deployment is stalled". Users
            // report that it ends with the message below instead. `WayBack::Stalls` follows the
            // guide. The other values follow the users.
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

    fn arrive_back(&mut self, home: &mut EcsHome) {
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

    fn succeed(&mut self, home: &mut EcsHome) {
        if self.rollout().breaker == "MONITORING" {
            self.rollout().breaker = "MONITORING_COMPLETE";
        }
        if self.rollout().alarms == Some("MONITORING") {
            self.rollout().alarms = Some("MONITORING_COMPLETE");
        }
        self.complete(home, "SUCCESSFUL");
    }

    fn complete(&mut self, home: &mut EcsHome, status: &'static str) {
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
        // With early success, the deployment is `SUCCESSFUL` before all new tasks have started.
        // With the deferred cleanup, it is `SUCCESSFUL` before the old tasks have stopped.
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

    /// Stops all tasks of a deployment.
    fn stop_all(&mut self, home: &mut EcsHome, id: &str, why: &Stop) {
        let now = home.clock.stamp();
        for task in self.tasks.iter_mut().filter(|task| task.is_of(id) && task.lives()) {
            task.stops(now, why);
            home.tell_of_task(task);
        }
    }

    /// Ends one running task of the primary deployment. A new task replaces it.
    pub(super) fn crash_one(&mut self, home: &mut EcsHome, exit_code: i64) {
        let now = home.clock.stamp();
        let id = self.primary().id.clone();
        let running = |task: &&mut StoredTask| task.is_of(&id) && task.last == Last::Running && task.wanted;
        if let Some(task) = self.tasks.iter_mut().find(running) {
            task.stops(now, &Stop::Exited(exit_code));
            home.tell_of_task(task);
        }
        self.scale(home);
    }

    /// Returns a service revision as `DescribeServiceRevisions` shows it.
    pub(super) fn described_revision(&self, home: &EcsHome, revision: &Revision) -> Value {
        let definition = home.definitions.by_arn(&revision.definition);
        let containers = definition.map_or(&[][..], |definition| definition.containers());
        let images: Vec<_> = containers
            .iter()
            .map(|container| {
                let image = container["image"].as_str().unwrap_or_default();
                let mut shown = json!({ "containerName": container["name"], "image": image });
                let digest = if revision.resolved { home.digest(image) } else { None };
                if let Some(digest) = digest {
                    shown["imageDigest"] = json!(digest);
                }
                shown
            })
            .collect();
        json!({
            "serviceRevisionArn": revision.arn,
            "serviceArn": self.arn,
            "clusterArn": self.cluster_arn,
            "taskDefinition": revision.definition,
            "launchType": self.launch_type,
            "loadBalancers": self.members.get("loadBalancers").cloned().unwrap_or_else(|| json!([])),
            "networkConfiguration": self.members.get("networkConfiguration"),
            "containerImages": images,
            "guardDutyEnabled": false,
            "createdAt": epoch(revision.created_at),
        })
    }
}
