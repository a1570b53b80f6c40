//! Token buckets per account and region.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>

use crate::fake::buckets::Row;

/// Stop- and ContinueServiceDeployment and ListDaemons are in no row of the table: they are not throttled here.
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
