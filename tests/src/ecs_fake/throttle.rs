//! The token buckets of ECS, per account and region.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>

use crate::fake::buckets::Row;

/// ECS's token buckets: operations, capacity, tokens per second. AWS's table does not contain
/// StopServiceDeployment, ContinueServiceDeployment and ListDaemons, so the fake does not throttle
/// these operations.
pub(super) const TABLE: &[Row] = &[
    (&["RegisterTaskDefinition", "DeregisterTaskDefinition"], 20.0, 1.0),
    (&["DescribeTaskDefinition", "ListTaskDefinitions", "ListTaskDefinitionFamilies"], 50.0, 20.0),
    (&["ListClusters"], 50.0, 20.0),
    (&["CreateService", "UpdateService"], 50.0, 5.0),
    (&["DescribeServices", "ListServices"], 100.0, 20.0),
    (&["ListTasks", "DescribeTasks"], 100.0, 20.0),
    (&["DescribeServiceDeployments", "ListServiceDeployments"], 50.0, 20.0),
    (&["DescribeServiceRevisions"], 50.0, 20.0),
];
