//! Runs a release from its approval to its end, or a rollback from its request to its end, against
//! the fake of ECS.

use std::cell::Cell;
use std::sync::OnceLock;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use xtask::image::Spec;
use xtask::podman::ECR_HOST;

use crate::crash::{Fault, ProgramRun, decision, rollback};
use crate::ecs_fake::{self, EcsFake, NewService};
use crate::{App, Link, Plan, Seed};

/// The services of the environment.
pub const SERVICES: [&str; 2] = ["web", "worker"];

/// The number of steps after which every rolling deployment in the fake has ended.
const STEPS: usize = 8;

/// The number of ticks within which an operation must end.
const TICKS: usize = 40;

/// Three saved states of one application, from which the tests start.
struct Begun {
    /// The state without a pin, in which the first build waits for approval.
    first: Seed,
    /// The state with pin 1, in which the second build waits for approval.
    next: Seed,
    /// The state with pins 1 and 2.
    pinned: Seed,
    links: [Link; 2],
    digests: [String; 2],
}

/// Returns the three states, and creates them at the first call. An approved build becomes a pin
/// immediately, since the application's setting is `deploy = "never"`.
fn begun() -> &'static Begun {
    static BEGUN: OnceLock<Begun> = OnceLock::new();
    BEGUN.get_or_init(|| {
        let app = Plan::new("release").services(SERVICES).create_with_fakes();
        let one = app.push("main", &Spec::new("1"));
        let first_link = app.link(&one);
        let first = Seed::of(&app);
        app.approve(&one);
        let two = app.push("main", &Spec::new("2"));
        let next_link = app.link(&two);
        let next = Seed::of(&app);
        app.approve(&two);
        let pinned = Seed::of(&app);
        Begun { first, next, pinned, links: [first_link, next_link], digests: [one, two] }
    })
}

/// An operation of one environment, and the fake of ECS on which the operation works.
pub struct Release {
    pub app: App,
    pub ecs: EcsFake,
    /// The digest that the operation deploys.
    pub digest: String,
    /// The digest that runs before the operation.
    pub before: String,
    link: Option<Link>,
    is_rollback: Cell<bool>,
}

impl Release {
    /// Returns the release of a second build to these services. The build waits for approval, and
    /// ECS runs pin 1.
    #[track_caller]
    pub fn next(services: &[&str]) -> Self {
        Self::next_with(services, "bake = \"0s\"")
    }

    /// Returns the release of a second build, with these `verify` settings in the application file.
    #[track_caller]
    pub fn next_with(services: &[&str], verify: &str) -> Self {
        Self::next_by(services, &format!("verify = {{ {verify} }}"))
    }

    /// Returns the release of a second build, with these environment settings in the application
    /// file.
    #[track_caller]
    pub fn next_by(services: &[&str], settings: &str) -> Self {
        let Begun { next, links: [_, link], digests: [one, two], .. } = begun();
        Self::of(deployed(next, services, settings), two, one, Some(link))
    }

    /// Returns the release of a first build, in an environment with the setting `deploy = "never"`.
    /// The build becomes pin 1 when the approver approves it.
    #[track_caller]
    pub fn pin_1() -> Self {
        let Begun { first, links: [link, _], digests: [one, two], .. } = begun();
        Self::of(first.copy(&[]), one, two, Some(link))
    }

    /// Returns the release of a first build. The application has no pin, and ECS runs another
    /// image.
    #[track_caller]
    pub fn first(services: &[&str]) -> Self {
        let Begun { first, links: [link, _], digests: [one, two], .. } = begun();
        Self::of(deployed(first, services, "verify = { bake = \"0s\" }"), one, two, Some(link))
    }

    /// Returns a rollback from pin 2 to pin 1. ECS runs pin 2.
    #[track_caller]
    pub fn back(services: &[&str]) -> Self {
        let Begun { pinned, digests: [one, two], .. } = begun();
        let all = listed(&pinned.plan.cluster, &SERVICES);
        let these = listed(&pinned.plan.cluster, services);
        Self::of(pinned.copy(&[(&all, &these)]), one, two, None)
    }

    /// Returns an operation of an isolated application. A release has the approver's link, and a
    /// rollback has no link.
    pub fn of(app: App, digest: &str, before: &str, link: Option<&Link>) -> Self {
        let (digest, before) = (digest.to_owned(), before.to_owned());
        let ecs = EcsFake::start();
        ecs.by_hand();
        Self { app, ecs, digest, before, link: link.cloned(), is_rollback: Cell::new(link.is_none()) }
    }

    /// Returns the reference to an image of the environment's repository, in the form that task
    /// definitions use.
    pub fn image(&self, digest: &str) -> String {
        format!("{ECR_HOST}/{}@{digest}", self.app.plan.repository)
    }

    /// Describes a service with two tasks. Each task runs the digest from before the operation, and
    /// a sidecar from another repository.
    pub fn new_service(&self, name: &str) -> NewService<'_> {
        let new = self.service(name).runs(&self.image(&self.before));
        new.desired(2).container("sidecar", "sidecar:1")
    }

    pub fn service(&self, name: &str) -> ecs_fake::Service<'_> {
        self.ecs.service(&format!("{}/{name}", self.app.plan.cluster))
    }

    /// Creates the services, with a circuit breaker that rolls back.
    #[track_caller]
    pub fn with(self, services: &[&str]) -> Self {
        for service in services {
            self.new_service(service).circuit_breaker(true).create();
        }
        self
    }

    /// Approves the build through the approver's link.
    #[track_caller]
    pub fn approve(&self, fault: Option<(usize, Fault)>) -> ProgramRun {
        let link = self.link.as_ref().expect("the approver has a link");
        self.app.invoke(Some(&self.ecs), "approval", &decision(link, "approve", "tried it"), fault)
    }

    /// Requests a rollback. From then on, [`record`](Self::record) returns the rollback.
    #[track_caller]
    pub fn ask_back(&self, to: &str, fault: Option<(usize, Fault)>) -> ProgramRun {
        self.sends_back(&json!({ "to": to, "confirm": "ROLLBACK", "reason": "500s" }), fault)
    }

    /// Requests a rollback of only some of the environment's services.
    pub fn ask_back_of(&self, to: &str, services: &[&str]) -> ProgramRun {
        let services: Value =
            serde_json::from_str(&listed(&self.app.plan.cluster, services)).expect("a JSON list");
        self.sends_back(
            &json!({ "to": to, "services": services, "confirm": "ROLLBACK", "reason": "500s" }),
            None,
        )
    }

    fn sends_back(&self, body: &Value, fault: Option<(usize, Fault)>) -> ProgramRun {
        self.is_rollback.set(true);
        self.app.invoke(Some(&self.ecs), "rollback", &rollback(&self.app.plan.name, body), fault)
    }

    /// Lets a minute pass, then runs a tick.
    #[track_caller]
    pub fn tick(&self, fault: Option<(usize, Fault)>) -> ProgramRun {
        self.a_minute_passes();
        self.looks_again(fault)
    }

    /// Runs a tick without letting a minute pass first.
    #[track_caller]
    pub fn looks_again(&self, fault: Option<(usize, Fault)>) -> ProgramRun {
        self.app.pauses_end();
        self.app.tick_with_fakes(Some(&self.ecs), fault)
    }

    /// Subtracts one minute from the times at which ECS accepted the deployments, as if a minute
    /// had passed.
    #[track_caller]
    fn a_minute_passes(&self) {
        let record = self.record();
        for member in ["rollout", "revert"] {
            let services = record[member]["services"].as_array().map_or(&[][..], Vec::as_slice);
            for (at, service) in services.iter().enumerate() {
                let Some(accepted) = service["started"]["at"].as_str() else { continue };
                let accepted: Timestamp = accepted.parse().expect("a time");
                let earlier = (accepted - SignedDuration::from_mins(1)).to_string();
                self.rewrite(&format!("{member}.services[{at}].started.at"), &earlier);
            }
        }
    }

    /// Delivers all undelivered deployment events of ECS to the promoter.
    #[track_caller]
    pub fn hears(&self) {
        for event in self.ecs.events() {
            if event["detail-type"] == "ECS Deployment State Change" {
                self.app.invoke(Some(&self.ecs), "promoter", &event, None);
            }
        }
    }

    /// Delivers to the promoter the event that reports the operation's end, as the stack's event
    /// bus does.
    #[track_caller]
    pub fn hears_of_its_end(&self) {
        assert!(self.has_ended(), "{:#}", self.operation());
        let (record, mut audit) = (self.record(), self.app.audit());
        audit.retain(|one| one["id"] == record["id"] && one["to"] == record["state"]);
        let detail = audit.pop().expect("the audit has the end");
        let event = json!({
            "version": "0", "source": "stablepin", "detail-type": detail["kind"],
            "account": "000000000000", "region": "us-east-1", "resources": [], "detail": detail,
        });
        let answer = self.app.invoke(Some(&self.ecs), "promoter", &event, None).answer;
        let answer = answer.expect("the function was not killed");
        assert!(answer["errorMessage"].is_null(), "{answer:#}");
    }

    /// Asserts that the service runs this digest and its sidecar, and that its deployment has
    /// completed.
    #[track_caller]
    pub fn runs(&self, service: &str, digest: &str) {
        let service = self.service(service);
        assert_eq!(service.images(), [self.image(digest), "sidecar:1".to_owned()]);
        let described = service.described();
        assert_eq!(described["deployments"][0]["rolloutState"], "COMPLETED", "{described:#}");
    }

    /// Advances ECS until its deployments have ended.
    pub fn settle(&self) {
        (0..STEPS).for_each(|_| self.ecs.advance());
    }

    /// Approves the build and runs a tick. ECS accepts the deployments in this tick, but does not
    /// advance them yet. Returns the operation's record.
    #[track_caller]
    pub fn begin(&self) -> Value {
        let run = self.approve(None);
        assert_eq!(run.answer.expect("the function was not killed")["statusCode"], 200);
        self.tick(None);
        self.record()
    }

    /// Approves the build, then advances ECS and runs ticks until the operation has ended. Returns
    /// the record.
    #[track_caller]
    pub fn runs_its_course(&self) -> Value {
        self.begin();
        self.ends()
    }

    #[track_caller]
    pub fn ends(&self) -> Value {
        for _ in 0..TICKS {
            if self.has_ended() {
                return self.record();
            }
            self.settle();
            self.tick(None);
        }
        panic!("the operation does not end: {:#}", self.record());
    }

    /// Runs a tick without advancing ECS. Returns the record.
    #[track_caller]
    pub fn looks(&self) -> Value {
        self.tick(None);
        self.record()
    }

    /// Overwrites a time in the operation's record.
    #[track_caller]
    pub fn rewrite(&self, path: &str, at: &str) {
        let (kind, work) =
            if self.is_rollback.get() { ("ROLLBACK", "Rollback") } else { ("PROMOTION", "Promotion") };
        let id = self.record()["id"].as_str().expect("an id").to_owned();
        self.app.rewrite(&format!("{kind}#{id}"), &format!("record.operation.work.{work}.{path}"), at);
    }

    /// Returns the record of the rollback, or of the newest promotion if the test has no rollback.
    #[track_caller]
    pub fn record(&self) -> Value {
        self.operation()["work"]
            .as_object()
            .and_then(|work| work.values().next())
            .cloned()
            .unwrap_or_default()
    }

    /// Returns the operation from its item in the table. Returns `Null` if the table has no such
    /// item.
    #[track_caller]
    pub fn operation(&self) -> Value {
        let prefix = if self.is_rollback.get() { "ROLLBACK#" } else { "PROMOTION#" };
        self.app.items(prefix).pop().map(|item| item["record"]["operation"].clone()).unwrap_or_default()
    }

    /// Returns whether the operation has ended and Stablepin has sent all its notifications.
    #[track_caller]
    pub fn has_ended(&self) -> bool {
        let operation = self.operation();
        let work = operation["work"].as_object().and_then(|work| work.values().next());
        let state = work.and_then(|work| work["state"].as_str()).unwrap_or_default();
        operation["wake_at"].is_null() && !matches!(state, "" | "Pending" | "Requested" | "InProgress")
    }
}

fn deployed(seed: &Seed, services: &[&str], settings: &str) -> App {
    let (all, these) = (listed(&seed.plan.cluster, &SERVICES), listed(&seed.plan.cluster, services));
    seed.copy(&[("deploy = \"never\"", settings), (&all, &these)])
}

/// Returns a list of services in the application file's format.
fn listed(cluster: &str, services: &[&str]) -> String {
    let names: Vec<_> = services.iter().map(|service| format!("{cluster}/{service}")).collect();
    json!(names).to_string()
}
