//! The emulator's events of ECR and ECS. The emulator sends each event at the moment of the change.

use std::collections::BTreeSet;
use std::process::Command;
use std::thread;

use serde_json::{Value, json};
use stablepin_tests::event::Listener;
use stablepin_tests::{Plan, stack, unique};
use xtask::aws::Aws;
use xtask::workspace::{root, tool};

/// The repositories of one test. Dropping the value deletes the repositories.
struct Repositories {
    aws: Aws,
    names: Vec<String>,
}

impl Repositories {
    #[track_caller]
    fn create(prefix: &str, count: usize) -> Self {
        let aws = stack().aws();
        let names: Vec<_> = (0..count).map(|number| format!("{prefix}-{number}")).collect();
        for name in &names {
            aws.ecr("CreateRepository", &json!({ "repositoryName": name })).expect("a repository");
        }
        Self { aws, names }
    }
}

impl Drop for Repositories {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = self.aws.ecr("DeleteRepository", &json!({ "repositoryName": name, "force": true }));
        }
    }
}

/// Returns a listener for the events of the repositories whose names have this prefix.
#[track_caller]
fn listen<'a>(aws: &'a Aws, prefix: &str) -> Listener<'a> {
    let pattern = json!({ "source": ["aws.ecr"], "detail": { "repository-name": [{ "prefix": prefix }] } });
    Listener::new(aws, prefix, "default", &pattern)
}

/// Pushes an image with this build number under the tag `main`. Returns the image's digest.
#[track_caller]
fn put(aws: &Aws, repository: &str, build: u32) -> String {
    let manifest = json!({ "schemaVersion": 2, "layers": [], "build": build }).to_string();
    let image = json!({ "repositoryName": repository, "imageTag": "main", "imageManifest": manifest });
    let put = aws.ecr("PutImage", &image).expect("ECR accepts the image");
    put["image"]["imageId"]["imageDigest"].as_str().expect("a digest").to_owned()
}

fn word<'a>(event: &'a Value, name: &str) -> &'a str {
    event["detail"][name].as_str().unwrap_or_default()
}

#[test]
fn emulator_sends_an_event_for_each_simultaneous_push() {
    let prefix = format!("burst-{}", unique());
    let repositories = Repositories::create(&prefix, 25);
    let events = listen(&repositories.aws, &prefix);
    let pushed: BTreeSet<_> = thread::scope(|scope| {
        let aws = &repositories.aws;
        // The tag moves from image to image, as the tag of a branch does.
        let push = |name| {
            scope.spawn(move || (0..5).map(|build| (String::clone(name), put(aws, name, build))).collect())
        };
        let threads: Vec<_> = repositories.names.iter().map(push).collect();
        threads.into_iter().flat_map(|thread| -> Vec<_> { thread.join().expect("pushes") }).collect()
    });
    assert_eq!(pushed.len(), 125);

    let seen = |event: &Value| (word(event, "repository-name").into(), word(event, "image-digest").into());
    let tagged = |event: &&Value| word(event, "image-tag") == "main";
    let events = events.all();
    let seen: BTreeSet<_> = events.iter().filter(tagged).map(seen).collect();
    assert_eq!(pushed.difference(&seen).count(), 0, "pushes without an event of 125");
    assert_eq!(events.len(), 125, "no event comes twice");
}

#[test]
fn emulator_sends_the_events_of_tag_moves_in_order() {
    let prefix = format!("moves-{}", unique());
    let repositories = Repositories::create(&prefix, 1);
    let (aws, name) = (&repositories.aws, &repositories.names[0]);
    let events = listen(aws, &prefix);
    let moves: Vec<_> = (0..20).map(|number| put(aws, name, number % 2)).collect();
    let seen: Vec<_> = events.all().iter().map(|event| word(event, "image-digest").to_owned()).collect();
    assert_eq!(seen, moves, "each event is on the bus before ECR responds");
}

#[test]
fn emulator_sends_two_events_for_each_deployment() {
    let app = Plan::new("deployments").with_repository();
    let aws = &app.aws;
    let cluster = &app.plan.cluster;
    aws.ecs("CreateCluster", &json!({ "clusterName": cluster })).expect("a cluster");
    let family = &app.plan.name;
    let containers = json!([{ "name": "web", "image": "never-run", "memory": 64 }]);
    let register = json!({ "family": family, "containerDefinitions": containers });
    aws.ecs("RegisterTaskDefinition", &register).expect("a task definition");
    let service = format!("arn:aws:ecs:us-east-1:000000000000:service/{cluster}/web");
    let pattern = json!({ "source": ["aws.ecs"], "resources": [service] });
    let events = Listener::new(aws, &format!("deployments-{family}"), "default", &pattern);
    // The desired count is 0, so each deployment completes immediately.
    let create =
        json!({ "cluster": cluster, "serviceName": "web", "taskDefinition": family, "desiredCount": 0 });
    let mut answers = vec![aws.ecs("CreateService", &create).expect("a service")];
    for _ in 0..5 {
        let update = json!({ "cluster": cluster, "service": "web", "forceNewDeployment": true });
        answers.push(aws.ecs("UpdateService", &update).expect("a deployment"));
    }
    let id = |answer: &Value| answer["service"]["deployments"][0]["id"].as_str().expect("an id").to_owned();
    let wanted = answers.iter().flat_map(|answer| {
        ["IN_PROGRESS", "COMPLETED"].map(|name| (id(answer), format!("SERVICE_DEPLOYMENT_{name}")))
    });
    let seen: Vec<_> = events.all();
    let seen = seen.iter().map(|event| (word(event, "deploymentId").into(), word(event, "eventName").into()));
    assert_eq!(seen.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
    let delete = json!({ "cluster": cluster, "service": "web", "force": true });
    aws.ecs("DeleteService", &delete).expect("ECS deletes the service");
}

#[test]
fn put_events_refuses_events_with_an_aws_source() {
    let aws = stack().aws();
    let entry = json!({ "Source": "aws.ecr", "DetailType": "ECR Image Action", "Detail": "{}" });
    let answer = aws.events("PutEvents", &json!({ "Entries": [entry] })).expect("the bus answers");
    assert_eq!(answer["Entries"][0]["ErrorCode"], "NotAuthorizedForSourceException", "{answer}");
}

#[test]
fn put_service_events_refuses_users_other_than_root() {
    let aws = stack().aws();
    let name = format!("administrator-{}", unique());
    let administrator = stablepin_tests::iam::user(&aws, &name, "", &[]).expect("a user");
    let everything = json!({
        "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": "*", "Resource": "*" }],
    });
    let policy = [
        ("Action", "PutUserPolicy"),
        ("Version", "2010-05-08"),
        ("UserName", &name),
        ("PolicyName", "everything"),
        ("PolicyDocument", &everything.to_string()),
    ];
    aws.query("iam", &policy).expect("a policy");
    let put = |action: &str, source: &str| {
        let entry = json!({ "Source": source, "DetailType": "Test", "Detail": "{}" });
        administrator.events(action, &json!({ "Entries": [entry] }))
    };
    assert_eq!(put("PutEvents", "their.own").expect("the bus accepts the event")["FailedEntryCount"], 0);
    let refused = put("PutServiceEvents", "aws.ecr").expect_err("only root may put service events");
    assert!(refused.is("AccessDeniedException"), "{refused}");
}

#[test]
fn unit_tests_of_the_emulator_succeed() {
    let folder = root().join("xtask/emulator");
    let mut tests = Command::new(tool("python3"));
    tests.args(["-B", "-m", "unittest", "discover", "--start-directory"]).arg(folder);
    let output = tests.output().expect("Python runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
