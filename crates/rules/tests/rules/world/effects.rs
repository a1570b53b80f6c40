//! Carries out each effect in the world, and returns its outcome.

use stablepin_rules::build_tag::{latest, numbered};
use stablepin_rules::effect::{Effect, Outcome};
use stablepin_rules::image::{ImageDigest, ImageTag};
use stablepin_rules::name::EnvironmentName;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{CodeHash, CopyProgress, EarlierPin, NotPut, TakenTag, Token, TokenHash};
use stablepin_rules::validation::{InspectedImage, Inspection, judge};

use super::World;

/// The progress of a finished copy.
pub(crate) const COPIED: CopyProgress =
    CopyProgress { layers: 3, layers_done: 3, bytes: 30_000_000, bytes_done: 30_000_000 };

impl World {
    pub(crate) fn take_effect(&mut self, operation: OperationId, effect: &Effect) -> Outcome {
        let copied = self.subject(Some(operation), None).promotion().map(|one| one.build.clone());
        let named = match effect {
            Effect::Copy => copied.as_ref().map(|build| (build.build_tag.tag(), &build.digest)),
            Effect::TagBuild(build) => Some((build.build_tag.tag(), &build.digest)),
            Effect::TagStable(pin) => Some((self.stable_tag(), &pin.digest)),
            Effect::TagBackup { tag, digest } => Some((tag.clone(), digest)),
            Effect::TagCurrent(digest) => Some((ImageTag::parse("production-current").unwrap(), digest)),
            Effect::TagLatest { digest, .. } => Some((latest(), digest)),
            Effect::Inspect
            | Effect::ReadChecks
            | Effect::ReadEarlierPin(_)
            | Effect::Ask(_)
            | Effect::CheckSubscriptions
            | Effect::ConfirmVote(_)
            | Effect::Prepare
            | Effect::Deploy(..)
            | Effect::Follow(..)
            | Effect::Probe
            | Effect::RestoreFamily(_)
            | Effect::Notify(_) => None,
        };
        if let Some((tag, digest)) = named {
            let ours = self.intents.contains(&(tag.clone(), digest.clone()));
            assert!(ours, "rule 7: {tag} is put on {digest}, but no record says that it is ours");
        }
        match effect {
            Effect::TagBuild(_) if self.build_tags_are_refused => {
                Outcome::BuildTagRefused("KmsException: the key is disabled".to_owned())
            }
            Effect::TagBuild(build) => {
                let tag = build.build_tag.tag();
                match self.tags.get(&tag) {
                    Some(other) if *other != build.digest => Outcome::BuildTagTaken(tag),
                    Some(_) | None => {
                        self.tags.insert(tag, build.digest.clone());
                        Outcome::BuildTagged
                    }
                }
            }
            Effect::Ask(name) if self.mail_is_refused.contains(name) => {
                let reason = format!("could not publish for {name} (Publish): AuthorizationError");
                Outcome::AskRefused { approver: name.clone(), reason }
            }
            Effect::Ask(name) => {
                self.ids += 1;
                let hash = TokenHash(format!("{:064x}", self.ids));
                let promotion = self.subject(Some(operation), None).promotion().unwrap().clone();
                let token = Token {
                    hash: hash.clone(),
                    application: self.configuration.application.name.clone(),
                    environment: EnvironmentName::parse("production").unwrap(),
                    promotion: operation,
                    digest: promotion.digest,
                    approver: name.clone(),
                    expires_at: promotion.expires_at,
                    used_at: None,
                    code: CodeHash(format!("code of {}", self.ids)),
                    wrong_codes: 0,
                };
                self.tokens.insert(hash.clone(), token);
                Outcome::ApprovalRequested {
                    approver: name.clone(),
                    token: hash,
                    mail: format!("{name}@example.com"),
                }
            }
            Effect::TagStable(pin) if self.immutable => {
                let tag = numbered(&self.stable_tag(), pin.number);
                match self.tags.get(&tag).cloned().filter(|on| *on != pin.digest) {
                    Some(on) => {
                        let why = NotPut::Taken { on, by: None };
                        Outcome::StableTaken(TakenTag { pin: pin.number, tag, why })
                    }
                    None => {
                        self.tags.insert(tag, pin.digest.clone());
                        Outcome::StableTagged(pin.number)
                    }
                }
            }
            Effect::TagStable(pin) if self.tags_are_refused => {
                let reason = "AccessDeniedException: not authorized to perform: ecr:PutImage".to_owned();
                let why = NotPut::Refused { reason, at: self.now };
                Outcome::StableTaken(TakenTag { pin: pin.number, tag: self.stable_tag(), why })
            }
            Effect::TagStable(pin) => {
                self.tags.insert(self.stable_tag(), pin.digest.clone());
                Outcome::StableTagged(pin.number)
            }
            Effect::TagBackup { tag, digest } => {
                self.tags.insert(tag.clone(), digest.clone());
                Outcome::BackupTried
            }
            Effect::TagCurrent(digest) => {
                self.tags.insert(ImageTag::parse("production-current").unwrap(), digest.clone());
                Outcome::CurrentTried(digest.clone())
            }
            Effect::TagLatest { digest, .. } => {
                if !self.immutable {
                    self.tags.insert(latest(), digest.clone());
                }
                Outcome::LatestTried(digest.clone())
            }
            Effect::Inspect => {
                let settings = &self.configuration.application.environments[0].validate;
                let result = judge(settings, &self.inspect(operation));
                Outcome::Validated { configuration: self.configuration.version, result }
            }
            Effect::ReadChecks => {
                let digest = self.promoted(operation);
                let checks = self.checks.get(&digest).cloned().unwrap_or_default();
                Outcome::ChecksRead { checks, at: self.now }
            }
            Effect::ReadEarlierPin(environment) => Outcome::EarlierPinRead(EarlierPin {
                environment: environment.clone(),
                pinned_at: self.earlier_pins.get(&self.promoted(operation)).copied(),
                read_at: self.now,
            }),
            Effect::Copy => {
                let to = self.configuration.application.environments[0].repository.clone();
                Outcome::Copied { to, progress: COPIED }
            }
            Effect::Prepare => Outcome::Prepared(self.prepare()),
            Effect::Deploy(direction, service) => {
                Outcome::Service(*direction, service.clone(), self.deploy(operation, *direction, service))
            }
            Effect::Follow(direction, service) => {
                Outcome::Service(*direction, service.clone(), self.follow(operation, *direction, service))
            }
            Effect::Probe => {
                let answers =
                    self.services.values().all(|running| !self.unresponsive.contains(&running.digest));
                Outcome::Probed((!answers).then(|| "https://web.example.com/ answered 500".to_owned()))
            }
            Effect::RestoreFamily(service) => Outcome::FamilyRestored(service.clone()),
            Effect::Notify(notice) => match &mut self.notices_refused {
                Some(tried) => {
                    *tried += 1;
                    Outcome::Problem("could not publish a notification: AuthorizationError".to_owned())
                }
                None => Outcome::Notified(*notice),
            },
            Effect::CheckSubscriptions => Outcome::SubscriptionsChecked(self.unreachable.clone()),
            Effect::ConfirmVote(name) => Outcome::VoteConfirmed(name.clone()),
        }
    }

    fn promoted(&self, operation: OperationId) -> ImageDigest {
        self.subject(Some(operation), None).promotion().unwrap().digest.clone()
    }

    fn inspect(&self, operation: OperationId) -> Inspection {
        let digest = self.promoted(operation);
        match self.defects.get(&digest) {
            Some(defect) => Err(defect.clone()),
            None => Ok(vec![valid_image(&digest)]),
        }
    }
}

/// Returns an image that meets every `validate` setting, except for required labels.
fn valid_image(digest: &ImageDigest) -> InspectedImage {
    InspectedImage {
        digest: digest.clone(),
        platform: "linux/amd64".to_owned(),
        size_bytes: 1_000_000,
        missing: Vec::new(),
        labels: Ok(Default::default()),
    }
}
