//! CloudTrail tells who put a tag: who pushed a build, or who moved a tag of ours. It tells minutes later, or never.

use stablepin_aws::dynamodb::{Key, OperationKey, TableError};
use stablepin_core::caller::Caller;
use stablepin_core::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_core::name::ApplicationName;
use stablepin_core::records::{Operation, Work};
use stablepin_core::step::Observed;

use crate::{Deadline, Doors, DriveError, Start, drive};

/// A tag that somebody put on a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub repository: RepositoryName,
    pub tag: ImageTag,
    pub digest: ImageDigest,
    pub caller: Caller,
}

#[derive(Debug, thiserror::Error)]
pub enum CalledError {
    #[error("the call could not be looked up")]
    Table(#[from] TableError),
    #[error("the call could not be recorded")]
    Drive(#[from] DriveError),
}

/// How far back is looked for what the call began: it is among the newest.
const PROMOTIONS: i32 = 100;
const REPAIRS: i32 = 20;

/// Answers how many promotions and repairs it was the call of. What comes after it finds it in the table.
pub async fn take(
    doors: &Doors,
    application: &ApplicationName,
    call: &Call,
    deadline: Deadline,
) -> Result<usize, CalledError> {
    let Call { repository, tag, digest, caller } = call;
    doors.table.put_caller(application, repository, tag, digest, caller).await?;
    let (promotions, repairs) = tokio::try_join!(
        doors.table.promotions(application, PROMOTIONS, None),
        doors.table.repairs(application, REPAIRS),
    )?;
    let began = promotions.items.into_iter().chain(repairs).filter(|(_, one)| began(call, one));
    let mut told = 0;
    for (environment, operation) in began {
        let key =
            Key { application: application.clone(), environment, operation: OperationKey::of(&operation) };
        drive(doors, Start::Operation(key), vec![Observed::Called(caller.clone())], deadline).await?;
        told += 1;
    }
    Ok(told)
}

fn began(call: &Call, operation: &Operation) -> bool {
    match &operation.work {
        Work::Promotion(promotion) => promotion.digest == call.digest && promotion.pushed_by.is_none(),
        Work::Repair(repair) => {
            repair.tag == call.tag && repair.found.as_ref() == Some(&call.digest) && repair.moved_by.is_none()
        }
        Work::Rollback(_) => false,
    }
}
