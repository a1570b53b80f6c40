//! Tests of the images that EventBridge rules, schedules, pipes and AWS Batch name.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use stablepin_rules::application::Source;
use stablepin_tests::sources_fake::{cluster, task_definition};

use super::fixtures::{AccountFake, image, registers};
use crate::in_use::Used;

/// Returns the EventBridge rules, schedules, pipes and jobs that name this image. Leaves out plain
/// `task definition …` entries, since a family's newest revisions count as used in any case.
fn named_by(used: &[Used], digit: u8) -> Vec<&str> {
    let names = |one: &&Used| one.image == Some(image(digit)) && !one.by.starts_with("task definition");
    used.iter().filter(names).map(|one| one.by.as_str()).collect()
}

/// Creates a task definition family of seven revisions, each with its own image. The newest three
/// revisions count as used in any case.
fn seven_revisions() -> AccountFake {
    let account = AccountFake::new();
    account.ecs.cluster("prod");
    (1..=7).for_each(|digit| drop(registers(&account.ecs, "nightly", digit)));
    account
}

fn runs(definition: &str) -> serde_json::Value {
    json!({ "Arn": cluster("prod"), "EcsParameters": { "TaskDefinitionArn": task_definition(definition) } })
}

#[tokio::test]
async fn eventbridge_rules_use_images_of_their_revisions() {
    let account = seven_revisions();
    account.sources.rule("default", "night", json!([runs("nightly:1")]));
    account.sources.rule("shop", "noon", json!([{ "Arn": "arn:aws:sqs:x" }, runs("nightly:2")]));
    account.sources.rule("default", "newest", json!([runs("nightly")]));
    account.sources.rule("default", "gone", json!([runs("nightly:99"), runs("nothing")]));
    account.sources.rule("default", "other", json!([{ "Arn": "arn:aws:sqs:x" }]));
    let found = account.read().await.unwrap();
    assert_eq!(named_by(&found, 1), ["the rule night, task definition nightly:1"]);
    assert_eq!(named_by(&found, 2), ["the rule noon of the bus shop, task definition nightly:2"]);
    assert_eq!(named_by(&found, 7), ["the rule newest, task definition nightly:7"]);
    assert_eq!(named_by(&found, 3), Vec::<&str>::new());
    assert_eq!(account.sources.count("ListTargetsByRule"), 4, "the rule `other` starts no task or job");
}

#[tokio::test]
async fn eventbridge_rule_uses_a_revision_registered_after_the_rule() {
    let account = seven_revisions();
    account.sources.rule("default", "night", json!([runs("nightly:8")]));
    account.read().await.unwrap();
    (8..=9).for_each(|digit| drop(registers(&account.ecs, "nightly", digit)));
    (1..=3).for_each(|_| drop(registers(&account.ecs, "nightly", 1)));
    let found = account.read().await.unwrap();
    assert_eq!(named_by(&found, 8), ["the rule night, task definition nightly:8"]);
}

#[tokio::test]
async fn schedules_use_images_of_their_targets_and_inputs() {
    let account = seven_revisions();
    let call = |action: &str, input: &str| json!({ "Arn": format!("arn:aws:scheduler:::aws-sdk:{action}"), "Input": input });
    let schedule = |name: &str, target| account.sources.schedule(name, target);
    schedule("plain", runs("nightly:1"));
    schedule("call", call("ecs:runTask", r#"{"Cluster":"prod","TaskDefinition":"nightly:2"}"#));
    let image_3 = format!(r#"{{"ContainerDefinitions":[{{"Image":"{}"}}]}}"#, image(3));
    schedule("registers", call("ecs:registerTaskDefinition", &image_3));
    schedule("scales", call("ecs:updateService", r#"{"Service":"web","DesiredCount":0}"#));
    schedule(
        "elsewhere",
        call("ecs:runTask", r#"{"TaskDefinition":"arn:aws:ecs:us-east-1:444455556666:task-definition/a:1"}"#),
    );
    schedule("stops", call("ec2:stopInstances", "{}"));
    schedule("message", json!({ "Arn": "arn:aws:sqs:us-east-1:000000000000:q", "Input": "TaskDefinition" }));
    let found = account.read().await.unwrap();
    assert_eq!(named_by(&found, 1), ["the schedule default/plain, task definition nightly:1"]);
    assert_eq!(named_by(&found, 2), ["the schedule default/call, task definition nightly:2"]);
    assert_eq!(named_by(&found, 3), ["the schedule default/registers"]);
    assert_eq!(named_by(&found, 4), Vec::<&str>::new());
    assert_eq!(account.sources.count("GetSchedule"), 5);
}

#[tokio::test]
async fn pipes_use_images_of_their_targets() {
    let account = seven_revisions();
    let parameters =
        |name: &str| json!({ "EcsTaskParameters": { "TaskDefinitionArn": task_definition(name) } });
    account.sources.pipe("orders", &cluster("prod"), parameters("nightly:1"));
    account.sources.pipe("other", "arn:aws:lambda:us-east-1:000000000000:function:f", json!({}));
    let found = account.read().await.unwrap();
    assert_eq!(named_by(&found, 1), ["the pipe orders, task definition nightly:1"]);
    assert_eq!(account.sources.count("DescribePipe"), 1);
}

#[tokio::test]
async fn images_of_active_aws_batch_definitions_and_jobs_are_in_use() {
    let account = AccountFake::new();
    let queue = account.sources.job_queue("jobs");
    let container = |digit| json!({ "image": image(digit) });
    let job = |revision, members| account.sources.job_definition("etl", revision, members);
    job(1, json!({ "containerProperties": container(1), "status": "INACTIVE" }));
    job(2, json!({ "containerProperties": container(2), "status": "INACTIVE" }));
    job(3, json!({ "nodeProperties": { "nodeRangeProperties": [{ "container": container(3) }] } }));
    job(4, json!({ "ecsProperties": { "taskProperties": [{ "containers": [container(4)] }] } }));
    let pod = json!({ "containers": [container(5)], "initContainers": [container(6)] });
    job(5, json!({ "eksProperties": { "podProperties": pod } }));
    account.sources.rule(
        "default",
        "old",
        json!([{ "Arn": queue, "BatchParameters": { "JobDefinition": "etl:1", "JobName": "a" } }]),
    );
    account.sources.job("waits", &queue, "RUNNABLE", json!({ "container": container(7) }));
    account.sources.job("ended", &queue, "SUCCEEDED", json!({ "container": container(8) }));
    let found = account.read().await.unwrap();
    let by: Vec<Vec<&str>> = (1..=8).map(|digit| named_by(&found, digit)).collect();
    let expected: [&[&str]; 8] = [
        &["the rule old, job definition etl:1"],
        &[],
        &["job definition etl:3"],
        &["job definition etl:4"],
        &["job definition etl:5"],
        &["job definition etl:5"],
        &["job waits"],
        &[],
    ];
    assert_eq!(by, expected);
}

#[tokio::test]
async fn read_fails_if_an_unwaived_source_is_unreadable() {
    for (operation, source) in [
        ("ListEventBuses", Source::EventBridge),
        ("ListRuleNamesByTarget", Source::EventBridge),
        ("ListTargetsByRule", Source::EventBridge),
        ("ListSchedules", Source::Scheduler),
        ("GetSchedule", Source::Scheduler),
        ("ListPipes", Source::Pipes),
        ("DescribePipe", Source::Pipes),
        ("DescribeJobDefinitions", Source::Batch),
        ("DescribeJobQueues", Source::Batch),
        ("ListJobs", Source::Batch),
        ("DescribeJobs", Source::Batch),
    ] {
        let mut account = seven_revisions();
        let sources = &account.sources;
        sources.rule("default", "night", json!([runs("nightly:1")]));
        sources.schedule("night", runs("nightly:1"));
        sources.pipe(
            "night",
            &cluster("prod"),
            json!({ "EcsTaskParameters": { "TaskDefinitionArn": task_definition("nightly:1") } }),
        );
        let queue = sources.job_queue("jobs");
        sources.job("waits", &queue, "PENDING", json!({}));
        sources.refuses(operation, 403, "AccessDeniedException");
        let failed = account.read().await.expect_err(operation);
        let text = failed.to_string();
        assert!(text.contains(&format!("which images {source} uses")), "{text}");
        assert!(text.contains(&format!("waive = [\"{source}\"]")), "{text}");
        assert!(!failed.is_retryable(), "{operation}");
        account.sources.refuses(operation, 400, "ThrottlingException");
        assert!(account.read().await.expect_err(operation).is_retryable(), "{operation}");
        account.waived = BTreeSet::from([source]);
        let found = account.read().await.unwrap();
        assert_eq!(named_by(&found, 1).len(), if source == Source::Batch { 3 } else { 2 }, "{operation}");
    }
}

#[tokio::test]
async fn read_fails_if_a_name_is_known_only_at_run_time() {
    let call = |input: &str| json!({ "Arn": "arn:aws:scheduler:::aws-sdk:ecs:runTask", "Input": input });
    for input in [r#"{"TaskDefinition":"nightly:<aws.scheduler.execution-id>"}"#, "TaskDefinition: nightly"] {
        let account = seven_revisions();
        account.sources.schedule("odd", call(input));
        let failed = account.read().await.unwrap_err();
        let mut text = failed.to_string();
        text += &std::error::Error::source(&failed).map(ToString::to_string).unwrap_or_default();
        assert!(text.contains("the schedule default/odd") && text.contains("scheduler"), "{text}");
        assert!(!failed.is_retryable());
    }
    let mut account = seven_revisions();
    let parameters = json!({ "EcsTaskParameters": { "TaskDefinitionArn": "$.body.definition" } });
    account.sources.pipe("any", &cluster("prod"), parameters);
    let text = account.read().await.unwrap_err().to_string();
    assert!(text.contains("the pipe any names \"$.body.definition\""), "{text}");
    account.waived = BTreeSet::from([Source::Pipes]);
    account.read().await.unwrap();
}

#[tokio::test]
async fn read_skips_eventbridge_rules_and_schedules_without_tasks() {
    let account = seven_revisions();
    for number in 0..1000 {
        let other = json!({ "Arn": "arn:aws:lambda:us-east-1:000000000000:function:f" });
        let target = if number % 10 == 0 { runs("nightly:1") } else { other };
        account.sources.rule("default", &format!("rule-{number}"), json!([target]));
        account.sources.schedule(&format!("schedule-{number}"), target.clone());
    }
    account.read().await.unwrap();
    for (call, count) in [
        ("ListEventBuses", 1),
        ("ListRuleNamesByTarget", 1),
        ("ListTargetsByRule", 100),
        ("ListSchedules", 10),
        ("GetSchedule", 100),
        ("ListPipes", 1),
        ("DescribePipe", 0),
        ("DescribeJobDefinitions", 1),
        ("DescribeJobQueues", 1),
        ("ListJobs", 0),
    ] {
        assert_eq!(account.sources.count(call), count, "{call}");
    }
    assert_eq!(account.ecs.count("DescribeTaskDefinition"), 4);
    // A dry run of the same night does not read the schedules again.
    let now = Timestamp::now();
    account.read_for(now - SignedDuration::from_mins(5), now).await.unwrap();
    assert_eq!(account.sources.count("GetSchedule"), 100);
}
