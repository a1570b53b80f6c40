//! Completes every promotion and rollback, and publishes the audit trail.
//!
//! The promoter runs every minute and every hour, after a state change of an operation, after a
//! deployment event of ECS, and for new items in the table's stream. An event only says that work
//! may be due. The promoter always reads from the table what to do.

mod health;
mod outbox;
mod sweep;
mod trigger;

use jiff::SignedDuration;
use serde_json::{Value, json};
use stablepin_aws::dynamodb::{Key, OperationKey, TableError};
use stablepin_aws::ecr::Ecr;
use stablepin_reconciler::arrival::{self, ArrivalError};
use stablepin_reconciler::clock::now;
use stablepin_reconciler::errors::chain;
use stablepin_reconciler::live_drift;
use stablepin_reconciler::{Clients, Deadline, ReconcileError, Source, reconcile};
use stablepin_rules::application::ServiceName;
use stablepin_rules::records::{SlotKind, Subject};
use stablepin_rules::topic_policy::TopicRoles;
use stablepin_rules::transition::Input;

pub use health::HealthError;
pub use outbox::{EventBus, OutboxError};
pub use sweep::{Queue, SweepError};
pub use trigger::{Trigger, Unreadable, is_foreign};

/// The errors after which Lambda or the table's stream delivers the event again.
#[derive(Debug, thiserror::Error)]
pub enum PromoterError {
    #[error("the due operations could not be read")]
    Table(#[from] TableError),
    #[error("the audit trail could not be published")]
    Outbox(#[from] OutboxError),
    #[error("an application could not be swept")]
    Sweep(#[from] SweepError),
    #[error("the topics of secret links could not be checked")]
    Health(#[from] HealthError),
    #[error("the named image could not be handled")]
    Arrival(#[from] ArrivalError),
    #[error("the image could not be copied")]
    Copy(#[from] ReconcileError),
    #[error("{0} operations could not be reconciled: the next tick tries again")]
    Driven(usize),
}

/// The most due operations that one tick (the event of each minute) handles. The next tick handles
/// the rest.
const PER_TICK: i32 = 100;

/// The longest time that a tick spends on one operation, so that a slow operation does not block
/// the other operations.
const EACH: SignedDuration = SignedDuration::from_secs(30);

/// The longest time of an invocation that copies no image.
const USUAL: SignedDuration = SignedDuration::from_secs(110);

pub async fn handle(
    clients: &Clients,
    copier: &Ecr,
    bus: &EventBus,
    queue: &Queue,
    roles: &TopicRoles,
    trigger: Trigger,
    deadline: Deadline,
) -> Result<Value, PromoterError> {
    let deadline = match trigger {
        Trigger::Copy(_) => deadline,
        _ => deadline.within(USUAL),
    };
    match trigger {
        Trigger::Tick => {
            let due = clients.table.due(now(), PER_TICK).await?;
            let driven = reconcile_all(clients, queue, due, &[Input::Tick], deadline).await?;
            Ok(json!({ "driven": driven }))
        }
        Trigger::Copy(key) => {
            let copier = Clients { copier: Some(copier.clone()), ..clients.clone() };
            let copied = reconcile(&copier, Source::Operation(key), vec![Input::Tick], deadline).await;
            match copied.map_err(ReconcileError::into_refusal) {
                Ok(subject) => Ok(json!({ "copied": !subject.must_copy() })),
                Err(Ok(_) | Err(ReconcileError::NotFound)) => Ok(json!({ "copied": false })),
                Err(Err(error)) => Err(error.into()),
            }
        }
        Trigger::Hour => {
            let applications = sweep::hand_out(clients, queue).await?;
            Ok(json!({ "applications": applications }))
        }
        Trigger::Subscribers => {
            let exposed = health::topics(clients, roles).await?;
            Ok(json!({ "findings": exposed }))
        }
        Trigger::Sweep(application) => {
            Ok(sweep::sweep_application(clients, &application, deadline).await?.into())
        }
        Trigger::ImageNamed { application, digest, at } => {
            let environments = arrival::take(clients, &application, &digest, at, deadline).await?;
            Ok(json!({ "environments": environments }))
        }
        Trigger::Operation(key) => {
            let driven = reconcile_all(clients, queue, vec![key], &[Input::Nudge], deadline).await?;
            Ok(json!({ "driven": driven }))
        }
        // The new pin supersedes older builds that still wait for approval. The promoter ends the
        // promotions of these builds now, before the promotions expire. Promotions to later
        // environments may wait for the pin.
        Trigger::Pinned { application, environment } => {
            let open = clients.table.open_promotions(&application, None).await?;
            let pinned = Input::PinChanged(environment);
            let driven = reconcile_all(clients, queue, open, &[Input::Tick, pinned], deadline).await?;
            Ok(json!({ "driven": driven }))
        }
        Trigger::Configured { application } => {
            let open = clients.table.open_promotions(&application, None).await?;
            let driven = reconcile_all(clients, queue, open, &[Input::Tick, Input::Nudge], deadline).await?;
            Ok(json!({ "driven": driven }))
        }
        // The Lambda function that ended the operation may have no clients to send notices, so the
        // promoter sends the notices now. The promoter also checks for live drift, since it makes
        // no such check while an operation has the slot.
        Trigger::Ended(key) => {
            let driven = reconcile_all(clients, queue, vec![key.clone()], &[Input::Nudge], deadline).await;
            let subject = clients.table.configured_environment(&key.application, &key.environment).await?;
            let drifted = match subject {
                Some(subject) => has_drifted(clients, subject, None, deadline).await,
                None => false,
            };
            Ok(json!({ "driven": driven?, "drifted": drifted }))
        }
        Trigger::Deployment { service_arn } => {
            let Some((subject, service)) = environment_of(clients, &service_arn).await? else {
                return Ok(json!({ "driven": 0 }));
            };
            let Some(key) = in_slot(&subject) else {
                let drifted = has_drifted(clients, subject, Some(&service), deadline).await;
                return Ok(json!({ "driven": 0, "drifted": drifted }));
            };
            let driven = reconcile_all(clients, queue, vec![key], &[Input::Nudge], deadline).await?;
            Ok(json!({ "driven": driven }))
        }
        Trigger::Audit(records) => {
            let published = bus.publish(&records).await?;
            Ok(json!({ "published": published, "batchItemFailures": [] }))
        }
    }
}

/// Checks for live drift, and returns whether a service differs from the pin. Returns false if the
/// check fails: the hourly sweep checks again, while a retry of the event would also repeat the
/// work that succeeded.
async fn has_drifted(
    clients: &Clients,
    subject: Subject,
    only: Option<&ServiceName>,
    deadline: Deadline,
) -> bool {
    let (application, environment) = (subject.application().clone(), subject.name.clone());
    match live_drift::look(clients, subject, only, deadline).await {
        Ok(drifted) => drifted,
        Err(error) => {
            tracing::error!(
                application.name = %application,
                environment.name = %environment,
                "live drift could not be checked: {}",
                chain(&error)
            );
            false
        }
    }
}

/// Returns the environment that the ECS service belongs to, and the service's configured name.
async fn environment_of(
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

/// Returns the key of the operation that has the environment's slot.
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

/// Reconciles these operations. Hands the promotions whose image must be copied to invocations of
/// their own.
async fn reconcile_all(
    clients: &Clients,
    queue: &Queue,
    keys: Vec<Key>,
    observed: &[Input],
    deadline: Deadline,
) -> Result<usize, PromoterError> {
    let (mut driven, mut failed) = (0, 0);
    let mut copies = Vec::new();
    for key in keys {
        if deadline.is_near() {
            break;
        }
        match reconcile(clients, Source::Operation(key.clone()), observed.to_vec(), deadline.within(EACH))
            .await
        {
            Ok(subject) => {
                driven += 1;
                let lease = subject.operation.as_ref().and_then(|operation| operation.lease_at(now()));
                if subject.must_copy() && lease.is_none() {
                    copies.push(key);
                }
            }
            Err(ReconcileError::NotFound) => driven += 1,
            Err(error) => {
                failed += usize::from(error.is_retryable());
                tracing::error!(
                    application.name = %key.application,
                    environment.name = %key.environment,
                    operation.key = ?key.operation,
                    "the operation could not be reconciled: {}",
                    chain(&error)
                );
            }
        }
    }
    queue.hand_out_copies(&copies).await?;
    if failed > 0 { Err(PromoterError::Driven(failed)) } else { Ok(driven) }
}
