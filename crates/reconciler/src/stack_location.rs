//! The stack's account and region. The Lambda functions ignore events of other accounts and
//! regions, even if an EventBridge rule lets such an event through.

use std::env;

use serde_json::json;

use crate::start::{StartError, required};

/// The account and the region of the stack. The stack's repositories and clusters are in the same
/// account and region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StackLocation {
    pub account: String,
    pub region: String,
}

impl StackLocation {
    pub fn from_env() -> Result<Self, StartError> {
        Ok(Self { account: required("STABLEPIN_ACCOUNT")?, region: required("AWS_REGION")? })
    }

    /// Returns whether an event comes from this account and region. The event must name the account
    /// and the region.
    /// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html>
    pub fn sent(&self, account: Option<&str>, region: Option<&str>) -> bool {
        account == Some(self.account.as_str()) && region == Some(self.region.as_str())
    }
}

/// Counts an event of another account or region in the metric `ForeignEvents`. CloudWatch reads
/// this metric from a log line.
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>
pub fn count_foreign_event(at: jiff::Timestamp) {
    println!("{}", foreign_event(at, &env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default()));
}

fn foreign_event(at: jiff::Timestamp, function: &str) -> serde_json::Value {
    json!({
        "_aws": {
            "Timestamp": at.as_millisecond(),
            "CloudWatchMetrics": [{
                "Namespace": "Stablepin",
                "Dimensions": [["Function"]],
                "Metrics": [{ "Name": "ForeignEvents", "Unit": "Count" }],
            }],
        },
        "Function": function,
        "ForeignEvents": 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn location_matches_events_by_account_and_region() {
        for region in ["eu-central-1", "cn-north-1", "us-gov-west-1"] {
            let location = StackLocation { account: "111122223333".to_owned(), region: region.to_owned() };
            assert!(location.sent(Some("111122223333"), Some(region)));
            for (account, other) in [
                (Some("444455556666"), Some(region)),
                (Some("111122223333"), Some("eu-west-1")),
                (Some("111122223333"), None),
                (None, Some(region)),
                (Some(""), Some("")),
                (Some("1111222233334"), Some(region)),
            ] {
                assert!(!location.sent(account, other), "{account:?} {other:?}");
            }
        }
    }

    #[test]
    fn metric_counts_foreign_events_per_lambda_function() {
        let at = "2026-11-21T10:00:00Z".parse().unwrap();
        let line = foreign_event(at, "stablepin-production-tagger");
        assert_eq!(line["_aws"]["Timestamp"], 1_795_255_200_000_i64);
        let metrics = &line["_aws"]["CloudWatchMetrics"][0];
        let (name, dimension) = (&metrics["Metrics"][0]["Name"], &metrics["Dimensions"][0][0]);
        assert_eq!(line[name.as_str().unwrap()], 1);
        assert_eq!(line[dimension.as_str().unwrap()], "stablepin-production-tagger");
    }
}
