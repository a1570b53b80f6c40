//! Reads the facts on which a promotion's conditions depend: the image, the checks, and the pin of
//! the earlier environment.

use stablepin_rules::application::EnvironmentPolicy;
use stablepin_rules::effect::Outcome;
use stablepin_rules::name::EnvironmentName;
use stablepin_rules::records::{EarlierPin, Subject};
use stablepin_rules::validation::{Inspection, judge};

use super::problem;
use crate::Clients;
use crate::clock::now;

const NO_PROMOTION: &str = "only a promotion has conditions";

/// Inspects the image, unless the caller has just read it.
pub(super) async fn inspect(
    clients: &Clients,
    subject: &Subject,
    policy: &EnvironmentPolicy,
    known: Option<&Inspection>,
) -> Outcome {
    let Some(promotion) = subject.promotion() else { return Outcome::Problem(NO_PROMOTION.to_owned()) };
    let read;
    let inspection = match known {
        Some(known) => known,
        None => match clients.ecr.inspect(&promotion.build.repository, &promotion.digest).await {
            Ok(inspection) => {
                read = inspection;
                &read
            }
            Err(error) => return problem(&error),
        },
    };
    let configuration = subject.configuration.version;
    Outcome::Validated { configuration, result: judge(&policy.validate, inspection) }
}

pub(super) async fn read_checks(clients: &Clients, subject: &Subject) -> Outcome {
    let Some(promotion) = subject.promotion() else { return Outcome::Problem(NO_PROMOTION.to_owned()) };
    let at = now();
    match clients.table.checks(subject.application(), &promotion.digest).await {
        Ok(checks) => Outcome::ChecksRead { checks, at },
        Err(error) => problem(&error),
    }
}

pub(super) async fn read_earlier_pin(
    clients: &Clients,
    subject: &Subject,
    environment: &EnvironmentName,
) -> Outcome {
    let Some(promotion) = subject.promotion() else { return Outcome::Problem(NO_PROMOTION.to_owned()) };
    let read_at = now();
    match clients.table.pinned_at(subject.application(), environment, &promotion.digest).await {
        Ok(pinned_at) => {
            Outcome::EarlierPinRead(EarlierPin { environment: environment.clone(), pinned_at, read_at })
        }
        Err(error) => problem(&error),
    }
}
