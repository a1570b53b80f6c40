//! What a test says and asks, beside the wire.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::deployments::{DeploymentOutcome, WayBack};
use super::new_service::NewService;
use super::services::StoredService;
use super::tasks::{Last, Stop, TaskHealth};
use super::throttle::TABLE;
use super::wire;
use super::world::{EcsCall, EcsWorld};
use crate::fake::buckets::Buckets;
use crate::fake::clock::epoch;
use crate::fake::input::Refused;
use crate::fake::server::Server;

/// The account that MiniStack is, so that names agree.
const ACCOUNT: &str = "000000000000";
const REGION: &str = "us-east-1";

/// The running fake. It ends when this is dropped; it then fails a test in which it was asked what it does not know.
pub struct EcsFake {
    ecs: Ecs,
    server: Server,
}

/// Everything that a test may say to the fake.
#[derive(Clone)]
pub struct Ecs(Arc<Mutex<EcsWorld>>);

/// Somebody who acts just before or after a call.
pub(super) struct Meddling {
    number: usize,
    after: bool,
    act: Box<dyn FnOnce(&Ecs) + Send>,
}

/// What a container's `imageDigest` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reported {
    /// Such as that of the platform's image within an index, or another one altogether.
    Digest(String),
    /// It is left out: agents do, and ECS before a pull.
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

impl EcsFake {
    /// On a free port, in the account and region of the local cloud.
    pub fn start() -> Self {
        Self::start_in(ACCOUNT, REGION)
    }

    pub fn start_in(account: &str, region: &str) -> Self {
        let ecs = Ecs(Arc::new(Mutex::new(EcsWorld::new(account, region))));
        let asked = ecs.clone();
        Self { ecs, server: Server::start(move |request| wire::answer(&asked, request)) }
    }

    /// What `AWS_ENDPOINT_URL_ECS` is to be.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// For a proxy in front of it.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

impl Deref for EcsFake {
    type Target = Ecs;

    fn deref(&self) -> &Ecs {
        &self.ecs
    }
}

impl Drop for EcsFake {
    fn drop(&mut self) {
        let surprises = self.ecs.surprises();
        if !thread::panicking() {
            assert_eq!(surprises, Vec::<String>::new(), "the fake received requests that it does not know");
        }
    }
}

impl Ecs {
    pub(super) fn world(&self) -> MutexGuard<'_, EcsWorld> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A cluster without services.
    pub fn cluster(&self, name: &str) {
        self.world().clusters.insert(name.to_owned());
    }

    /// A service, as `cluster/service`: one that is there, or one to create with [`Service::runs`].
    #[track_caller]
    pub fn service(&self, name: &str) -> Service<'_> {
        let (cluster, name) = name.split_once('/').expect("a service is named cluster/service");
        Service { ecs: self, cluster: cluster.to_owned(), name: name.to_owned() }
    }

    /// Somebody registers a revision (CloudFormation too, which sets `aws:` tags); its ARN.
    #[track_caller]
    pub fn registers(&self, request: &Value) -> String {
        let members: Map<_, _> = request.as_object().cloned().expect("a request is an object");
        let registered = self.world().home.registered_by_aws(&members);
        registered.unwrap_or_else(|refused| panic!("{}: {}", refused.kind, refused.message))
    }

    /// Somebody deregisters a revision, by its ARN or `family:revision`.
    #[track_caller]
    pub fn deregisters(&self, task_definition: &str) {
        let done = self.world().home.deregister(task_definition).map(drop);
        done.unwrap_or_else(|refused| panic!("{}: {}", refused.kind, refused.message));
    }

    /// What running containers of an image report as its digest, instead of the one in its name.
    pub fn reports(&self, image: &str, reported: &Reported) {
        self.world().home.reported.push((image.to_owned(), reported.digest()));
    }

    /// From now on ECS answers more members of what is registered than it was given, and sets in another order.
    pub fn becomes_newer(&self) {
        self.world().home.is_newer = true;
    }

    /// Deployments move by [`advance`](Self::advance) only, from now on.
    pub fn by_hand(&self) {
        self.world().by_hand = true;
    }

    /// One step of every service's deployments.
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

    /// From now on, as ECS does: by its own clock.
    pub fn throttles(&self) {
        let mut world = self.world();
        world.buckets = Some(Buckets::full(TABLE, world.home.clock.now()));
    }

    /// The next call of an operation is answered with an error, and does nothing. Of several, in their order.
    pub fn refuses_next(&self, operation: &str, status: u16, kind: &str) {
        let refused = Refused::new(status, kind, "told by the test");
        self.world().refusals.push((operation.to_owned(), refused));
    }

    /// Every call of an operation is refused with these words from now on, where its body holds `part`.
    pub fn keeps_refusing(&self, operation: &str, part: &str, refusal: (u16, &str, &str)) {
        let (status, kind, message) = refusal;
        let refused = Refused::new(status, kind, message);
        self.world().standing_refusals.push((operation.to_owned(), part.to_owned(), refused));
    }

    /// None of those refusals any more.
    pub fn takes_all_again(&self) {
        self.world().standing_refusals.clear();
    }

    /// What whoever runs a family by its name gets, its newest `ACTIVE` revision: the ARN, and as it was registered.
    pub fn newest_of(&self, family: &str) -> Option<(String, Value)> {
        let world = self.world();
        world.home.definitions.named(family).map(|newest| (newest.arn.clone(), newest.as_registered()))
    }

    /// While a deployment is `PENDING`, its service still names the one before as current.
    pub fn names_service_deployments_late(&self) {
        self.world().names_late = true;
    }

    /// Until it is told otherwise, what is read of a service is as it was before its last update.
    pub fn shows_updates_late(&self, late: bool) {
        self.world().shows_late = late;
    }

    /// Every call that came, in order, refused or not.
    pub fn calls(&self) -> Vec<EcsCall> {
        self.world().calls.clone()
    }

    /// How many calls of an operation came.
    pub fn count(&self, operation: &str) -> usize {
        self.world().calls.iter().filter(|call| call.operation == operation).count()
    }

    /// What ECS would have sent to EventBridge since the last time that this was asked, in order.
    pub fn events(&self) -> Vec<Value> {
        std::mem::take(&mut self.world().home.events)
    }

    /// Somebody acts just before the call of that number, from 1, of those that change something.
    pub fn before_change(&self, number: usize, act: impl FnOnce(&Self) + Send + 'static) {
        self.world().meddling.push(Meddling { number, after: false, act: Box::new(act) });
    }

    /// The same, when it has been done and before it is answered.
    pub fn after_change(&self, number: usize, act: impl FnOnce(&Self) + Send + 'static) {
        self.world().meddling.push(Meddling { number, after: true, act: Box::new(act) });
    }

    /// What it was asked and does not know, since the last time that this was asked.
    pub fn surprises(&self) -> Vec<String> {
        std::mem::take(&mut self.world().surprises)
    }

    pub(super) fn meddle(&self, number: usize, after: bool) {
        let due: Vec<Meddling> = {
            let mut world = self.world();
            world.meddling.extract_if(.., |one| one.number == number && one.after == after).collect()
        };
        for one in due {
            (one.act)(self);
        }
    }
}

/// One service, and what happens to it.
pub struct Service<'a> {
    ecs: &'a Ecs,
    cluster: String,
    name: String,
}

impl<'a> Service<'a> {
    /// One to create, that runs this image.
    pub fn runs(&self, image: &str) -> NewService<'a> {
        NewService::new(self.ecs, &self.cluster, &self.name, image)
    }

    #[track_caller]
    fn with<T>(&self, act: impl FnOnce(&mut StoredService, &mut super::home::EcsHome) -> T) -> T {
        let mut world = self.ecs.world();
        let at = world.place(&self.cluster, &self.name);
        let at = at.unwrap_or_else(|| panic!("there is no service {}/{}", self.cluster, self.name));
        let EcsWorld { services, home, .. } = &mut *world;
        act(&mut services[at], home)
    }

    /// What the next deployment that starts will come to. Of several, one after the other; then they succeed.
    #[track_caller]
    pub fn will(&self, outcome: DeploymentOutcome) -> &Self {
        self.with(|service, _| service.outcomes.push_back(outcome));
        self
    }

    /// What ECS's own rollback will come to.
    #[track_caller]
    pub fn way_back(&self, way: WayBack) -> &Self {
        self.with(|service, _| service.way_back = way);
        self
    }

    /// One step of its deployments.
    #[track_caller]
    pub fn advance(&self) -> &Self {
        self.with(|service, home| service.advance(home));
        self
    }

    /// Somebody continues what waits at a pause hook.
    #[track_caller]
    pub fn continues(&self) -> &Self {
        self.with(|service, home| {
            let waits = service.rollouts.last().and_then(|last| last.waiting_hook());
            let hook = waits.expect("it is paused").to_owned();
            service.settle_hook(home, &hook, "SUCCEEDED", true);
        });
        self
    }

    /// Somebody else deploys another image in its first container; the deployment's id.
    #[track_caller]
    pub fn deploys_meanwhile(&self, image: &str) -> String {
        self.with(|service, home| {
            let arn = service.definition.clone().expect("a service that ECS deploys");
            let definition = home.definitions.by_arn(&arn).expect("its revision is there");
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

    /// Somebody else deploys this revision.
    #[track_caller]
    pub fn deploys_revision_meanwhile(&self, task_definition: &str) -> &Self {
        self.with(|service, home| {
            service.definition = Some(task_definition.to_owned());
            service.deploy(home);
        });
        self
    }

    /// Somebody, or auto scaling, changes how many tasks there should be.
    #[track_caller]
    pub fn scales_to(&self, desired: u32) -> &Self {
        self.with(|service, home| {
            service.desired = desired;
            service.scale(home);
        });
        self
    }

    /// One of its running tasks ends; another takes its place.
    #[track_caller]
    pub fn a_task_crashes(&self, exit_code: i64) -> &Self {
        self.with(|service, home| service.crash_one(home, exit_code));
        self
    }

    /// A nonessential container of each running task ends, for a reason where ECS tells one.
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

    /// All its running tasks that have a health check fail it, from now on.
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

    /// One of its running tasks says of its first container that it runs this.
    #[track_caller]
    pub fn a_task_reports(&self, reported: &Reported) -> &Self {
        self.with(|service, _| {
            let running = service.tasks.iter_mut().rfind(|task| task.last == Last::Running && task.wanted);
            let container = running.and_then(|task| task.containers.first_mut());
            container.expect("a running task").reports = Some(reported.digest());
        });
        self
    }

    /// Somebody deletes it, and its tasks still run.
    #[track_caller]
    pub fn is_draining(&self) -> &Self {
        self.with(|service, _| (service.status, service.desired) = ("DRAINING", 0));
        self
    }

    /// Somebody has deleted it.
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

    /// It is there, but not to be described: `failures[]` says `ACCESS`.
    #[track_caller]
    pub fn is_unreachable(&self) -> &Self {
        self.with(|service, _| service.out_of_reach = true);
        self
    }

    #[track_caller]
    pub fn arn(&self) -> String {
        self.with(|service, _| service.arn.clone())
    }

    /// As `DescribeServices` would show it now; nothing moves, and it is no call.
    #[track_caller]
    pub fn described(&self) -> Value {
        self.with(|service, _| service.described(false))
    }

    /// Its tasks as `DescribeTasks` would show them: all, stopped ones too.
    #[track_caller]
    pub fn tasks(&self) -> Vec<Value> {
        self.with(|service, home| service.tasks.iter().map(|task| task.described(home, epoch)).collect())
    }

    /// As `DescribeServiceDeployments` would show them: newest first.
    #[track_caller]
    pub fn service_deployments(&self) -> Vec<Value> {
        self.with(|service, _| {
            service.rollouts.iter().rev().map(|one| service.described_rollout(one)).collect()
        })
    }

    /// Its task definition as it was registered, tags and all.
    #[track_caller]
    pub fn definition(&self) -> Value {
        self.with(|service, home| {
            let definition = service.definition.as_deref().and_then(|arn| home.definitions.by_arn(arn));
            definition.expect("a service that ECS deploys").as_registered()
        })
    }

    /// The images of its task definition's containers, in their order.
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
