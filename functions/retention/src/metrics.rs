//! The metrics of a run, as a log line in a format that CloudWatch reads.
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>

use jiff::Timestamp;
use serde_json::{Value, json};
use stablepin_retention_rules::run::{RepositoryRun, RepositoryState};
use stablepin_rules::image::RepositoryName;
use stablepin_rules::name::ApplicationName;

/// Prints the metrics line to standard output. `tracing` would put it inside another JSON object.
pub(crate) fn print(application: &ApplicationName, repository: &RepositoryName, run: &RepositoryRun) {
    println!("{}", line(application, repository, run));
}

fn line(application: &ApplicationName, repository: &RepositoryName, run: &RepositoryRun) -> Value {
    let count = |name: &str| json!({ "Name": name, "Unit": "Count" });
    let errors = run.errors.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let left_alone = matches!(run.state, RepositoryState::LeftAlone | RepositoryState::Failed);
    json!({
        "_aws": {
            "Timestamp": run.updated_at.max(Timestamp::UNIX_EPOCH).as_millisecond(),
            "CloudWatchMetrics": [{
                "Namespace": "Stablepin",
                "Dimensions": [["Application"], []],
                "Metrics": [
                    count("ImagesKept"), count("ImagesDeleted"), count("ImagesArchived"),
                    { "Name": "BytesFreed", "Unit": "Bytes" },
                    count("DeletionErrors"), count("RepositoriesLeftAlone"),
                ],
            }],
        },
        "Application": application,
        "Repository": repository,
        "ImagesKept": run.images.saturating_sub(run.deleted).saturating_sub(run.archived),
        "ImagesDeleted": run.deleted,
        "ImagesArchived": run.archived,
        "BytesFreed": run.freed_bytes,
        "DeletionErrors": errors,
        "RepositoriesLeftAlone": u64::from(left_alone),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn metrics_line_has_a_number_for_each_metric() {
        let run = RepositoryRun {
            state: RepositoryState::Done,
            images: 40,
            deleted: 3,
            archived: 1,
            freed_bytes: 1_000,
            errors: BTreeMap::from([("ImageReferencedByManifestList".to_owned(), 2)]),
            ..RepositoryRun::default()
        };
        let web = ApplicationName::parse("web").unwrap();
        let line = line(&web, &RepositoryName::parse("prod/web").unwrap(), &run);
        let named = line.pointer("/_aws/CloudWatchMetrics/0/Metrics").and_then(Value::as_array).unwrap();
        for metric in named {
            assert!(line[metric["Name"].as_str().unwrap()].is_u64(), "{metric}");
        }
        assert_eq!((&line["ImagesKept"], &line["DeletionErrors"]), (&json!(36), &json!(2)));
    }
}
