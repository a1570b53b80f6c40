//! Brings every promotion and rollback to its end, and publishes the audit trail.
//!
//! Trigger by the minute, by what starts work, by ECS's deployments, and by the table's stream. An event only says
//! that something may be due: what to do is always read from the table.

mod health;
mod outbox;
mod sweep;
mod trigger;

use jiff::SignedDuration;
use serde_json::{Value, json};
use stablepin_aws::dynamodb::{Key, OperationKey, TableError};
use stablepin_reconciler::clock::now;
use stablepin_reconciler::errors::chain;
use stablepin_reconciler::live_drift::{self, LiveDriftError};
use stablepin_reconciler::{Clients, Deadline, ReconcileError, Source, reconcile};
use stablepin_rules::application::ServiceName;
use stablepin_rules::records::{SlotKind, Subject};
use stablepin_rules::topic_policy::TopicRoles;
use stablepin_rules::transition::Input;

pub use health::HealthError;
pub use outbox::{EventBus, OutboxError};
pub use sweep::{Queue, SweepError};
pub use trigger::{Trigger, Unreadable, is_foreign};

/// Lambda or the stream tries again for these.
#[derive(Debug, thiserror::Error)]
pub enum PromoterError {
    #[error("what is due could not be read")]
    Table(#[from] TableError),
    #[error("the audit trail could not be published")]
    Outbox(#[from] OutboxError),
    #[error("an application could not be swept")]
    Sweep(#[from] SweepError),
    #[error("the topics of secret links could not be looked at")]
    Health(#[from] HealthError),
    #[error("whether services run the pin could not be looked at")]
    LiveDrift(#[from] LiveDriftError),
    #[error("{0} operations could not be driven: the next tick tries again")]
    Driven(usize),
}

/// How many due operations one tick takes; the rest is the next one's.
const PER_TICK: i32 = 100;

/// No operation takes more of a tick than this, so that one that hangs does not starve the others.
const EACH: SignedDuration = SignedDuration::from_secs(30);

pub async fn handle(
    clients: &Clients,
    bus: &EventBus,
    queue: &Queue,
    roles: &TopicRoles,
    trigger: Trigger,
    deadline: Deadline,
) -> Result<Value, PromoterError> {
    match trigger {
        Trigger::Tick => {
            let due = clients.table.due(now(), PER_TICK).await?;
            let driven = all(clients, due, &[Input::Tick], deadline).await?;
            Ok(json!({ "driven": driven }))
        }
        Trigger::Hour => {
            let applications = sweep::hand_out(clients, queue).await?;
            Ok(json!({ "applications": applications }))
        }
        Trigger::Subscribers => {
            let exposed = health::topics(clients, roles).await?;
            Ok(json!({ "findings": exposed }))
        }
        Trigger::Sweep(application) => Ok(sweep::one(clients, &application, deadline).await?.into()),
        Trigger::Operation(key) => {
            let driven = all(clients, vec![key], &[Input::Nudge], deadline).await?;
            Ok(json!({ "driven": driven }))
        }
        // Once a later build is pinned, the earlier ones that wait cannot be any more: they end now, not when
        // they expire.
        Trigger::Pinned { application, environment } => {
            let open = clients.table.open_promotions(&application, Some(&environment)).await?;
            let driven = all(clients, open, &[Input::Tick], deadline).await?;
            Ok(json!({ "driven": driven }))
        }
        Trigger::Configured { application } => {
            let open = clients.table.open_promotions(&application, None).await?;
            let driven = all(clients, open, &[Input::Tick, Input::Nudge], deadline).await?;
            Ok(json!({ "driven": driven }))
        }
        // While it had the slot, what ECS told of deployments by others was not looked into.
        Trigger::Ended { application, environment } => {
            let Some(subject) = clients.table.configured_environment(&application, &environment).await?
            else {
                return Ok(json!({ "driven": 0 }));
            };
            let drifted = live_drift::look(clients, subject, None, deadline).await?;
            Ok(json!({ "driven": 0, "drifted": drifted }))
        }
        Trigger::Deployment { service_arn } => {
            let Some((subject, service)) = deployed(clients, &service_arn).await? else {
                return Ok(json!({ "driven": 0 }));
            };
            let Some(key) = in_slot(&subject) else {
                let drifted = live_drift::look(clients, subject, Some(&service), deadline).await?;
                return Ok(json!({ "driven": 0, "drifted": drifted }));
            };
            let driven = all(clients, vec![key], &[Input::Nudge], deadline).await?;
            Ok(json!({ "driven": driven }))
        }
        Trigger::Audit(records) => {
            let published = bus.publish(&records).await?;
            Ok(json!({ "published": published, "batchItemFailures": [] }))
        }
    }
}

/// The environment that the service belongs to.
async fn deployed(
    clients: &Clients,
    service_arn: &str,
) -> Result<Option<(Subject, ServiceName)>, TableError> {
    let Some(application) = clients.table.claimant_of(service_arn).await? else { return Ok(None) };
    let Some(stored) = clients.table.application(&application).await? else { return Ok(None) };
    let Ok(parsed) = stablepin_rules::application::Application::parse(&stored.text, None) else {
        return Ok(None);
    };
    for environment in &parsed.environments {
        let named = |service: &&ServiceName| service_arn.ends_with(&format!(":service/{service}"));
        let Some(service) = environment.services.iter().find(named) else { continue };
        let subject = clients.table.configured_environment(&application, &environment.name).await?;
        return Ok(subject.map(|subject| (subject, service.clone())));
    }
    Ok(None)
}

/// What moves the environment's services now.
fn in_slot(subject: &Subject) -> Option<Key> {
    let slot = subject.environment.slot.as_ref()?;
    Some(Key {
        application: subject.application().clone(),
        environment: subject.name.clone(),
        operation: match slot.kind {
            SlotKind::Promotion => OperationKey::Promotion(slot.operation),
            SlotKind::Rollback => OperationKey::Rollback(slot.operation),
        },
    })
}

async fn all(
    clients: &Clients,
    keys: Vec<Key>,
    observed: &[Input],
    deadline: Deadline,
) -> Result<usize, PromoterError> {
    let (mut driven, mut failed) = (0, 0);
    for key in keys {
        if deadline.is_near() {
            break;
        }
        match reconcile(clients, Source::Operation(key.clone()), observed.to_vec(), deadline.within(EACH))
            .await
        {
            Ok(_) | Err(ReconcileError::NotFound) => driven += 1,
            Err(error) => {
                failed += usize::from(error.is_retryable());
                tracing::error!(
                    application.name = %key.application,
                    environment.name = %key.environment,
                    operation.key = ?key.operation,
                    "could not be driven: {}",
                    chain(&error)
                );
            }
        }
    }
    if failed > 0 { Err(PromoterError::Driven(failed)) } else { Ok(driven) }
}
