//! Applies the errors and the throttling that a test has set up.

use super::world::EcrWorld;
use crate::fake::buckets::{Row, throttled};
use crate::fake::input::Refused;

/// ECR's token buckets: operations, capacity, tokens per second. AWS documents no rates for
/// Describe…, List…, BatchDeleteImage and UpdateImageStorageClass, so the fake does not throttle
/// these operations.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
pub(super) const TABLE: &[Row] = &[
    (&["PutImage"], 10.0, 10.0),
    (&["BatchGetImage"], 2000.0, 2000.0),
    (&["GetDownloadUrlForLayer"], 3000.0, 3000.0),
    (&["BatchCheckLayerAvailability"], 1000.0, 1000.0),
    (&["InitiateLayerUpload"], 100.0, 100.0),
    (&["UploadLayerPart"], 500.0, 500.0),
    (&["CompleteLayerUpload"], 100.0, 100.0),
    (&["GetAuthorizationToken"], 500.0, 500.0),
];

impl EcrWorld {
    pub(super) fn goes_wrong(&mut self, operation: &str) -> Result<(), Refused> {
        if let Some(every) = &mut self.every {
            every.count += 1;
            if every.count.is_multiple_of(every.number) {
                return Err(throttled());
            }
        }
        if let Some(buckets) = &mut self.buckets {
            buckets.take(operation, self.clock.now())?;
        }
        let mut hit = None;
        for (at, fault) in self.faults.iter_mut().enumerate() {
            if fault.operation != operation {
                continue;
            }
            if fault.after == 0 {
                hit = Some(at);
                break;
            }
            fault.after -= 1;
        }
        match hit {
            None => Ok(()),
            Some(at) if self.faults[at].forever => Err(self.faults[at].refused.clone()),
            Some(at) => Err(self.faults.remove(at).refused),
        }
    }
}
