//! What people are told when something failed: a mail, and the same for chats.

use serde_json::{Value, json};
use stablepin_core::one_line::inert;
use stablepin_core::records::{
    Notice, Progress, Promotion, PromotionState, Rollback, RollbackState, Rollout, SlotKind, Subject, Work,
};

use super::{Mail, line};

/// What a chat's description may have, in bytes. A description has 8,000 characters at most.
/// <https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html>
const MOST_IN_A_CHAT: usize = 6_000;

/// One notice in its two forms.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    pub mail: Mail,
    /// <https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html>
    pub chat: Value,
}

/// None: there is nothing to tell of that.
pub fn notice(subject: &Subject, notice: Notice) -> Option<Told> {
    let operation = subject.operation.as_ref()?;
    let told = match &operation.work {
        Work::Promotion(promotion) => of_promotion(subject, promotion, notice)?,
        Work::Rollback(rollback) => of_rollback(subject, rollback, notice)?,
        Work::Repair(_) => return None,
    };
    let place = format!("{} {}", subject.application(), subject.name);
    let services: Vec<String> = operation.rollout().map(|(_, rollout)| services(rollout)).unwrap_or_default();
    let list: String = services.iter().map(|service| format!("- {service}\n")).collect();
    let next: Vec<String> = told.next.clone();
    let id = operation.id();
    let body = format!(
        "{what}\n\n{why}\n\n{services}What to do:\n{next}\nId: {id}\n",
        what = told.what,
        why = told.why,
        services = if services.is_empty() { String::new() } else { format!("Services:\n{list}\n") },
        next = next.iter().map(|step| format!("- {step}\n")).collect::<String>(),
    );
    let chat = json!({
        "version": "1.0",
        "source": "custom",
        "id": id.to_string(),
        "content": {
            "textType": "client-markdown",
            "title": format!("{place}: {}", told.title),
            "description": description(&told, &services),
            "nextSteps": next,
        },
        "metadata": {
            "threadId": id.to_string(),
            "summary": format!("{place}: {}", told.title),
            "eventType": told.event,
            "additionalContext": {
                "application": subject.application().to_string(),
                "environment": subject.name.to_string(),
            },
        },
    });
    Some(Told { mail: Mail { subject: format!("{place}: {}", told.title), body }, chat })
}

/// In a chat, where words are markdown: what others wrote is none. As many services as there is room for.
fn description(told: &Words, services: &[String]) -> String {
    let mut text = format!("{}\n\n{}\n", inert(&told.what), inert(&told.why));
    for (at, service) in services.iter().enumerate() {
        let one = format!("\n• {}", inert(service));
        if text.len() + one.len() > MOST_IN_A_CHAT {
            text += &format!("\n• and {} more: the mail has them all", services.len() - at);
            break;
        }
        text += &one;
    }
    text.trim_end().to_owned()
}

struct Words {
    title: &'static str,
    event: &'static str,
    what: String,
    why: String,
    next: Vec<String>,
}

fn of_promotion(subject: &Subject, promotion: &Promotion, notice: Notice) -> Option<Words> {
    let build = &promotion.build.build_tag;
    let pin = match &subject.environment.pin {
        Some(pin) => format!("pin {} ({})", pin.number, pin.build_tag),
        None => "no pin".to_owned(),
    };
    let (failure, reason) = (promotion.failure.as_deref(), promotion.reason.as_deref());
    let why = match notice {
        Notice::GoingBack => failure.or(reason),
        Notice::Ended => reason.or(failure),
    };
    let why = why.unwrap_or("no reason is known");
    let rolling_back = subject.environment.slot.as_ref().is_some_and(|slot| slot.kind == SlotKind::Rollback);
    let held = format!(
        "{} is held: the next build waits for an approval that is given from now on, or for a person to release the hold.",
        subject.name
    );
    let words = |title, event, what: String, next: Vec<String>| {
        Some(Words { title, event, what, why: format!("Why: {}", line(why)), next })
    };
    match (notice, promotion.state) {
        (Notice::GoingBack, _) => words(
            "a release failed, going back",
            "promotion-going-back",
            format!("{build} failed in {}. Its services go back by themselves.", subject.name),
            vec!["Nothing yet: another message tells how it ended.".to_owned()],
        ),
        (Notice::Ended, PromotionState::RolledBack) => words(
            "a release failed and was rolled back",
            "promotion-rolled-back",
            format!("{build} failed in {}. Its services are back; the environment has {pin}.", subject.name),
            vec!["Find out why it failed, and push a build that does not.".to_owned(), held],
        ),
        (Notice::Ended, PromotionState::Failed) => words(
            "a release failed",
            "promotion-failed",
            format!("{build} failed in {}; the environment has {pin}.", subject.name),
            match &promotion.rollout {
                None => vec!["Nothing was touched. Correct what is named above, and push again.".to_owned()],
                Some(_) if rolling_back => {
                    vec!["Follow the rollback: it moves the services now.".to_owned(), held]
                }
                Some(_) => vec![
                    "Look at the services now: what runs may not be the pin.".to_owned(),
                    "Roll back with to = \"stable\", if it is not.".to_owned(),
                    held,
                ],
            },
        ),
        (
            Notice::Ended,
            PromotionState::Pending
            | PromotionState::InProgress
            | PromotionState::Completed
            | PromotionState::Cancelled,
        ) => None,
    }
}

fn of_rollback(subject: &Subject, rollback: &Rollback, notice: Notice) -> Option<Words> {
    let (title, event) = match (notice, rollback.state) {
        (Notice::Ended, RollbackState::Incomplete) => ("a rollback is not proven", "rollback-incomplete"),
        (Notice::Ended, RollbackState::Failed) => ("a rollback failed", "rollback-failed"),
        (Notice::Ended, RollbackState::Requested | RollbackState::InProgress | RollbackState::Completed)
        | (Notice::GoingBack, _) => return None,
    };
    let target = &rollback.target;
    let why = rollback.reason.as_deref().unwrap_or("no reason is known");
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
        why: format!("Why: {}", line(why)),
        next: vec![
            "Look at the services now: some may not run the pinned build.".to_owned(),
            "Ask for the rollback again when the reason is gone, or name another pin.".to_owned(),
        ],
    })
}

fn services(rollout: &Rollout) -> Vec<String> {
    let how = |progress: &Progress, seen: Option<&str>| match progress {
        Progress::Waiting => "not begun".to_owned(),
        Progress::Deployed => seen.map_or("on its way".to_owned(), line),
        Progress::Proven { tasks, .. } => format!("proven, {tasks} running"),
        Progress::Unproven { .. } => "applied; the desired count is 0".to_owned(),
        Progress::Returning { reason, .. } => format!("ECS goes back by itself: {}", line(reason)),
        Progress::Returned { reason, .. } => line(reason),
        Progress::Superseded { reason } | Progress::Failed { reason } => line(reason),
    };
    let one = |one: &stablepin_core::records::ServiceRollout| {
        format!("{}: {}", one.service, how(&one.progress, one.seen.as_deref()))
    };
    rollout.services.iter().map(one).collect()
}
