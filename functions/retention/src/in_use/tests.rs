use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use serde_json::json;
use stablepin_aws::session::{Session, Settings};
use stablepin_tests::ecs_fake::{ControllerKind, DeploymentOutcome, EcsFake, Reported};
use stablepin_tests::sources_fake::{ACCOUNT, SourcesFake, cluster, task_definition};

use super::*;

const REPOSITORY: &str = "000000000000.dkr.ecr.us-east-1.amazonaws.com/web";

fn is_send<T: Send>(_: &T) {}

/// A runtime may move the function's future between threads.
#[expect(dead_code, reason = "it only has to compile")]
fn in_use_future_is_send(account: super::Account<'_>, cache: &mut TaskDefinitions) {
    is_send(&in_use(account, 3, Timestamp::MIN, Timestamp::MIN, cache));
}

fn digest(digit: u8) -> ImageDigest {
    ImageDigest::parse(&format!("sha256:{}", digit.to_string().repeat(64))).unwrap()
}

fn image(digit: u8) -> String {
    format!("{REPOSITORY}@{}", digest(digit))
}

fn tagged(tag: &str) -> String {
    format!("{REPOSITORY}:{tag}")
}

/// A fake Lambda that chooses its answer by the end of the request's path.
fn lambda_answering(answers: &'static [(&'static str, u16, &'static str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || converse(stream, answers));
        }
    });
    url
}

fn converse(mut stream: TcpStream, answers: &[(&str, u16, &str)]) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
        let asked = line.split(' ').nth(1).unwrap_or_default().to_owned();
        while line.trim_end() != "" {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        line.clear();
        let answer = answers.iter().find(|(part, ..)| asked.contains(part));
        let (_, status, body) = answer.unwrap_or(&("", 501, "{}"));
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status} -\r\ncontent-type: application/json\r\ncontent-length: {length}");
        if write!(stream, "{head}\r\n\r\n{body}").is_err() {
            return;
        }
    }
}

const NO_FUNCTIONS: &[(&str, u16, &str)] = &[("/functions", 200, "{\"Functions\":[]}")];

struct AccountFake {
    ecs: EcsFake,
    sources: SourcesFake,
    waived: BTreeSet<Source>,
    lambda: &'static [(&'static str, u16, &'static str)],
    cache: RefCell<TaskDefinitions>,
}

impl AccountFake {
    fn new() -> Self {
        let ecs = EcsFake::start();
        ecs.by_hand();
        let (sources, waived) = (SourcesFake::start(), BTreeSet::new());
        Self { ecs, sources, waived, lambda: NO_FUNCTIONS, cache: RefCell::default() }
    }

    /// Reads for a run that begins now.
    async fn read(&self) -> Result<Vec<Used>, InUseError> {
        let now = Timestamp::now();
        self.read_for(now, now).await
    }

    async fn read_for(&self, since: Timestamp, now: Timestamp) -> Result<Vec<Used>, InUseError> {
        let settings = Settings::read(|name| {
            let value = match name {
                "AWS_REGION" => "us-east-1".to_owned(),
                "AWS_ACCESS_KEY_ID" => "AKIAEXAMPLE".to_owned(),
                "AWS_SECRET_ACCESS_KEY" => "secret".to_owned(),
                "AWS_ENDPOINT_URL" => self.sources.url(),
                "AWS_ENDPOINT_URL_ECS" => self.ecs.url(),
                "AWS_ENDPOINT_URL_LAMBDA" => lambda_answering(self.lambda),
                _ => return None,
            };
            Some(value)
        });
        let mut settings = settings.unwrap();
        settings.patient_attempts = 1;
        let session = Session::new(settings);
        let mut cache = self.cache.take();
        let account = super::Account {
            ecs: &Ecs::patient(&session),
            lambda: &Lambda::new(&session),
            sources: &Sources::new(&session, ACCOUNT.to_owned()),
            waived: &self.waived,
        };
        let found = in_use(account, 3, since, now, &mut cache).await;
        self.cache.replace(cache);
        found
    }
}

fn used(by: &str, image: &str, digest: Option<ImageDigest>) -> Used {
    Used { by: by.to_owned(), image: Some(image.to_owned()), digest }
}

fn by_of<'a>(used: &'a [Used], digest: &ImageDigest) -> Vec<&'a str> {
    used.iter().filter(|one| one.digest.as_ref() == Some(digest)).map(|one| one.by.as_str()).collect()
}

/// Replaces the ids, which differ in each run.
fn without_ids(used: Vec<Used>) -> Vec<Used> {
    let named = |by: String| {
        let mut words: Vec<&str> = by.split(' ').collect();
        match words[..] {
            ["task", id, "of", ..] if id != "definition" => words[1] = "…",
            ["service", "revision", ..] => words[2] = "…",
            _ => {}
        }
        words.join(" ")
    };
    used.into_iter().map(|one| Used { by: named(one.by), ..one }).collect()
}

#[tokio::test]
async fn settled_service_uses_its_revision_and_tasks() {
    let account = AccountFake::new();
    let web = account.ecs.service("prod/web").runs(&tagged("main")).container("proxy", &image(2)).create();
    account.ecs.reports(&tagged("main"), &Reported::Digest(digest(1).to_string()));
    web.advance();
    let found = without_ids(account.read().await.unwrap());
    let main = tagged("main");
    assert_eq!(
        found,
        [
            used("service prod/web, task definition web:1", &main, None),
            used("service prod/web, task definition web:1", &image(2), None),
            used("service revision … of prod/web", &main, Some(digest(1))),
            used("service revision … of prod/web", &image(2), Some(digest(2))),
            used("task … of service prod/web", &main, Some(digest(1))),
            used("task … of service prod/web", &image(2), Some(digest(2))),
            used("task definition web:1", &main, None),
            used("task definition web:1", &image(2), None),
        ]
    );
    assert_eq!(account.ecs.count("ListServiceDeployments"), 0, "no deployment is open");
    let calls =
        ["ListClusters", "ListServices", "DescribeServices", "DescribeServiceRevisions", "DescribeTasks"];
    assert!(calls.iter().all(|call| account.ecs.count(call) == 1));
    assert_eq!(account.ecs.count("ListTasks"), 2);
}

#[tokio::test]
async fn service_scaled_to_zero_keeps_its_resolved_image() {
    let account = AccountFake::new();
    account.ecs.reports(&tagged("main"), &Reported::Digest(digest(1).to_string()));
    let web = account.ecs.service("prod/web").runs(&tagged("main")).create();
    web.scales_to(0);
    for _ in 0..5 {
        web.advance();
    }
    account.ecs.time_passes(jiff::SignedDuration::from_hours(2));
    let found = without_ids(account.read().await.unwrap());
    assert_eq!(by_of(&found, &digest(1)), ["service revision … of prod/web"], "{found:?}");
}

#[tokio::test]
async fn open_deployment_uses_its_source_and_target_revisions() {
    let account = AccountFake::new();
    for (tag, digit) in [("one", 1), ("two", 2), ("three", 3)] {
        account.ecs.reports(&tagged(tag), &Reported::Digest(digest(digit).to_string()));
    }
    let web = account.ecs.service("prod/web").runs(&tagged("one")).circuit_breaker(true).create();
    web.deploys_meanwhile(&tagged("two"));
    let found = without_ids(account.read().await.unwrap());
    assert!(account.ecs.count("ListServiceDeployments") == 1);
    assert!(account.ecs.count("DescribeServiceDeployments") == 1);
    assert!(by_of(&found, &digest(1)).contains(&"service revision … of prod/web"), "{found:?}");
    for _ in 0..5 {
        web.advance();
    }
    let found = without_ids(account.read().await.unwrap());
    assert!(by_of(&found, &digest(2)).contains(&"service revision … of prod/web"), "{found:?}");

    // The next deployment fails and rolls back to the last successful revision.
    web.will(DeploymentOutcome::CrashesUntilTheBreaker);
    web.deploys_meanwhile(&tagged("three"));
    web.advance();
    account.cache.take();
    let found = without_ids(account.read().await.unwrap());
    assert!(by_of(&found, &digest(2)).contains(&"service revision … of prod/web"), "{found:?}");
    let named: Vec<_> = found.iter().filter(|one| one.image == Some(tagged("three"))).collect();
    assert!(!named.is_empty());
}

#[tokio::test]
async fn service_of_another_controller_uses_its_task_sets() {
    let account = AccountFake::new();
    account.ecs.service("prod/blue").runs(&image(1)).controller(ControllerKind::CodeDeploy).create();
    let found = account.read().await.unwrap();
    assert!(found.contains(&used("service prod/blue, task definition blue:1", &image(1), None)), "{found:?}");
    assert_eq!(account.ecs.count("ListServiceDeployments"), 0);
}

#[tokio::test]
async fn task_that_stopped_recently_still_counts() {
    let account = AccountFake::new();
    let web = account.ecs.service("prod/web").runs(&image(1)).create();
    web.scales_to(0);
    for _ in 0..5 {
        web.advance();
    }
    let found = without_ids(account.read().await.unwrap());
    assert!(by_of(&found, &digest(1)).contains(&"task … of service prod/web"), "{found:?}");
}

fn registers(ecs: &EcsFake, family: &str, digit: u8) -> String {
    let containers = json!([{ "name": "web", "image": image(digit), "memory": 64 }]);
    ecs.registers(&json!({ "family": family, "containerDefinitions": containers }))
}

#[tokio::test]
async fn newest_three_active_revisions_of_a_family_count() {
    let account = AccountFake::new();
    for digit in 1..=5 {
        registers(&account.ecs, "job", digit);
    }
    registers(&account.ecs, "job-of-another-family", 6);
    account.ecs.deregisters("job:4");
    let found = account.read().await.unwrap();
    let expected = [
        used("task definition job-of-another-family:1", &image(6), None),
        used("task definition job:2", &image(2), None),
        used("task definition job:3", &image(3), None),
        used("task definition job:5", &image(5), None),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn task_definition_is_read_once_and_forgotten_when_unused() {
    let account = AccountFake::new();
    for digit in 1..=4 {
        registers(&account.ecs, "job", digit);
    }
    let first = account.read().await.unwrap();
    assert_eq!(account.ecs.count("DescribeTaskDefinition"), 3);
    assert_eq!(account.read().await.unwrap(), first);
    assert_eq!(account.ecs.count("DescribeTaskDefinition"), 3);
    registers(&account.ecs, "job", 5);
    account.read().await.unwrap();
    assert_eq!(account.ecs.count("DescribeTaskDefinition"), 4);
    assert_eq!(account.cache.borrow().images.len(), 3);
    assert!(account.cache.borrow().images.keys().all(|arn| !arn.ends_with("/job:2")));
}

#[tokio::test]
async fn dry_runs_of_one_night_share_the_families() {
    let account = AccountFake::new();
    registers(&account.ecs, "job", 1);
    let web = account.ecs.service("prod/web").runs(&image(2)).create();
    let night: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
    let minute = |number| night + SignedDuration::from_mins(number);
    let by_name = |used: &[Used], digit| {
        used.iter().any(|one| one.by.starts_with("task definition job") && one.image == Some(image(digit)))
    };
    let first = account.read_for(night, minute(1)).await.unwrap();
    let families = || account.ecs.count("ListTaskDefinitionFamilies");
    assert_eq!(families(), 1);

    registers(&account.ecs, "job", 3);
    web.deploys_meanwhile(&image(4));
    let next = account.read_for(night, minute(10)).await.unwrap();
    assert_eq!((families(), by_name(&first, 1), by_name(&next, 3)), (1, true, false));
    let brings =
        |used: &[Used]| used.iter().any(|one| one.by.starts_with("service") && one.image == Some(image(4)));
    assert_eq!((brings(&first), brings(&next)), (false, true), "the images of services are read each time");

    let asked_later = account.read_for(minute(2), minute(10)).await.unwrap();
    assert_eq!((families(), by_name(&asked_later, 3)), (2, true));
    account.read_for(night, minute(19)).await.unwrap();
    assert_eq!(families(), 2);
    account.read_for(night, minute(20)).await.unwrap();
    assert_eq!(families(), 3, "the families are read again after ten minutes");
}

#[tokio::test]
async fn many_services_need_few_calls() {
    let account = AccountFake::new();
    for number in 0..45 {
        account.ecs.service(&format!("prod/web-{number}")).runs(&image(1)).create();
    }
    let found = account.read().await.unwrap();
    assert_eq!(by_of(&found, &digest(1)).len(), 90, "45 tasks and 45 revisions");
    for (call, count) in [
        ("ListServices", 1),
        ("DescribeServices", 5),
        ("DescribeTasks", 1),
        ("DescribeServiceRevisions", 3),
        ("ListServiceDeployments", 0),
        ("ListTaskDefinitionFamilies", 1),
    ] {
        assert_eq!(account.ecs.count(call), count, "{call}");
    }
}

#[tokio::test]
async fn failed_call_fails_the_whole_read_and_is_named() {
    for (call, named) in [
        ("ListClusters", "its clusters"),
        ("ListServices", "its services"),
        ("DescribeServices", "its services"),
        ("ListServiceDeployments", "the deployments of its services"),
        ("DescribeServiceDeployments", "the deployments of its services"),
        ("DescribeServiceRevisions", "the revisions that its services may return to"),
        ("ListTasks", "its tasks"),
        ("DescribeTasks", "its tasks"),
        ("ListDaemons", "its daemons"),
        ("ListTaskDefinitionFamilies", "the newest revisions of its task definitions"),
        ("ListTaskDefinitions", "the newest revisions of its task definitions"),
        ("DescribeTaskDefinition", "the images of its task definitions"),
    ] {
        for (code, retryable) in [("AccessDeniedException", false), ("ThrottlingException", true)] {
            // An open deployment needs every call. Each case has its own fake, since a failure
            // leaves other calls running.
            let account = AccountFake::new();
            let web = account.ecs.service("prod/web").runs(&image(1)).create();
            web.deploys_meanwhile(&image(2));
            account.ecs.refuses_next(call, 400, code);
            let failed = account.read().await.expect_err(call);
            let text = failed.to_string();
            assert_eq!(text, format!("it is not known which images ECS uses: {named} could not be read"));
            let source = std::error::Error::source(&failed).unwrap().to_string();
            assert!(source.contains(call), "{source}");
            assert_eq!(failed.is_retryable(), retryable, "{call}");
        }
    }
}

#[tokio::test]
async fn inaccessible_service_fails_the_whole_read() {
    let account = AccountFake::new();
    account.ecs.service("prod/web").runs(&image(1)).create().is_unreachable();
    let failed = account.read().await.unwrap_err();
    assert!(matches!(failed, InUseError::Ecs { step: ReadStep::Services, .. }), "{failed}");
    assert!(!failed.is_retryable());
}

#[tokio::test]
async fn empty_account_uses_nothing() {
    let account = AccountFake::new();
    account.ecs.cluster("empty");
    assert_eq!(account.read().await.unwrap(), []);
}

#[tokio::test]
async fn functions_use_their_named_and_resolved_images() {
    let mut account = AccountFake::new();
    account.lambda = &[
        (
            "/functions/resize",
            200,
            r#"{"Code":{"ImageUri":"111.example/web:main","ResolvedImageUri":"111.example/web@sha256:01"}}"#,
        ),
        (
            "/functions",
            200,
            r#"{"Functions":[{"FunctionName":"resize","Version":"3","PackageType":"Image"}]}"#,
        ),
    ];
    let found = account.read().await.unwrap();
    let by = "function resize, version 3";
    assert_eq!(found, [used(by, "111.example/web:main", None), used(by, "111.example/web@sha256:01", None)]);

    account.lambda = &[("/functions", 403, r#"{"Type":"User","Message":"no"}"#)];
    let failed = account.read().await.unwrap_err();
    assert!(matches!(failed, InUseError::Lambda(_)), "{failed}");
    assert_eq!(failed.to_string(), "it is not known which images Lambda uses");
}

/// The users that name this image. `task definition …` alone is left out, since a family's newest
/// revisions count anyway.
fn named_by(used: &[Used], digit: u8) -> Vec<&str> {
    let names = |one: &&Used| one.image == Some(image(digit)) && !one.by.starts_with("task definition");
    used.iter().filter(names).map(|one| one.by.as_str()).collect()
}

/// A family of seven revisions, each with its own image. The newest three count anyway.
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
async fn rules_use_the_revisions_they_name() {
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
async fn revision_named_before_it_exists_counts_later() {
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
async fn batch_uses_active_definitions_and_open_jobs() {
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
async fn unreadable_source_fails_the_read_unless_waived() {
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
async fn dynamic_name_fails_the_whole_read() {
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
async fn thousand_rules_and_schedules_need_few_calls() {
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
    // A dry run of the same night does not read them again.
    let now = Timestamp::now();
    account.read_for(now - SignedDuration::from_mins(5), now).await.unwrap();
    assert_eq!(account.sources.count("GetSchedule"), 100);
}
