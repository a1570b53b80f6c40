//! Records the report of a check for a digest, and passes the report on to the digest's open
//! promotions.

use std::collections::BTreeSet;

use stablepin_aws::dynamodb::{Key, TableError};
use stablepin_rules::application::CheckName;
use stablepin_rules::image::ImageDigest;
use stablepin_rules::name::ApplicationName;
use stablepin_rules::records::{Check, Checks, Recorded, Subject};
use stablepin_rules::transition::Input;

use crate::open_promotions::open_promotions;
use crate::{Clients, Deadline, ReconcileError, Source, reconcile};

/// A pipeline's report of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub application: ApplicationName,
    pub digest: ImageDigest,
    pub name: CheckName,
    pub check: Check,
    /// The checks that at least one environment of the application requires. If the digest has too
    /// many checks, a required check displaces another check.
    pub required: BTreeSet<CheckName>,
}

/// The result of a report.
#[derive(Debug)]
pub struct Reported {
    pub recorded: Recorded,
    /// The open promotions of the digest, as they are after the report.
    pub promotions: Vec<Subject>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("the report could not be recorded")]
    Table(#[from] TableError),
    #[error("other reports of the same digest kept arriving: nothing was recorded, try again")]
    Contended,
    #[error("the report was recorded, and a promotion could not take it")]
    Reconcile(#[from] ReconcileError),
}

/// Records a report, and passes the checks on to the open promotions of the digest. A promotion
/// that opens meanwhile reads the recorded checks itself.
pub async fn report(clients: &Clients, report: &Report, deadline: Deadline) -> Result<Reported, ReportError> {
    let Report { application, digest, name, check, required } = report;
    let recorded = clients.table.record_check(application, digest, name, check, required).await?;
    let (recorded, checks) = recorded.ok_or(ReportError::Contended)?;
    let (mut promotions, mut failed) = (Vec::new(), None);
    // A repeated report is passed on too, because the Lambda function may have been killed before
    // it passed on the first report.
    for (key, _) in open_promotions(clients, application, &BTreeSet::from([digest.clone()])).await? {
        match pass_on(clients, key, checks.clone(), deadline).await {
            Ok(promotion) => promotions.push(promotion),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    if let Some(error) = failed {
        return Err(error.into());
    }
    Ok(Reported { recorded, promotions })
}

async fn pass_on(
    clients: &Clients,
    promotion: Key,
    checks: Checks,
    deadline: Deadline,
) -> Result<Subject, ReconcileError> {
    let news = vec![Input::ChecksReported(checks)];
    reconcile(clients, Source::Operation(promotion), news, deadline).await
}
