use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use serde_json::json;
use stablepin_aws::session::{Session, Settings};
use stablepin_tests::ecs_double::{Controller, EcsDouble, Outcome, Reported};

use super::*;

const REPOSITORY: &str = "000000000000.dkr.ecr.us-east-1.amazonaws.com/web";

fn is_send<T: Send>(_: &T) {}

/// A runtime may move the function's work between threads.
#[expect(dead_code, reason = "it need only compile")]
fn it_can_be_moved(ecs: &Ecs, lambda: &Lambda, cache: &mut TaskDefinitions) {
    is_send(&in_use(ecs, lambda, 3, Timestamp::MIN, Timestamp::MIN, cache));
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

/// A Lambda that answers every call with this, by what its path ends with.
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

struct Account {
    ecs: EcsDouble,
    lambda: &'static [(&'static str, u16, &'static str)],
    cache: RefCell<TaskDefinitions>,
}

impl Account {
    fn new() -> Self {
        let ecs = EcsDouble::start();
        ecs.by_hand();
        Self { ecs, lambda: NO_FUNCTIONS, cache: RefCell::default() }
    }

    /// For a run that begins now.
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
        let found = in_use(&Ecs::patient(&session), &Lambda::new(&session), 3, since, now, &mut cache).await;
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

/// The ids in it are made up anew in each run.
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
async fn what_a_settled_service_uses() {
    let account = Account::new();
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
    assert_eq!(account.ecs.count("ListServiceDeployments"), 0, "nothing goes on");
    let calls =
        ["ListClusters", "ListServices", "DescribeServices", "DescribeServiceRevisions", "DescribeTasks"];
    assert!(calls.iter().all(|call| account.ecs.count(call) == 1));
    assert_eq!(account.ecs.count("ListTasks"), 2);
}

#[tokio::test]
async fn a_service_scaled_to_zero_keeps_what_its_revision_resolved() {
    let account = Account::new();
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
async fn a_deployment_that_goes_on_uses_what_it_came_from_and_what_it_brings() {
    let account = Account::new();
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

    // One that fails, and goes back: the last that went well is what it goes back to.
    web.will(Outcome::CrashesUntilTheBreaker);
    web.deploys_meanwhile(&tagged("three"));
    web.advance();
    account.cache.take();
    let found = without_ids(account.read().await.unwrap());
    assert!(by_of(&found, &digest(2)).contains(&"service revision … of prod/web"), "{found:?}");
    let named: Vec<_> = found.iter().filter(|one| one.image == Some(tagged("three"))).collect();
    assert!(!named.is_empty());
}

#[tokio::test]
async fn a_service_of_another_controller_uses_what_its_task_sets_name() {
    let account = Account::new();
    account.ecs.service("prod/blue").runs(&image(1)).controller(Controller::CodeDeploy).create();
    let found = account.read().await.unwrap();
    assert!(found.contains(&used("service prod/blue, task definition blue:1", &image(1), None)), "{found:?}");
    assert_eq!(account.ecs.count("ListServiceDeployments"), 0);
}

#[tokio::test]
async fn a_task_that_stopped_within_the_hour_still_counts() {
    let account = Account::new();
    let web = account.ecs.service("prod/web").runs(&image(1)).create();
    web.scales_to(0);
    for _ in 0..5 {
        web.advance();
    }
    let found = without_ids(account.read().await.unwrap());
    assert!(by_of(&found, &digest(1)).contains(&"task … of service prod/web"), "{found:?}");
}

fn registers(ecs: &EcsDouble, family: &str, digit: u8) -> String {
    let containers = json!([{ "name": "web", "image": image(digit), "memory": 64 }]);
    ecs.registers(&json!({ "family": family, "containerDefinitions": containers }))
}

#[tokio::test]
async fn the_newest_three_active_revisions_of_each_family_count() {
    let account = Account::new();
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
async fn a_task_definition_is_read_once_and_forgotten_with_its_last_reference() {
    let account = Account::new();
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
async fn the_families_are_read_once_for_all_repositories_of_a_night_and_never_before_it_began() {
    let account = Account::new();
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
    assert_eq!((brings(&first), brings(&next)), (false, true), "what a service brings is as it is now");

    let asked_later = account.read_for(minute(2), minute(10)).await.unwrap();
    assert_eq!((families(), by_name(&asked_later, 3)), (2, true));
    account.read_for(night, minute(19)).await.unwrap();
    assert_eq!(families(), 2);
    account.read_for(night, minute(20)).await.unwrap();
    assert_eq!(families(), 3, "and not for longer");
}

#[tokio::test]
async fn many_services_are_few_calls() {
    let account = Account::new();
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
async fn a_read_that_fails_fails_it_all_and_is_named() {
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
            // One that goes on needs every call. What fails leaves others under way: the next has a double of its own.
            let account = Account::new();
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
async fn a_service_that_may_not_be_seen_fails_it_all() {
    let account = Account::new();
    account.ecs.service("prod/web").runs(&image(1)).create().is_out_of_reach();
    let failed = account.read().await.unwrap_err();
    assert!(matches!(failed, InUseError::Ecs { step: Step::Services, .. }), "{failed}");
    assert!(!failed.is_retryable());
}

#[tokio::test]
async fn an_account_with_nothing_uses_nothing() {
    let account = Account::new();
    account.ecs.cluster("empty");
    assert_eq!(account.read().await.unwrap(), []);
}

#[tokio::test]
async fn functions_use_what_they_name_and_what_that_was_resolved_to() {
    let mut account = Account::new();
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
