//! Token buckets per account and region.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>

use jiff::Timestamp;

use super::input::Refused;

/// Stop- and ContinueServiceDeployment and ListDaemons are in no row of the table: they are not throttled here.
const TABLE: &[(&[&str], f64, f64)] = &[
    (&["RegisterTaskDefinition", "DeregisterTaskDefinition"], 20.0, 1.0),
    (&["DescribeTaskDefinition", "ListTaskDefinitions", "ListTaskDefinitionFamilies"], 50.0, 20.0),
    (&["ListClusters"], 50.0, 20.0),
    (&["CreateService", "UpdateService"], 50.0, 5.0),
    (&["DescribeServices", "ListServices"], 100.0, 20.0),
    (&["ListTasks", "DescribeTasks"], 100.0, 20.0),
    (&["DescribeServiceDeployments", "ListServiceDeployments"], 50.0, 20.0),
    (&["DescribeServiceRevisions"], 50.0, 20.0),
];

/// One bucket for each row: what is left, and when that was.
pub(super) struct Buckets(Vec<(f64, Timestamp)>);

impl Buckets {
    /// All of them full.
    pub(super) fn full(now: Timestamp) -> Self {
        Self(TABLE.iter().map(|(_, burst, _)| (*burst, now)).collect())
    }

    pub(super) fn take(&mut self, operation: &str, now: Timestamp) -> Result<(), Refused> {
        let rows = TABLE.iter().zip(&mut self.0);
        for ((operations, burst, rate), (left, at)) in rows {
            if !operations.contains(&operation) {
                continue;
            }
            let passed = now.duration_since(*at).as_secs_f64();
            *left = (*left + passed * rate).min(*burst);
            *at = now;
            if *left < 1.0 {
                return Err(Refused::new(400, "ThrottlingException", "Rate exceeded"));
            }
            *left -= 1.0;
        }
        Ok(())
    }
}
