//! What changed in the services' deployments, as ECS's events tell it.
//! <https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_deployment_events.html>

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Event, pages};
use crate::aws::{Aws, AwsError};

const SOURCE: &str = "local.ecs";

/// `DescribeServices` takes so many at once.
const BATCH: usize = 10;

/// Services by ARN.
pub(super) type Services = BTreeMap<String, Service>;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Service {
    cluster: String,
    /// By id.
    deployments: BTreeMap<String, Deployment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Deployment {
    is_primary: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    InProgress,
    Completed,
    Failed,
}

pub(super) fn look(aws: &Aws) -> Result<Services, AwsError> {
    let call = |action: &str, body: Value| aws.ecs(action, &body);
    let mut services = Services::new();
    for cluster in pages(call, "ListClusters", json!({}), "clusterArns")? {
        let list = match pages(call, "ListServices", json!({ "cluster": cluster }), "serviceArns") {
            // Deleted since it was listed.
            Err(error) if error.is("ClusterNotFoundException") => continue,
            other => other?,
        };
        for some in list.chunks(BATCH) {
            let ask = json!({ "cluster": cluster, "services": some });
            let answer = match aws.ecs("DescribeServices", &ask) {
                Err(error) if error.is("ClusterNotFoundException") => continue,
                other => other?,
            };
            services
                .extend(answer["services"].as_array().into_iter().flatten().filter_map(Service::described));
        }
    }
    Ok(services)
}

impl Service {
    fn described(service: &Value) -> Option<(String, Self)> {
        let deployments = service["deployments"].as_array().map(Vec::as_slice).unwrap_or_default();
        let deployments = deployments.iter().filter_map(|deployment| {
            let state = match deployment["rolloutState"].as_str()? {
                "IN_PROGRESS" => State::InProgress,
                "COMPLETED" => State::Completed,
                "FAILED" => State::Failed,
                _ => return None,
            };
            let is_primary = deployment["status"] == "PRIMARY";
            Some((deployment["id"].as_str()?.to_owned(), Deployment { is_primary, state }))
        });
        let cluster = service["clusterArn"].as_str()?.to_owned();
        Some((
            service["serviceArn"].as_str()?.to_owned(),
            Self { cluster, deployments: deployments.collect() },
        ))
    }
}

/// The events between two looks, in the order in which ECS does these things: a deployment begins,
/// fails, the circuit breaker goes back to an older one, one completes.
///
/// A deployment that another one superseded has no event, as on AWS. One that began and ended
/// between two looks has both of its events.
pub(super) fn changes(before: &Services, after: &Services, at: Timestamp) -> Vec<Event> {
    let mut events = Vec::new();
    for (arn, service) in after {
        let old = before.get(arn).map(|service| &service.deployments);
        let old = |id: &String| old.and_then(|deployments| deployments.get(id));
        let event = |kind, id: &str| told(arn, &service.cluster, id, kind, at);
        let (mut begun, mut failed, mut back, mut completed) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (id, now) in &service.deployments {
            let then = old(id);
            let is_back = then.is_some_and(|then| {
                let again = then.state != State::InProgress && now.state == State::InProgress;
                again || (!then.is_primary && now.is_primary)
            });
            if then.is_none() {
                begun.push(event(Kind::InProgress, id));
            }
            if is_back {
                back.push(event(Kind::RollingBack, id));
            }
            let has_changed = is_back || then.is_none_or(|then| then.state != now.state);
            match now.state {
                State::Failed if has_changed => failed.push(event(Kind::Failed, id)),
                State::Completed if has_changed => completed.push(event(Kind::Completed, id)),
                State::InProgress | State::Failed | State::Completed => {}
            }
        }
        events.extend([begun, failed, back, completed].into_iter().flatten());
    }
    events
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    InProgress,
    Completed,
    Failed,
    /// An IN_PROGRESS that only its reason tells from a new deployment's.
    RollingBack,
}

/// `clusterArn` is not in AWS's documentation, and is in what AWS sends.
fn told(service: &str, cluster: &str, id: &str, kind: Kind, at: Timestamp) -> Event {
    let (level, name, reason) = match kind {
        Kind::InProgress => {
            ("INFO", "SERVICE_DEPLOYMENT_IN_PROGRESS", format!("ECS deployment {id} in progress."))
        }
        Kind::Completed => {
            ("INFO", "SERVICE_DEPLOYMENT_COMPLETED", format!("ECS deployment {id} completed."))
        }
        Kind::Failed => (
            "ERROR",
            "SERVICE_DEPLOYMENT_FAILED",
            "ECS deployment circuit breaker: task failed to start.".to_owned(),
        ),
        Kind::RollingBack => (
            "INFO",
            "SERVICE_DEPLOYMENT_IN_PROGRESS",
            format!("ECS deployment circuit breaker: rolling back to deploymentId {id}."),
        ),
    };
    Event {
        source: SOURCE,
        detail_type: "ECS Deployment State Change",
        resources: vec![service.to_owned()],
        at,
        detail: json!({
            "eventType": level,
            "eventName": name,
            "clusterArn": cluster,
            "deploymentId": id,
            "updatedAt": at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "reason": reason,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::event::sample::assert_shaped_like, *};

    const SERVICE: &str = "arn:aws:ecs:us-east-1:000000000000:service/prod/web";

    fn web(deployments: &[(&str, &str, &str)]) -> Services {
        let deployments: Vec<_> = deployments
            .iter()
            .map(|(id, status, state)| json!({ "id": id, "status": status, "rolloutState": state }))
            .collect();
        let service = json!({ "serviceArn": SERVICE, "clusterArn": "arn:prod", "deployments": deployments });
        Services::from([Service::described(&service).unwrap()])
    }

    fn told(before: &Services, after: &Services) -> Vec<String> {
        let line = |event: Event| {
            let name = event.detail["eventName"].as_str().unwrap().replace("SERVICE_DEPLOYMENT_", "");
            let back = event.detail["reason"].as_str().unwrap().contains("rolling back");
            format!(
                "{name} {}{}",
                event.detail["deploymentId"].as_str().unwrap(),
                if back { " back" } else { "" }
            )
        };
        changes(before, after, Timestamp::UNIX_EPOCH).into_iter().map(line).collect()
    }

    #[test]
    fn a_deployment_begins_and_completes() {
        let before = web(&[("a", "PRIMARY", "COMPLETED")]);
        let during = web(&[("b", "PRIMARY", "IN_PROGRESS"), ("a", "ACTIVE", "COMPLETED")]);
        let after = web(&[("b", "PRIMARY", "COMPLETED")]);
        assert_eq!(told(&before, &during), ["IN_PROGRESS b"]);
        assert_eq!(told(&during, &after), ["COMPLETED b"]);
        assert_eq!(told(&before, &after), ["IN_PROGRESS b", "COMPLETED b"]);
        assert_eq!(told(&after, &after), [""; 0]);
        assert_eq!(told(&Services::new(), &before), ["IN_PROGRESS a", "COMPLETED a"]);
    }

    #[test]
    fn the_circuit_breaker_goes_back_to_the_old_one() {
        let during = web(&[("b", "PRIMARY", "IN_PROGRESS"), ("a", "ACTIVE", "COMPLETED")]);
        let back = web(&[("b", "ACTIVE", "FAILED"), ("a", "PRIMARY", "IN_PROGRESS")]);
        let after = web(&[("b", "ACTIVE", "FAILED"), ("a", "PRIMARY", "COMPLETED")]);
        assert_eq!(told(&during, &back), ["FAILED b", "IN_PROGRESS a back"]);
        assert_eq!(told(&back, &after), ["COMPLETED a"]);
        assert_eq!(told(&during, &after), ["FAILED b", "IN_PROGRESS a back", "COMPLETED a"]);
    }

    #[test]
    fn a_superseded_deployment_has_no_event() {
        let during = web(&[("b", "PRIMARY", "IN_PROGRESS"), ("a", "ACTIVE", "COMPLETED")]);
        let after = web(&[("c", "PRIMARY", "IN_PROGRESS"), ("b", "ACTIVE", "IN_PROGRESS")]);
        assert_eq!(told(&during, &after), ["IN_PROGRESS c"]);
    }

    #[test]
    fn events_are_shaped_as_those_of_aws() {
        let fixed = &["eventType", "eventName"];
        let event = |kind| super::told(SERVICE, "arn:prod", "ecs-svc/1", kind, Timestamp::UNIX_EPOCH);
        assert_shaped_like(
            &event(Kind::InProgress),
            include_str!("../../samples/ecs-in-progress.json"),
            fixed,
        );
        assert_shaped_like(
            &event(Kind::RollingBack),
            include_str!("../../samples/ecs-in-progress.json"),
            fixed,
        );
        assert_shaped_like(&event(Kind::Completed), include_str!("../../samples/ecs-completed.json"), fixed);
        assert_shaped_like(&event(Kind::Failed), include_str!("../../samples/ecs-failed.json"), fixed);
    }
}
