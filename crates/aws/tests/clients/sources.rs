//! Tests of the clients of the four services that start tasks and jobs by name.

use serde_json::json;
use stablepin_aws::batch::Batch;
use stablepin_aws::eventbridge::rules::{RuleName, Rules};
use stablepin_aws::mentioned::Mentioned;
use stablepin_aws::pipes::Pipes;
use stablepin_aws::scheduler::{ScheduleName, Scheduler};
use stablepin_aws::session::Session;
use stablepin_retention_rules::mentions::Mention;

use crate::wire::{ACCESS_KEY, REGION, Request, Wire, bytes, chain, error, ok};

const CLUSTER: &str = "arn:aws:ecs:eu-west-1:111122223333:cluster/prod";

fn task(by: &str, name: &str) -> Mentioned {
    Mentioned { by: by.to_owned(), mention: Mention::TaskDefinition(name.to_owned()) }
}

fn is_signed_for(request: &Request, service: &str) -> bool {
    let signed = &request.headers["authorization"];
    let scope = format!("/{REGION}/{service}/aws4_request");
    signed.starts_with(&format!("AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/")) && signed.contains(&scope)
}

#[tokio::test]
async fn eventbridge_rules_client_uses_the_json_1_1_protocol() {
    let wire = Wire::answering([
        ok(json!({"EventBuses": [{"Name": "default"}], "NextToken": "2"})),
        ok(json!({"EventBuses": [{"Name": "shop"}]})),
        ok(json!({"RuleNames": ["night"]})),
        ok(json!({"Targets": [
            {"Id": "1", "Arn": CLUSTER, "EcsParameters": {"TaskDefinitionArn": "web:3", "TaskCount": 1}},
            {"Id": "2", "Arn": "arn:aws:sqs:x", "Input": "{\"image\": \"other\"}"},
        ]})),
        error(400, "ResourceNotFoundException"),
    ]);
    let rules = Rules::new(&wire.session());
    assert_eq!(rules.buses().await.unwrap(), ["default", "shop"]);
    let night = RuleName { bus: "shop".to_owned(), rule: "night".to_owned() };
    assert_eq!(rules.with_target("shop", CLUSTER).await.unwrap(), std::slice::from_ref(&night));
    let found = rules.mentioned(&night).await.unwrap();
    assert_eq!(found, [task("the rule night of the bus shop", "web:3")]);
    assert_eq!(rules.mentioned(&night).await.unwrap(), [], "a deleted rule names nothing");

    let requests = wire.requests();
    let asked = &requests[2];
    assert_eq!(asked.headers["x-amz-target"], "AWSEvents.ListRuleNamesByTarget");
    assert_eq!(asked.headers["content-type"], "application/x-amz-json-1.1");
    let body = json!({"EventBusName": "shop", "TargetArn": CLUSTER, "Limit": 100, "NextToken": null});
    assert_eq!(asked.json(), body);
    assert_eq!(requests[1].json()["NextToken"], "2");
    assert!(
        requests.iter().all(|one| is_signed_for(one, "events") && one.method == "POST" && one.path == "/")
    );
}

#[tokio::test]
async fn client_lists_only_schedules_that_can_run_an_image() {
    let summary =
        |name: &str, arn: &str| json!({"GroupName": "team a", "Name": name, "Target": {"Arn": arn}});
    let call = "arn:aws:scheduler:::aws-sdk:ecs:runTask";
    let wire = Wire::answering([
        ok(
            json!({"Schedules": [summary("queue", "arn:aws:sqs:x"), summary("night", call)], "NextToken": "a/b="}),
        ),
        ok(json!({"Schedules": []})),
        ok(json!({"Target": {"Arn": call, "Input": "{\"TaskDefinition\":\"web:3\"}"}})),
        error(404, "ResourceNotFoundException"),
        ok(json!({"Target": {"Arn": call, "Input": "TaskDefinition=web"}})),
    ]);
    let scheduler = Scheduler::new(&wire.session());
    let night = ScheduleName { group: "team a".to_owned(), name: "night".to_owned() };
    assert_eq!(scheduler.schedules().await.unwrap(), std::slice::from_ref(&night));
    let by = "the schedule team a/night";
    assert_eq!(scheduler.mentioned(&night).await.unwrap(), [task(by, "web:3")]);
    assert_eq!(scheduler.mentioned(&night).await.unwrap(), []);
    let failed = scheduler.mentioned(&night).await.unwrap_err();
    let text =
        format!("could not read {by} (GetSchedule): its input is no valid JSON: correct it or delete it: ");
    assert!(chain(&failed).starts_with(&text) && !failed.is_retryable(), "{}", chain(&failed));

    let requests = wire.requests();
    let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    let read = "/schedules/night?groupName=team%20a";
    assert_eq!(paths[..2], ["/schedules?MaxResults=100", "/schedules?MaxResults=100&NextToken=a%2Fb%3D"]);
    assert_eq!(paths[2..], [read, read, read]);
    assert!(requests.iter().all(|one| is_signed_for(one, "scheduler") && one.method == "GET"));
}

#[tokio::test]
async fn client_lists_only_pipes_that_target_ecs_or_aws_batch() {
    let wire = Wire::answering([
        ok(json!({"Pipes": [{"Name": "a", "Target": "arn:aws:lambda:x"}, {"Name": "b", "Target": CLUSTER}]})),
        ok(json!({"Name": "b", "TargetParameters": {"EcsTaskParameters": {"TaskDefinitionArn": "web"}}})),
        error(404, "NotFoundException"),
    ]);
    let pipes = Pipes::new(&wire.session());
    assert_eq!(pipes.names().await.unwrap(), ["b"]);
    assert_eq!(pipes.mentioned("b").await.unwrap(), [task("the pipe b", "web")]);
    assert_eq!(pipes.mentioned("b").await.unwrap(), []);
    let requests = wire.requests();
    assert_eq!(
        (requests[0].path.as_str(), requests[1].path.as_str()),
        ("/v1/pipes?Limit=100", "/v1/pipes/b")
    );
    assert!(requests.iter().all(|one| is_signed_for(one, "pipes")));
}

#[tokio::test]
async fn client_reads_images_of_aws_batch_job_definitions_and_jobs() {
    let container = |image: &str| json!({ "image": image, "vcpus": 1 });
    let wire = Wire::answering([
        ok(json!({"jobDefinitions": [{
            "jobDefinitionName": "etl", "revision": 7, "status": "ACTIVE",
            "containerProperties": container("a"),
            "nodeProperties": {"nodeRangeProperties": [
                {"container": container("b")},
                {"eksProperties": {"podProperties": {"initContainers": [container("c")]}}},
            ]},
        }], "nextToken": "2"})),
        ok(json!({"jobDefinitions": [{"jobDefinitionName": "etl", "revision": 6, "status": "INACTIVE"}]})),
        ok(json!({"jobSummaryList": [{"jobId": "1"}]})),
        ok(
            json!({"jobs": [{"jobId": "1", "ecsProperties": {"taskProperties": [{"containers": [container("d")]}]}}]}),
        ),
    ]);
    let batch = Batch::new(&wire.session());
    let found = batch.job_definitions().await.unwrap();
    let listed: Vec<_> = found.iter().map(|one| (one.revision, one.is_active, one.images.len())).collect();
    assert_eq!(listed, [(7, true, 3), (6, false, 0)]);
    assert_eq!(batch.job_ids("queue", "PENDING").await.unwrap(), ["1"]);
    let jobs = batch.jobs(&["1".to_owned()]).await.unwrap();
    assert_eq!(jobs[0].images.iter().collect::<Vec<_>>(), ["d"]);
    let requests = wire.requests();
    let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    let definitions = "/v1/describejobdefinitions";
    assert_eq!(paths, [definitions, definitions, "/v1/listjobs", "/v1/describejobs"]);
    let asked = json!({"jobQueue": "queue", "jobStatus": "PENDING", "maxResults": 100, "nextToken": null});
    assert_eq!(requests[2].json(), asked);
    assert!(requests.iter().all(|one| is_signed_for(one, "batch") && one.method == "POST"));
}

#[tokio::test]
async fn error_includes_the_message_of_the_service() {
    let wire = Wire::answering([
        error(403, "com.amazon.coral#AccessDeniedException"),
        error(429, "x").header("x-amzn-errortype", "ThrottlingException:http://internal"),
        bytes("<html>"),
        ok(json!({"Pipes": [], "NextToken": "1"})),
        ok(json!({"Pipes": [], "NextToken": "1"})),
        ok(json!({"Pipes": [{"Target": CLUSTER}]})),
    ]);
    let pipes = Pipes::new(&wire.session());
    let refused = pipes.names().await.unwrap_err();
    let text = "could not read the pipes of EventBridge Pipes (ListPipes): AccessDeniedException: told by the test (HTTP 403";
    assert!(chain(&refused).starts_with(text) && !refused.is_retryable(), "{}", chain(&refused));
    assert!(pipes.names().await.unwrap_err().is_retryable());
    assert!(pipes.names().await.unwrap_err().is_retryable(), "an unreadable response is worth a retry");
    assert!(chain(&pipes.names().await.unwrap_err()).ends_with("the list does not end"));
    assert!(chain(&pipes.names().await.unwrap_err()).ends_with("the answer has no valid Name"));
}

#[tokio::test]
async fn pipes_client_retries_a_throttled_call() {
    let wire = Wire::answering([
        error(400, "ThrottlingException"),
        error(500, "InternalException"),
        ok(json!({"Pipes": []})),
    ]);
    let mut settings = wire.settings();
    settings.patient_attempts = 3;
    assert_eq!(Pipes::new(&Session::new(settings)).names().await.unwrap(), Vec::<String>::new());
    assert_eq!(wire.requests().len(), 3);
}
