//! The pushes, votes and rollback requests that reach the rules.

use jiff::SignedDuration;
use stablepin_rules::audit::Actor;
use stablepin_rules::image::{ImageTag, RepositoryName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{Occurrence, ServiceRollout, Subject, Token, Verdict};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::target::{To, intended, resolve};
use stablepin_rules::transition::{Decision, Form, Input, Opening, RollbackRequest, transition};

use super::{STABLE, World, approver, digest, start};

impl World {
    pub(crate) fn push(&mut self, at: i64, n: u8) -> Option<OperationId> {
        let opening = self.opening(at, n);
        let (id, digest) = (opening.id, digest(n));
        self.tags.insert(ImageTag::parse("main").unwrap(), digest.clone());
        let before = self.read(None, Some(&digest));
        let change = transition(self.now, &before, &[Input::Opened(Box::new(opening))]).unwrap();
        self.commit(&before, change);
        self.operations.contains_key(&id).then_some(id)
    }

    /// Returns the promotion request that the tagger makes from a push event.
    pub(crate) fn opening(&mut self, at: i64, n: u8) -> Opening {
        let id = self.id();
        let digest = digest(n);
        Opening {
            id,
            occurrence: Occurrence { at: start() + SignedDuration::from_secs(at), digest: digest.clone() },
            repository: RepositoryName::parse("web").unwrap(),
            pushed_tag: ImageTag::parse("main").unwrap(),
            commit: None,
            media_type: String::new(),
            size_bytes: None,
            platforms: Vec::new(),
            names_taken: 0,
            run: None,
            is_copied: false,
            asked_by: None,
            pushers: Default::default(),
            reason: None,
        }
    }

    /// Returns the token of the newest link that the approver has received.
    pub(crate) fn token(&self, operation: OperationId, name: &str) -> Option<Token> {
        let subject = self.subject(Some(operation), None);
        let asked = subject.promotion()?.asked.get(&approver(name))?;
        self.tokens.get(&asked.token).cloned()
    }

    pub(crate) fn vote(
        &mut self,
        operation: OperationId,
        name: &str,
        verdict: Verdict,
    ) -> Result<Subject, Refusal> {
        let decision = self.decision(operation, name, verdict);
        self.observe(Some(operation), None, &[Input::Decision(decision)])
    }

    /// Returns a vote with the approver's newest link.
    pub(crate) fn decision(&self, operation: OperationId, name: &str, verdict: Verdict) -> Decision {
        Decision {
            approver: approver(name),
            verdict,
            reason: Some("because".to_owned()),
            actor: Actor::Link { approver: approver(name) },
            form: self.token(operation, name).map(|token| Form {
                code: Some(token.code.clone()),
                token,
                typed: String::new(),
                facts: None,
            }),
        }
    }

    pub(crate) fn roll_back(&mut self, to: &str) -> Result<OperationId, Refusal> {
        let request = self.rollback_request(to)?;
        let id = request.id;
        self.observe(None, None, &[Input::RollbackRequested(Box::new(request))])?;
        Ok(id)
    }

    /// Returns a rollback request, with `to` resolved against the running digests.
    pub(crate) fn rollback_request(&mut self, to: &str) -> Result<RollbackRequest, Refusal> {
        let id = self.id();
        let live = self.prepare();
        let waiting = |(service, live)| ServiceRollout::waiting(service, live);
        let services: Vec<ServiceRollout> = live.into_iter().map(waiting).collect();
        let pinned = self.environment.pin.as_ref().map(|pin| pin.digest.clone());
        let intended = intended(&services, pinned.as_ref());
        let stable = ImageTag::parse(STABLE).unwrap();
        let target = resolve(&To::parse(to), &self.environment, &self.pins, &intended, &stable)?;
        Ok(RollbackRequest {
            id,
            to: to.to_owned(),
            target,
            resolved_at: self.environment.pin.as_ref().unwrap().number,
            reason: None,
            actor: Actor::Principal { arn: "arn:aws:iam::111122223333:user/operator".to_owned() },
            services,
        })
    }
}
