//! The interface through which a test changes and inspects the fake, without HTTP.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::deployment::{DeploymentOutcome, WayBack};
use super::home::EcsHome;
use super::service::StoredService;
use super::task::{Last, Stop, TaskHealth};
use super::throttle::TABLE;
use super::world::{EcsCall, EcsWorld};
use crate::fake::buckets::Buckets;
use crate::fake::clock::epoch;
use crate::fake::input::Refused;

/// A handle through which a test changes and inspects the fake.
#[derive(Clone)]
pub struct Ecs {
    world: Arc<Mutex<EcsWorld>>,
    meddling: Arc<Mutex<Vec<Meddling>>>,
}

/// A test's action that the fake runs just before or just after a call.
struct Meddling {
    number: usize,
    after: bool,
    act: Box<dyn FnOnce(&Ecs) + Send>,
}

/// The value of `imageDigest` that ECS reports for a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reported {
    /// A digest, for example of one platform's image in an image index, or of an unrelated image.
    Digest(String),
    /// No digest. ECS reports no digest before it has pulled the image. Some agents never report a
    /// digest.
    Nothing,
}

impl Reported {
    fn digest(&self) -> Option<String> {
        match self {
            Self::Digest(digest) => Some(digest.clone()),
            Self::Nothing => None,
        }
    }
}

impl Ecs {
    pub(super) fn new(world: EcsWorld) -> Self {
        Self { world: Arc::new(Mutex::new(world)), meddling: Arc::default() }
    }

    pub(super) fn world(&self) -> MutexGuard<'_, EcsWorld> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meddling(&self) -> MutexGuard<'_, Vec<Meddling>> {
        self.meddling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a cluster without services.
    pub fn cluster(&self, name: &str) {
        self.world().clusters.insert(name.to_owned());
    }

    /// Returns a handle of the service with the name `cluster/service`. The service need not exist
    /// yet: [`Service::runs`] describes a new service.
    #[track_caller]
    pub fn service(&self, name: &str) -> Service<'_> {
        let (cluster, name) = name.split_once('/').expect("a service is named cluster/service");
        Service { ecs: self, cluster: cluster.to_owned(), name: name.to_owned() }
    }

    /// Registers a revision of a task definition, as another user of ECS does. Returns the
    /// revision's ARN. Also accepts tags that begin with `aws:`, as CloudFormation sets them.
    #[track_caller]
    pub fn registers(&self, request: &Value) -> String {
        let members: Map<_, _> = request.as_object().cloned().expect("a request is an object");
        let registered = self.world().home.registered_by_aws(&members);
        registered.unwrap_or_else(|refused| panic!("{}: {}", refused.kind, refused.message))
    }

    /// Deregisters a revision by its ARN or by `family:revision`, as another user of ECS does.
    #[track_caller]
    pub fn deregisters(&self, task_definition: &str) {
        let done = self.world().home.deregister(task_definition).map(drop);
        done.unwrap_or_else(|refused| panic!("{}: {}", refused.kind, refused.message));
    }

    /// Sets the digest that ECS reports for all containers of an image. By default, ECS reports the
    /// digest in the image's reference.
    pub fn reports(&self, image: &str, reported: &Reported) {
        self.world().home.reported.push((image.to_owned(), reported.digest()));
    }

    /// Simulates a newer version of ECS. Descriptions of task definitions that are registered from
    /// now on have additional fields, and lists whose order has no meaning are reversed.
    pub fn becomes_newer(&self) {
        self.world().home.is_newer = true;
    }

    /// Lets deployments advance only by calls to [`advance`](Self::advance). Descriptions no longer
    /// advance deployments.
    pub fn by_hand(&self) {
        self.world().by_hand = true;
    }

    /// Advances the deployments of every service by one step.
    pub fn advance(&self) {
        let mut world = self.world();
        let EcsWorld { services, home, .. } = &mut *world;
        services.iter_mut().for_each(|service| service.advance(home));
    }

    pub fn now(&self) -> Timestamp {
        self.world().home.clock.now()
    }

    pub fn time_passes(&self, time: SignedDuration) {
        self.world().home.clock.time_passes(time);
    }

    /// Starts to throttle calls at ECS's documented rates, by the fake's clock.
    pub fn throttles(&self) {
        let mut world = self.world();
        world.buckets = Some(Buckets::full(TABLE, world.home.clock.now()));
    }

    /// Lets the next call of an operation fail with an error and without any effect. If a test adds
    /// several errors for one operation, each error applies to one call, in the order of addition.
    pub fn refuses_next(&self, operation: &str, status: u16, kind: &str) {
        let refused = Refused::new(status, kind, "told by the test");
        self.world().refusals.push((operation.to_owned(), refused));
    }

    /// Lets every later call of an operation fail if the call's body contains `part`.
    pub fn keeps_refusing(&self, operation: &str, part: &str, refusal: (u16, &str, &str)) {
        let (status, kind, message) = refusal;
        let refused = Refused::new(status, kind, message);
        self.world().standing_refusals.push((operation.to_owned(), part.to_owned(), refused));
    }

    /// Removes the refusals that [`keeps_refusing`](Self::keeps_refusing) has added.
    pub fn takes_all_again(&self) {
        self.world().standing_refusals.clear();
    }

    /// Returns the ARN and the registered fields of the newest `ACTIVE` revision in a task
    /// definition family. ECS uses this revision if a request names only the family.
    pub fn newest_of(&self, family: &str) -> Option<(String, Value)> {
        let world = self.world();
        world.home.definitions.named(family).map(|newest| (newest.arn.clone(), newest.as_registered()))
    }

    /// Delays `currentServiceDeployment`: while the newest service deployment is `PENDING`, this
    /// field contains the ARN of the previous service deployment.
    pub fn names_service_deployments_late(&self) {
        self.world().names_late = true;
    }

    /// Hides the last update of each service from descriptions and lists while `late` is true.
    pub fn shows_updates_late(&self, late: bool) {
        self.world().shows_late = late;
    }

    /// Returns every call so far, in order. Refused calls are included.
    pub fn calls(&self) -> Vec<EcsCall> {
        self.world().calls.clone()
    }

    /// Returns the number of calls of an operation so far.
    pub fn count(&self, operation: &str) -> usize {
        self.world().calls.iter().filter(|call| call.operation == operation).count()
    }

    /// Returns the events for EventBridge since the last call of this method, in order.
    pub fn events(&self) -> Vec<Value> {
        std::mem::take(&mut self.world().home.events)
    }

    /// Runs an action just before a call that changes something. `number` is the number of that
    /// call among all such calls, counted from 1.
    pub fn before_change(&self, number: usize, act: impl FnOnce(&Self) + Send + 'static) {
        self.meddling().push(Meddling { number, after: false, act: Box::new(act) });
    }

    /// Runs an action just after a call that changes something, and before the fake responds.
    /// `number` is the number of that call among all such calls, counted from 1.
    pub fn after_change(&self, number: usize, act: impl FnOnce(&Self) + Send + 'static) {
        self.meddling().push(Meddling { number, after: true, act: Box::new(act) });
    }

    /// Returns one message for each unknown request since the last call of this method.
    pub fn surprises(&self) -> Vec<String> {
        std::mem::take(&mut self.world().surprises)
    }

    pub(super) fn meddle(&self, number: usize, after: bool) {
        let is_due = |one: &mut Meddling| one.number == number && one.after == after;
        let due: Vec<Meddling> = self.meddling().extract_if(.., is_due).collect();
        for one in due {
            (one.act)(self);
        }
    }
}

/// A service of the fake.
pub struct Service<'a> {
    pub(super) ecs: &'a Ecs,
    pub(super) cluster: String,
    pub(super) name: String,
}

impl Service<'_> {
    #[track_caller]
    fn with<T>(&self, act: impl FnOnce(&mut StoredService, &mut EcsHome) -> T) -> T {
        let mut world = self.ecs.world();
        let at = world.place(&self.cluster, &self.name);
        let at = at.unwrap_or_else(|| panic!("there is no service {}/{}", self.cluster, self.name));
        let EcsWorld { services, home, .. } = &mut *world;
        act(&mut services[at], home)
    }

    /// Sets the outcome of the next deployment. If a test sets several outcomes, each applies to
    /// one deployment, in order. All deployments after these succeed.
    #[track_caller]
    pub fn will(&self, outcome: DeploymentOutcome) -> &Self {
        self.with(|service, _| service.outcomes.push_back(outcome));
        self
    }

    /// Sets the outcome of the rollbacks that ECS itself starts for this service.
    #[track_caller]
    pub fn way_back(&self, way: WayBack) -> &Self {
        self.with(|service, _| service.way_back = way);
        self
    }

    /// Advances the service's deployments by one step.
    #[track_caller]
    pub fn advance(&self) -> &Self {
        self.with(|service, home| service.advance(home));
        self
    }

    /// Continues a deployment that waits at a pause hook, as another user of ECS does.
    #[track_caller]
    pub fn continues(&self) -> &Self {
        self.with(|service, home| {
            let waits = service.rollouts.last().and_then(|last| last.waiting_hook());
            let hook = waits.expect("the deployment is paused").to_owned();
            service.settle_hook(home, &hook, "SUCCEEDED", true);
        });
        self
    }

    /// Deploys another image in the first container, as another user of ECS does. Returns the id of
    /// the deployment.
    #[track_caller]
    pub fn deploys_meanwhile(&self, image: &str) -> String {
        self.with(|service, home| {
            let arn = service.definition.clone().expect("a service that ECS deploys");
            let definition = home.definitions.by_arn(&arn).expect("the revision exists");
            let mut members = definition.members.clone();
            if let Some(container) = members.get_mut("containerDefinitions").and_then(|all| all.get_mut(0)) {
                container["image"] = json!(image);
            }
            let registered = home.registered_by_aws(&members);
            service.definition = Some(registered.unwrap_or_else(|refused| panic!("{}", refused.message)));
            service.deploy(home);
            service.deployments[0].id.clone()
        })
    }

    /// Deploys this revision of a task definition, as another user of ECS does.
    #[track_caller]
    pub fn deploys_revision_meanwhile(&self, task_definition: &str) -> &Self {
        self.with(|service, home| {
            service.definition = Some(task_definition.to_owned());
            service.deploy(home);
        });
        self
    }

    /// Changes the desired count, as auto scaling or another user of ECS does.
    #[track_caller]
    pub fn scales_to(&self, desired: u32) -> &Self {
        self.with(|service, home| {
            service.desired = desired;
            service.scale(home);
        });
        self
    }

    /// Stops one of the running tasks with an exit code. ECS starts a new task as a replacement.
    #[track_caller]
    pub fn a_task_crashes(&self, exit_code: i64) -> &Self {
        self.with(|service, home| service.crash_one(home, exit_code));
        self
    }

    /// Ends a nonessential container of each running task. The reason may be empty, since ECS often
    /// reports none.
    #[track_caller]
    pub fn a_container_ends(&self, name: &str, exit_code: i64, reason: &str) -> &Self {
        self.with(|service, home| {
            for task in service.tasks.iter_mut().filter(|task| task.last == Last::Running && task.wanted) {
                task.container_ends(name, exit_code, reason);
                home.tell_of_task(task);
            }
        });
        self
    }

    /// Lets the health checks of all running tasks fail. Containers without a health check do not
    /// change.
    #[track_caller]
    pub fn becomes_unhealthy(&self) -> &Self {
        self.with(|service, home| {
            for task in service.tasks.iter_mut().filter(|task| task.last == Last::Running && task.wanted) {
                task.becomes(TaskHealth::Unhealthy);
                home.tell_of_task(task);
            }
        });
        self
    }

    /// Sets the digest that ECS reports for the first container of one running task.
    #[track_caller]
    pub fn a_task_reports(&self, reported: &Reported) -> &Self {
        self.with(|service, _| {
            let running = service.tasks.iter_mut().rfind(|task| task.last == Last::Running && task.wanted);
            let container = running.and_then(|task| task.containers.first_mut());
            container.expect("a running task").reports = Some(reported.digest());
        });
        self
    }

    /// Sets the service's status to `DRAINING`, as if another user of ECS had just deleted the
    /// service. The service's tasks still run.
    #[track_caller]
    pub fn is_draining(&self) -> &Self {
        self.with(|service, _| (service.status, service.desired) = ("DRAINING", 0));
        self
    }

    /// Deletes the service and stops its tasks, as another user of ECS does.
    #[track_caller]
    pub fn is_deleted(&self) -> &Self {
        self.with(|service, home| {
            (service.status, service.desired) = ("INACTIVE", 0);
            let now = home.clock.stamp();
            for task in service.tasks.iter_mut().filter(|task| task.lives()) {
                task.stops(now, &Stop::Scaled);
                home.tell_of_task(task);
            }
            service.deployments.clear();
        });
        self
    }

    /// Makes descriptions of the service fail: `failures[]` contains the reason `ACCESS`.
    #[track_caller]
    pub fn is_unreachable(&self) -> &Self {
        self.with(|service, _| service.out_of_reach = true);
        self
    }

    #[track_caller]
    pub fn arn(&self) -> String {
        self.with(|service, _| service.arn.clone())
    }

    /// Returns the service in the form of `DescribeServices`. This method is not an ECS call, so no
    /// deployment advances.
    #[track_caller]
    pub fn described(&self) -> Value {
        self.with(|service, _| service.described(false))
    }

    /// Returns all tasks in the form of `DescribeTasks`. Stopped tasks are included.
    #[track_caller]
    pub fn tasks(&self) -> Vec<Value> {
        self.with(|service, home| service.tasks.iter().map(|task| task.described(home, epoch)).collect())
    }

    /// Returns the service deployments in the form of `DescribeServiceDeployments`, newest first.
    #[track_caller]
    pub fn service_deployments(&self) -> Vec<Value> {
        self.with(|service, _| {
            service.rollouts.iter().rev().map(|one| service.described_rollout(one)).collect()
        })
    }

    /// Returns the request that would register the service's task definition again, including its
    /// tags.
    #[track_caller]
    pub fn definition(&self) -> Value {
        self.with(|service, home| {
            let definition = service.definition.as_deref().and_then(|arn| home.definitions.by_arn(arn));
            definition.expect("a service that ECS deploys").as_registered()
        })
    }

    /// Returns the images of the containers in the service's task definition, in order.
    #[track_caller]
    pub fn images(&self) -> Vec<String> {
        self.with(|service, home| {
            let definition = service.definition.as_deref().and_then(|arn| home.definitions.by_arn(arn));
            let containers = definition.map_or(&[][..], |definition| definition.containers());
            let image = |container: &Value| container["image"].as_str().unwrap_or_default().to_owned();
            containers.iter().map(image).collect()
        })
    }
}
