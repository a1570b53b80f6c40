//! The notices of failures, each as a mail and as a chat message.

use serde_json::{Value, json};
use stablepin_rules::one_line::{ended, inert};
use stablepin_rules::records::{
    Direction, NotPut, Notice, Progress, Promotion, PromotionState, Rollback, RollbackState, Rollout,
    SlotKind, Subject, TakenTag, Work,
};
use stablepin_rules::words::time;

use super::progress::is_invalid;
use super::{Mail, NO_REASON, line};

/// The most bytes of a chat message's description. AWS allows 8,000 characters.
/// <https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html>
const MOST_IN_A_CHAT: usize = 6_000;

/// A notice as a mail and as a chat message.
#[derive(Debug, Clone, PartialEq)]
pub struct WrittenNotice {
    pub mail: Mail,
    /// The chat message, as a custom notification of Amazon Q Developer.
    /// <https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html>
    pub chat: Value,
}

/// Returns the text of a notice, or `None` if there is nothing to report.
pub fn notice(subject: &Subject, notice: Notice) -> Option<WrittenNotice> {
    let operation = subject.operation.as_ref()?;
    let words = match (&operation.work, notice) {
        (_, Notice::TagTaken) => tag_taken(subject, &operation.unput_tag()?),
        (Work::Promotion(promotion), Notice::Unreachable) => out_of_reach(subject, promotion)?,
        (Work::Promotion(promotion), Notice::MailRefused) => mail_refused(subject, promotion)?,
        (Work::Promotion(promotion), _) => of_promotion(subject, promotion, notice)?,
        (Work::Rollback(rollback), _) => of_rollback(subject, rollback, notice)?,
        (Work::LiveDrift(_), _) => live_drift(subject)?,
        (Work::Repair(_), _) => return None,
    };
    let services: Vec<String> = match (&operation.work, &subject.environment.live_drift) {
        (Work::LiveDrift(_), Some(drift)) => drift.words(),
        _ => operation.rollout().map(|(direction, rollout)| services(direction, rollout)).unwrap_or_default(),
    };
    let about = NoticeSubject {
        place: format!("{} {}", subject.application(), subject.name),
        id: operation.id().to_string(),
        context: json!({
            "application": subject.application().to_string(),
            "environment": subject.name.to_string(),
        }),
    };
    Some(about.write(&words, "Services", &services))
}

/// The thing that a notice is about, such as an environment of an application.
pub struct NoticeSubject {
    pub place: String,
    pub id: String,
    pub context: Value,
}

impl NoticeSubject {
    /// Writes the notice. `list` contains the details, and `of` is the heading of the list.
    pub fn write(&self, words: &Words, of: &str, list: &[String]) -> WrittenNotice {
        let title = format!("{}: {}", self.place, words.title);
        let lines = |name: &str, list: &[String]| {
            let lines: String = list.iter().map(|line| format!("\n- {line}")).collect();
            if list.is_empty() { String::new() } else { format!("{name}:{lines}") }
        };
        let paragraphs = [
            words.what.clone(),
            words.why.clone(),
            lines(of, list),
            lines("What to do", &words.next),
            format!("Id: {}", self.id),
        ];
        let body =
            paragraphs.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n\n") + "\n";
        let chat = json!({
            "version": "1.0",
            "source": "custom",
            "id": self.id,
            "content": {
                "textType": "client-markdown",
                "title": title,
                "description": description(words, list),
                "nextSteps": words.next,
            },
            "metadata": {
                "threadId": self.id,
                "summary": title,
                "eventType": words.event,
                "additionalContext": self.context,
            },
        });
        WrittenNotice { mail: Mail { subject: title, body }, chat }
    }
}

/// Returns the description of a chat message, with as many list entries as fit. Chats show the
/// description as Markdown, so text that other people wrote is escaped.
fn description(words: &Words, list: &[String]) -> String {
    let said = [&words.what, &words.why].map(|text| inert(text)).join("\n\n");
    let mut text = format!("{}\n", said.trim_end());
    for (at, line) in list.iter().enumerate() {
        let one = format!("\n• {}", inert(line));
        if text.len() + one.len() > MOST_IN_A_CHAT {
            text += &format!("\n• and {} more: the mail has them all", list.len() - at);
            break;
        }
        text += &one;
    }
    text.trim_end().to_owned()
}

pub struct Words {
    pub title: &'static str,
    pub event: &'static str,
    pub what: String,
    pub why: String,
    pub next: Vec<String>,
}

fn because(reason: &str) -> String {
    format!("Why: {}", ended(&line(reason)))
}

/// Returns the notice about approvers whom mails do not reach, or `None` if mails reach all
/// approvers.
fn out_of_reach(subject: &Subject, promotion: &Promotion) -> Option<Words> {
    let policy = subject.policy()?;
    let unreachable = promotion.unreachable.as_ref().filter(|unreachable| !unreachable.is_empty())?;
    // The notice names the approvers only, because a notice must contain no addresses.
    let missing: Vec<String> =
        unreachable.iter().map(|(name, reach)| format!("{name} {}", reach.words())).collect();
    let required = policy.approval.required;
    Some(Words {
        title: "approvers cannot be reached",
        event: "approvers-out-of-reach",
        what: format!(
            "{} waits for {required} of {} approvers, and mails do not reach enough of them.",
            promotion.build.build_tag,
            policy.approval.approvers.len()
        ),
        why: format!("Why: {}.", missing.join("; ")),
        next: vec![
            "Subscribe them: PUT …/approvers/{name}/subscription. They then get the mail about the next \
             push."
                .to_owned(),
            "They can still decide about this build by a signed request: POST …/promotions/{id}/decision."
                .to_owned(),
        ],
    })
}

/// Returns the notice that SNS refuses approval mails, or `None` if SNS accepts every mail.
fn mail_refused(subject: &Subject, promotion: &Promotion) -> Option<Words> {
    let policy = subject.policy()?;
    let refused = promotion.mail_refused.as_ref()?;
    Some(Words {
        title: "approval mails could not be sent",
        event: "approval-mail-refused",
        what: format!(
            "{} waits for {} of {} approvers, and SNS refuses the mail to {}.",
            promotion.build.build_tag,
            policy.approval.required,
            policy.approval.approvers.len(),
            refused.names()
        ),
        why: because(&refused.reason),
        next: vec![
            format!(
                "Correct what the refusal names, such as the policy or the key of the approvals topic. \
                 Stablepin tries the mail again once an hour, until {}.",
                time(promotion.expires_at)
            ),
            "Until then they can decide by a signed request: POST …/promotions/{id}/decision.".to_owned(),
        ],
    })
}

/// Returns the notice about a pin's tag that Stablepin could not put. The pin itself is valid.
fn tag_taken(subject: &Subject, taken: &TakenTag) -> Words {
    let TakenTag { pin, tag, why } = taken;
    let what = format!("Pin {pin} of {} is set, but ECR did not accept its tag {tag}.", subject.name);
    let (on, by) = match why {
        NotPut::Taken { on, by } => (on, by),
        NotPut::Refused { reason, .. } => {
            let is_of_build = subject.promotion().is_some_and(|one| one.build.build_tag.tag() == *tag);
            let again = match is_of_build {
                true => "Stablepin tries the tag again when this build is promoted again.",
                false => "Stablepin tries the tag again once a day, and with the next pin.",
            };
            return Words {
                title: "ECR refused a pin's tag",
                event: "tag-refused",
                what,
                why: because(reason),
                next: vec![
                    format!("Deploy by the digest of pin {pin}, not by {tag}: that may be another image."),
                    format!("Correct what the refusal names. {again}"),
                ],
            };
        }
    };
    let by = by.as_ref().map_or("Who put it there is not known.".to_owned(), |by| {
        format!("{by} put it there, according to CloudTrail.")
    });
    Words {
        title: "a pin's tag is on another image",
        event: "tag-taken",
        what,
        why: format!("Why: the tag is on {on}, and the repository does not let it move. {}", line(&by)),
        next: vec![
            format!("Deploy by the digest of pin {pin}, not by {tag}: that is another image."),
            format!(
                "Find out who puts tags of this name. Delete the tag {tag} in ECR. Stablepin then puts it \
                 on the pin."
            ),
        ],
    }
}

fn of_promotion(subject: &Subject, promotion: &Promotion, notice: Notice) -> Option<Words> {
    let build = &promotion.build.build_tag;
    let pin = match &subject.environment.pin {
        Some(pin) => format!("pin {} ({})", pin.number, pin.build_tag),
        None => "no pin".to_owned(),
    };
    let why = match (notice, &promotion.failure, &promotion.reason) {
        (Notice::GoingBack, Some(failure), _) | (_, Some(failure), None) => failure.to_string(),
        (_, _, Some(reason)) => reason.to_string(),
        (_, None, None) => NO_REASON.to_owned(),
    };
    let rolling_back = subject.environment.slot.as_ref().is_some_and(|slot| slot.kind == SlotKind::Rollback);
    let held = format!(
        "{} is held: the next build waits for a new approval, or until a person releases the hold.",
        subject.name
    );
    let words = |title, event, what: String, next: Vec<String>| {
        Some(Words { title, event, what, why: because(&why), next })
    };
    match (notice, promotion.state) {
        (Notice::GoingBack, _) => words(
            "release failed, rolling back",
            "promotion-going-back",
            format!("{build} failed in {}. Stablepin is rolling its services back.", subject.name),
            vec!["Nothing yet. Another message will say how it ended.".to_owned()],
        ),
        (Notice::Ended, PromotionState::RolledBack) => words(
            "release failed, rolled back",
            "promotion-rolled-back",
            format!(
                "{build} failed in {}. Its services were rolled back; the environment has {pin}.",
                subject.name
            ),
            vec!["Find out why it failed, and push a build that does not.".to_owned(), held],
        ),
        (Notice::Ended, PromotionState::Failed) if is_invalid(promotion) => words(
            "nobody was asked",
            "promotion-invalid",
            format!("{build} cannot be promoted to {}; the environment has {pin}.", subject.name),
            vec![
                "Correct what is named above, and push again.".to_owned(),
                "If the image is right by now: POST …/environments/{environment}/promotions validates it anew."
                    .to_owned(),
            ],
        ),
        (Notice::Ended, PromotionState::Failed) => words(
            "release failed",
            "promotion-failed",
            format!("{build} failed in {}; the environment has {pin}.", subject.name),
            match &promotion.rollout {
                Some(_) if rolling_back => {
                    vec!["Follow the rollback: it moves the services now.".to_owned(), held]
                }
                _ if promotion.is_untouched() => {
                    vec!["Stablepin changed nothing. Correct what is named above, and push again.".to_owned()]
                }
                _ => vec![
                    "Check the services now: what runs may not be the pin.".to_owned(),
                    "Roll back with to = \"stable\", if it is not.".to_owned(),
                    held,
                ],
            },
        ),
        (Notice::Ended, PromotionState::Cancelled) => words(
            "promotion rejected",
            "promotion-rejected",
            format!("{build} was not promoted to {}; the environment has {pin}.", subject.name),
            vec!["Correct what the reason names, and push again.".to_owned()],
        ),
        (
            Notice::Ended,
            PromotionState::Pending | PromotionState::InProgress | PromotionState::Completed,
        )
        | (Notice::Unreachable | Notice::MailRefused | Notice::LiveDrift | Notice::TagTaken, _) => None,
    }
}

/// Returns the notice about live drift, or `None` if the drift has ended.
fn live_drift(subject: &Subject) -> Option<Words> {
    let drift = subject.environment.live_drift.as_ref().filter(|drift| drift.is_open())?;
    let pin = subject.environment.pin.as_ref()?;
    Some(Words {
        title: "services do not run the pin",
        event: "live-drift",
        what: format!(
            "Services of {} do not run pin {}, and Stablepin did not change them. The pin is {} ({}).",
            subject.name, pin.number, pin.build_tag, pin.digest
        ),
        why: format!("Seen at {}. Stablepin sends no further notice until it ends.", time(drift.since)),
        next: vec![
            "If it was not intended: roll back with to = \"stable\". The services then run the pin again."
                .to_owned(),
            "If Terraform, CloudFormation or CDK did it, the next apply does it again: \
             docs/infrastructure-as-code.md says how to prevent it."
                .to_owned(),
            "If it was intended: push that build and approve it, so that it becomes the pin.".to_owned(),
        ],
    })
}

fn of_rollback(subject: &Subject, rollback: &Rollback, notice: Notice) -> Option<Words> {
    let (title, event) = match (notice, rollback.state) {
        (Notice::Ended, RollbackState::Incomplete) => ("rollback not proven", "rollback-incomplete"),
        (Notice::Ended, RollbackState::Failed) => ("rollback failed", "rollback-failed"),
        (Notice::Ended, RollbackState::Requested | RollbackState::InProgress | RollbackState::Completed)
        | (
            Notice::GoingBack
            | Notice::Unreachable
            | Notice::MailRefused
            | Notice::LiveDrift
            | Notice::TagTaken,
            _,
        ) => return None,
    };
    let target = &rollback.target;
    let why = rollback.reason.as_ref().map_or(NO_REASON.to_owned(), ToString::to_string);
    Some(Words {
        title,
        event,
        what: format!(
            "The rollback of {} to pin {} ({}) ended as {}.",
            subject.name,
            target.pin,
            target.build_tag,
            rollback.state.as_str()
        ),
        why: because(&why),
        next: vec![
            match rollback.state == RollbackState::Failed && rollback.preempted.is_none() {
                true => "Stablepin changed nothing: what ran before still runs.",
                false => "Check the services now: some may not run the pinned build.",
            }
            .to_owned(),
            "Request the rollback again when the cause is fixed, or name another pin.".to_owned(),
        ],
    })
}

fn services(direction: Direction, rollout: &Rollout) -> Vec<String> {
    let how = |progress: &Progress, seen: Option<&str>| match progress {
        Progress::Waiting => match direction {
            Direction::Forward => "not started".to_owned(),
            Direction::Revert => "not yet rolled back".to_owned(),
        },
        Progress::Deployed => seen.map_or("deploying".to_owned(), line),
        Progress::Proven { tasks, .. } => format!("proven, {tasks} running"),
        Progress::Unproven { .. } => "applied; the desired count is 0".to_owned(),
        Progress::Returning { reason, .. } => format!("ECS is rolling back: {}", line(reason)),
        Progress::Returned { reason, .. } => line(reason),
        Progress::Superseded { reason } | Progress::Failed { reason } => line(reason),
    };
    let one = |one: &stablepin_rules::records::ServiceRollout| {
        format!("{}: {}", one.service, how(&one.progress, one.seen.as_deref()))
    };
    rollout.services.iter().map(one).collect()
}
