//! The interface through which a test controls and inspects the fake, without HTTP.

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

/// A handle through which a test controls and inspects the fake.
#[derive(Clone)]
pub struct Ecs {
    world: Arc<Mutex<EcsWorld>>,
    meddling: Arc<Mutex<Vec<Meddling>>>,
}

/// An action that runs just before or after a call.
struct Meddling {
    number: usize,
    after: bool,
    act: Box<dyn FnOnce(&Ecs) + Send>,
}

/// The `imageDigest` that a container reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reported {
    /// A digest, such as that of the platform's image in an index, or of an unrelated image.
    Digest(String),
    /// The member is left out, as by some agents, and by ECS before a pull.
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

    /// Returns a service by `cluster/service`: an existing one, or one to create with
    /// [`Service::runs`].
    #[track_caller]
    pub fn service(&self, name: &str) -> Service<'_> {
        let (cluster, name) = name.split_once('/').expect("a service is named cluster/service");
        Service { ecs: self, cluster: cluster.to_owned(), name: name.to_owned() }
    }

    /// Registers a revision, as another user does. Returns its ARN.
    /// Tags that begin with `aws:` are allowed, as CloudFormation sets them.
    #[track_caller]
    pub fn registers(&self, request: &Value) -> String {
        let members: Map<_, _> = request.as_object().cloned().expect("a request is an object");
        let registered = self.world().home.registered_by_aws(&members);
        registered.unwrap_or_else(|refused| panic!("{}: {}", refused.kind, refused.message))
    }

    /// Deregisters a revision by its ARN or `family:revision`, as another user does.
    #[track_caller]
    pub fn deregisters(&self, task_definition: &str) {
        let done = self.world().home.deregister(task_definition).map(drop);
        done.unwrap_or_else(|refused| panic!("{}: {}", refused.kind, refused.message));
    }

    /// Sets the digest that running containers of an image report, instead of the one in its name.
    pub fn reports(&self, image: &str, reported: &Reported) {
        self.world().home.reported.push((image.to_owned(), reported.digest()));
    }

    /// Behaves like a newer ECS from now on.
    /// Answers show additional members of registered task definitions, and sets in another order.
    pub fn becomes_newer(&self) {
        self.world().home.is_newer = true;
    }

    /// Lets only [`advance`](Self::advance) move deployments, from now on.
    pub fn by_hand(&self) {
        self.world().by_hand = true;
    }

    /// Moves the deployments of every service by one step.
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

    /// Throttles calls from now on, as ECS does. The buckets follow the fake's clock.
    pub fn throttles(&self) {
        let mut world = self.world();
        world.buckets = Some(Buckets::full(TABLE, world.home.clock.now()));
    }

    /// Answers the next call of an operation with an error. The call does nothing.
    /// Several refusals apply in the order in which they were added.
    pub fn refuses_next(&self, operation: &str, status: u16, kind: &str) {
        let refused = Refused::new(status, kind, "told by the test");
        self.world().refusals.push((operation.to_owned(), refused));
    }

    /// Refuses every call of an operation whose body contains `part`, from now on.
    pub fn keeps_refusing(&self, operation: &str, part: &str, refusal: (u16, &str, &str)) {
        let (status, kind, message) = refusal;
        let refused = Refused::new(status, kind, message);
        self.world().standing_refusals.push((operation.to_owned(), part.to_owned(), refused));
    }

    /// Removes the refusals of [`keeps_refusing`](Self::keeps_refusing).
    pub fn takes_all_again(&self) {
        self.world().standing_refusals.clear();
    }

    /// Returns the ARN and the registered members of a family's newest `ACTIVE` revision.
    /// Tasks that are started by the family's name get this revision.
    pub fn newest_of(&self, family: &str) -> Option<(String, Value)> {
        let world = self.world();
        world.home.definitions.named(family).map(|newest| (newest.arn.clone(), newest.as_registered()))
    }

    /// Lets a service name the previous service deployment as current while the newest is
    /// `PENDING`.
    pub fn names_service_deployments_late(&self) {
        self.world().names_late = true;
    }

    /// Lets answers show services as they were before their last update, while `late` is true.
    pub fn shows_updates_late(&self, late: bool) {
        self.world().shows_late = late;
    }

    /// Returns every call so far, in order, including refused ones.
    pub fn calls(&self) -> Vec<EcsCall> {
        self.world().calls.clone()
    }

    /// Returns the number of calls of an operation.
    pub fn count(&self, operation: &str) -> usize {
        self.world().calls.iter().filter(|call| call.operation == operation).count()
    }

    /// Returns the events that ECS would have sent to EventBridge, in order, since the last call of
    /// this method.
    pub fn events(&self) -> Vec<Value> {
        std::mem::take(&mut self.world().home.events)
    }

    /// Runs an action just before one of the calls that change something.
    /// `number` counts these calls, from 1.
    pub fn before_change(&self, number: usize, act: impl FnOnce(&Self) + Send + 'static) {
        self.meddling().push(Meddling { number, after: false, act: Box::new(act) });
    }

    /// Runs an action just after such a call has taken effect and before it is answered.
    pub fn after_change(&self, number: usize, act: impl FnOnce(&Self) + Send + 'static) {
        self.meddling().push(Meddling { number, after: true, act: Box::new(act) });
    }

    /// Returns the requests that the fake did not know, since the last call of this method.
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

    /// Decides how the next deployment ends. Several outcomes apply in order; later deployments
    /// succeed.
    #[track_caller]
    pub fn will(&self, outcome: DeploymentOutcome) -> &Self {
        self.with(|service, _| service.outcomes.push_back(outcome));
        self
    }

    /// Decides how ECS's own rollback ends.
    #[track_caller]
    pub fn way_back(&self, way: WayBack) -> &Self {
        self.with(|service, _| service.way_back = way);
        self
    }

    /// Moves the service's deployments by one step.
    #[track_caller]
    pub fn advance(&self) -> &Self {
        self.with(|service, home| service.advance(home));
        self
    }

    /// Continues a deployment that waits at a pause hook, as another user does.
    #[track_caller]
    pub fn continues(&self) -> &Self {
        self.with(|service, home| {
            let waits = service.rollouts.last().and_then(|last| last.waiting_hook());
            let hook = waits.expect("the deployment is paused").to_owned();
            service.settle_hook(home, &hook, "SUCCEEDED", true);
        });
        self
    }

    /// Deploys another image in the first container, as another user does. Returns the deployment's
    /// id.
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

    /// Deploys this revision, as another user does.
    #[track_caller]
    pub fn deploys_revision_meanwhile(&self, task_definition: &str) -> &Self {
        self.with(|service, home| {
            service.definition = Some(task_definition.to_owned());
            service.deploy(home);
        });
        self
    }

    /// Changes the desired count, as another user or auto scaling does.
    #[track_caller]
    pub fn scales_to(&self, desired: u32) -> &Self {
        self.with(|service, home| {
            service.desired = desired;
            service.scale(home);
        });
        self
    }

    /// Ends one of the running tasks. A new task replaces it.
    #[track_caller]
    pub fn a_task_crashes(&self, exit_code: i64) -> &Self {
        self.with(|service, home| service.crash_one(home, exit_code));
        self
    }

    /// Ends a nonessential container of each running task. The reason may be empty, since ECS often
    /// gives none.
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

    /// Makes all running tasks fail their health check, if they have one.
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

    /// Sets the digest that the first container of one running task reports.
    #[track_caller]
    pub fn a_task_reports(&self, reported: &Reported) -> &Self {
        self.with(|service, _| {
            let running = service.tasks.iter_mut().rfind(|task| task.last == Last::Running && task.wanted);
            let container = running.and_then(|task| task.containers.first_mut());
            container.expect("a running task").reports = Some(reported.digest());
        });
        self
    }

    /// Marks the service as `DRAINING`, as if another user had deleted it, while its tasks still
    /// run.
    #[track_caller]
    pub fn is_draining(&self) -> &Self {
        self.with(|service, _| (service.status, service.desired) = ("DRAINING", 0));
        self
    }

    /// Marks the service as deleted and stops its tasks, as another user does.
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

    /// Makes the service impossible to describe: `failures[]` says `ACCESS`.
    #[track_caller]
    pub fn is_unreachable(&self) -> &Self {
        self.with(|service, _| service.out_of_reach = true);
        self
    }

    #[track_caller]
    pub fn arn(&self) -> String {
        self.with(|service, _| service.arn.clone())
    }

    /// Returns the service as `DescribeServices` would show it now. This is not a call and moves
    /// nothing.
    #[track_caller]
    pub fn described(&self) -> Value {
        self.with(|service, _| service.described(false))
    }

    /// Returns all tasks as `DescribeTasks` would show them, including stopped ones.
    #[track_caller]
    pub fn tasks(&self) -> Vec<Value> {
        self.with(|service, home| service.tasks.iter().map(|task| task.described(home, epoch)).collect())
    }

    /// Returns the service deployments as `DescribeServiceDeployments` would show them, newest
    /// first.
    #[track_caller]
    pub fn service_deployments(&self) -> Vec<Value> {
        self.with(|service, _| {
            service.rollouts.iter().rev().map(|one| service.described_rollout(one)).collect()
        })
    }

    /// Returns the service's task definition as it was registered, with its tags.
    #[track_caller]
    pub fn definition(&self) -> Value {
        self.with(|service, home| {
            let definition = service.definition.as_deref().and_then(|arn| home.definitions.by_arn(arn));
            definition.expect("a service that ECS deploys").as_registered()
        })
    }

    /// Returns the images of the task definition's containers, in order.
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
