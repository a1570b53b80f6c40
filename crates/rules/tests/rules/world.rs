//! The world around the rules, in memory: a table with versions, a registry, services, approvers.
//! Tests choose when and how often the world carries out effects, and which outcomes are lost.

mod configured;
pub(crate) mod effects;
mod requests;
mod services;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use stablepin_rules::application::{Application, ServiceName};
use stablepin_rules::audit::{AuditRecord, Kind};
use stablepin_rules::build_tag::numbered;
use stablepin_rules::effect::{Effect, Observation, Outcome};
use stablepin_rules::image::{ImageDigest, ImageTag};
use stablepin_rules::name::{ApproverName, EnvironmentName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pending_effects::{pending_effects, take_lease};
use stablepin_rules::records::{
    Build, Checks, Configuration, Direction, Environment, Lease, Occurrence, Operation, Pin, PromotionState,
    Started, Subject, Token, TokenHash, Work,
};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::subscription_status::SubscriptionStatus;
use stablepin_rules::transition::{Change, Drifted, Input, joined, transition};
use stablepin_rules::validation::InvalidImage;
use uuid::Uuid;

pub(crate) use configured::{STABLE, application, deployed};

/// Returns the outcome of a deployment that ECS accepted.
pub(crate) fn deployed_as(deployment: &str, service: ServiceName) -> Outcome {
    let started = Started {
        deployment: deployment.to_owned(),
        service_deployment: None,
        task_definition: "td".to_owned(),
        health_checked: false,
        at: start(),
    };
    Outcome::Service(Direction::Forward, service, Observation::Deployed(started))
}

pub(crate) fn digest(n: u8) -> ImageDigest {
    ImageDigest::parse(&format!("sha256:{}", format!("{n:02x}").repeat(32))).unwrap()
}

pub(crate) fn approver(name: &str) -> ApproverName {
    ApproverName::parse(name).unwrap()
}

pub(crate) fn start() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

/// A started effect that has not taken place yet. The effect takes place before `until`, the end of
/// its lease, or never.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    pub(crate) operation: OperationId,
    pub(crate) effect: Effect,
    pub(crate) until: Timestamp,
}

const LEASE: SignedDuration = SignedDuration::from_secs(30);

/// The digest that a service runs, and the id of the deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) digest: ImageDigest,
    pub(crate) deployment: String,
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) now: Timestamp,
    pub(crate) configuration: Configuration,
    pub(crate) environment: Environment,
    pub(crate) builds: BTreeMap<ImageDigest, Build>,
    pub(crate) operations: BTreeMap<OperationId, Operation>,
    pub(crate) opened: BTreeSet<Occurrence>,
    pub(crate) pins: Vec<Pin>,
    pub(crate) intents: BTreeSet<(ImageTag, ImageDigest)>,
    pub(crate) audit: Vec<AuditRecord>,
    pub(crate) tokens: BTreeMap<TokenHash, Token>,
    /// The registry's tags.
    pub(crate) tags: BTreeMap<ImageTag, ImageDigest>,
    /// True if the registry's tags are immutable, so that each pin needs its own tag.
    pub(crate) immutable: bool,
    /// True if ECR refuses requests that put the stable tag.
    pub(crate) tags_are_refused: bool,
    /// True if ECR refuses requests that put build tags.
    pub(crate) build_tags_are_refused: bool,
    /// The digest that each service runs.
    pub(crate) services: BTreeMap<ServiceName, Running>,
    /// The digests whose tasks never become healthy.
    pub(crate) broken: BTreeSet<ImageDigest>,
    /// True if ECS's circuit breaker rolls broken digests back.
    pub(crate) breaker: bool,
    /// The approvers who receive no mail, each with the status of the approver's subscription.
    pub(crate) unreachable: BTreeMap<ApproverName, SubscriptionStatus>,
    /// The approvers to whom SNS refuses to send mail.
    pub(crate) mail_is_refused: BTreeSet<ApproverName>,
    /// The number of notifications that SNS has refused. None if SNS accepts notifications.
    pub(crate) notices_refused: Option<u32>,
    /// The defects that an inspection finds.
    pub(crate) defects: BTreeMap<ImageDigest, InvalidImage>,
    /// The checks that pipelines have reported.
    pub(crate) checks: BTreeMap<ImageDigest, Checks>,
    /// The times at which digests became pins of the earlier environment.
    pub(crate) earlier_pins: BTreeMap<ImageDigest, Timestamp>,
    /// The digests that fail the endpoint checks.
    pub(crate) unresponsive: BTreeSet<ImageDigest>,
    pub(crate) flights: Vec<Flight>,
    ids: u128,
}

impl World {
    pub(crate) fn new(application: Application) -> Self {
        let running = || Running { digest: digest(0), deployment: "theirs".to_owned() };
        let services =
            application.environments[0].services.iter().map(|name| (name.clone(), running())).collect();
        Self {
            now: start(),
            configuration: Configuration { application, version: 1 },
            environment: Environment::untouched(),
            builds: BTreeMap::new(),
            operations: BTreeMap::new(),
            opened: BTreeSet::new(),
            pins: Vec::new(),
            intents: BTreeSet::new(),
            audit: Vec::new(),
            tokens: BTreeMap::new(),
            tags: BTreeMap::new(),
            immutable: false,
            tags_are_refused: false,
            build_tags_are_refused: false,
            services,
            broken: BTreeSet::new(),
            breaker: false,
            unreachable: BTreeMap::new(),
            mail_is_refused: BTreeSet::new(),
            notices_refused: None,
            defects: BTreeMap::new(),
            checks: BTreeMap::new(),
            earlier_pins: BTreeMap::new(),
            unresponsive: BTreeSet::new(),
            flights: Vec::new(),
            ids: 0,
        }
    }

    /// Returns the state that decides what can happen next.
    pub(crate) fn facts(&self) -> impl std::fmt::Debug + '_ {
        (
            (self.now, &self.environment, &self.builds, &self.operations, &self.opened),
            (&self.pins, &self.intents, &self.tokens, &self.tags, &self.services),
        )
    }

    pub(crate) fn id(&mut self) -> OperationId {
        self.ids += 1;
        OperationId::new(Uuid::from_u128(self.ids))
    }

    pub(crate) fn uuid(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(u128::MAX - self.ids)
    }

    /// Returns the stable tag's current name in the configuration.
    pub(crate) fn stable_tag(&self) -> ImageTag {
        self.configuration.application.environments[0].stable_tag.clone()
    }

    pub(crate) fn current_tag(&self) -> ImageTag {
        ImageTag::parse("production-current").unwrap()
    }

    pub(crate) fn move_by_hand(&mut self, tag: &ImageTag, to: Option<ImageDigest>) {
        match to {
            Some(digest) => self.tags.insert(tag.clone(), digest),
            None => self.tags.remove(tag),
        };
    }

    /// Observes a tag, as the tagger or the sweep does. Returns the repair, if a repair starts.
    pub(crate) fn look_at_tag(&mut self, tag: &ImageTag) -> Option<OperationId> {
        let (id, tag, found) = (self.id(), tag.clone(), self.tags.get(tag).cloned());
        self.observe(None, None, &[Input::Drifted(Drifted { id, tag, found, by: None })]).unwrap();
        self.operations.contains_key(&id).then_some(id)
    }

    pub(crate) fn subject(&self, operation: Option<OperationId>, pushed: Option<&ImageDigest>) -> Subject {
        let operation = operation.and_then(|id| self.operations.get(&id).cloned());
        let of = operation.as_ref().and_then(|operation| match &operation.work {
            Work::Promotion(promotion) => Some(promotion.digest.clone()),
            Work::Rollback(_) | Work::Repair(_) | Work::LiveDrift(_) => None,
        });
        let build = pushed.cloned().or(of).and_then(|digest| self.builds.get(&digest).cloned());
        Subject {
            configuration: self.configuration.clone(),
            name: EnvironmentName::parse("production").unwrap(),
            environment: self.environment.clone(),
            build,
            operation,
        }
    }

    /// Reads the records for a decision. For a repeated push, these include the open promotion.
    pub(crate) fn read(&self, operation: Option<OperationId>, pushed: Option<&ImageDigest>) -> Subject {
        let asked = pushed.and_then(|digest| joined(self.now, &self.environment, digest));
        self.subject(operation.or(asked), pushed)
    }

    /// Runs the transition for the inputs, and commits the change. Calls never overlap, so a commit
    /// never fails with a conflict.
    pub(crate) fn observe(
        &mut self,
        operation: Option<OperationId>,
        pushed: Option<&ImageDigest>,
        observed: &[Input],
    ) -> Result<Subject, Refusal> {
        let before = self.subject(operation, pushed);
        let change = transition(self.now, &before, observed)?;
        Ok(self.commit(&before, change))
    }

    pub(crate) fn commit(&mut self, before: &Subject, change: Change) -> Subject {
        let Change { mut after, pin, intents, opened, token, audit } = change;
        if let Some(occurrence) = opened
            && !self.opened.insert(occurrence)
        {
            return before.clone();
        }
        if let Some(token) = token {
            let before = self.tokens.insert(token.hash.clone(), token).unwrap();
            assert_eq!(before.used_at, None, "rule 5: a token works once");
        }
        if after.environment != before.environment {
            after.environment.version += 1;
            self.environment = after.environment.clone();
        }
        if let Some(build) = &after.build {
            self.builds.insert(build.digest.clone(), build.clone());
        }
        if let Some(operation) = &mut after.operation {
            operation.version += 1;
            let ended = match &operation.work {
                Work::Promotion(promotion) => promotion.state.is_terminal(),
                Work::Rollback(rollback) => rollback.state.is_terminal(),
                Work::Repair(repair) => repair.repaired_at.is_some(),
                // Live drift needs a next check only while a notice is pending.
                Work::LiveDrift(_) => true,
            };
            // The tick finds operations by `wake_at`. Retention keeps an image while its operation
            // has a `wake_at`.
            assert!(
                ended || operation.wake_at.is_some(),
                "an unfinished operation must have a next check: {operation:?}"
            );
            self.operations.insert(operation.id(), operation.clone());
        }
        self.pins.extend(pin);
        self.intents.extend(intents.into_iter().map(|intent| (intent.tag, intent.digest)));
        self.audit.extend(audit);
        after
    }

    /// Sends an operation's notifications, and starts its other pending effects under a lease.
    pub(crate) fn begin(&mut self, operation: OperationId) {
        let lease = Lease { holder: self.uuid(), until: self.now + LEASE };
        let notifications = pending_effects(self.now, &self.subject(Some(operation), None), lease.holder)
            .into_iter()
            .filter(Effect::is_notification);
        let notifications: Vec<_> =
            notifications.map(|effect| Input::Outcome(self.take_effect(operation, &effect))).collect();
        if !notifications.is_empty() {
            self.observe(Some(operation), None, &notifications).unwrap();
        }
        let effects = pending_effects(self.now, &self.subject(Some(operation), None), lease.holder);
        if !effects.is_empty() {
            let until = lease.until;
            self.lease(operation, lease, &effects);
            self.flights.extend(effects.into_iter().map(|effect| Flight { operation, effect, until }));
        }
    }

    fn lease(&mut self, operation: OperationId, lease: Lease, carried_out: &[Effect]) {
        let mut subject = self.subject(Some(operation), None);
        take_lease(self.now, &mut subject, lease, carried_out);
        self.environment = subject.environment;
        self.operations.insert(operation, subject.operation.unwrap());
    }

    pub(crate) fn wait(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        let now = self.now;
        self.flights.retain(|flight| flight.until > now);
    }

    /// Carries out a started effect. Commits the outcome only if `heard` is true.
    pub(crate) fn land(&mut self, flight: usize, heard: bool) {
        let Flight { operation, effect, .. } = self.flights.swap_remove(flight);
        let outcome = self.take_effect(operation, &effect);
        if heard {
            self.observe(Some(operation), None, &[Input::Outcome(outcome)]).unwrap();
            if !self.flights.iter().any(|flight| flight.operation == operation)
                && let Some(lease) = self.operations[&operation].lease.clone()
            {
                self.lease(operation, lease, &[]);
            }
        }
    }

    pub(crate) fn tick(&mut self, operation: OperationId) {
        self.observe(Some(operation), None, &[Input::Tick]).unwrap();
    }

    /// Ticks every operation and carries out every effect, until nothing changes any more.
    pub(crate) fn settle(&mut self) {
        for _ in 0..200 + 30 * self.operations.len() {
            while !self.flights.is_empty() {
                self.land(0, true);
            }
            let ids: Vec<_> = self.operations.keys().copied().collect();
            for id in ids {
                self.tick(id);
                self.begin(id);
            }
            if self.flights.is_empty() && self.in_progress() == 0 {
                // The sweep finds the tags that moved without an event.
                let number = self.environment.pin.as_ref().map(|pin| pin.number).filter(|_| self.immutable);
                let stable = self.stable_tag();
                let stable = number.map_or(stable.clone(), |number| numbered(&stable, number));
                let tags = [stable, self.current_tag()];
                let drifted: Vec<_> = tags.iter().filter_map(|tag| self.look_at_tag(tag)).collect();
                if drifted.is_empty() {
                    return;
                }
            }
            self.wait(10);
        }
        panic!("the world never settles: {:#?}", self.operations);
    }

    fn in_progress(&self) -> usize {
        let running = |operation: &&Operation| match &operation.work {
            Work::Promotion(promotion) => promotion.state == PromotionState::InProgress,
            Work::Rollback(rollback) => !rollback.state.is_terminal(),
            Work::Repair(repair) => repair.repaired_at.is_none(),
            Work::LiveDrift(_) => false,
        };
        self.operations.values().filter(running).count()
    }

    pub(crate) fn tag(&self, name: &str) -> Option<&ImageDigest> {
        self.tags.get(&ImageTag::parse(name).unwrap())
    }

    pub(crate) fn audited(&self, kind: Kind) -> Vec<&AuditRecord> {
        self.audit.iter().filter(|record| record.kind == kind).collect()
    }
}
