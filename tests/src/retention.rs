//! Runs the real program of retention's Lambda function against the fakes. Each test has its own
//! table and queue. All tests share the stack's bucket, in which each key contains the
//! application's name.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::crash::{self, FakeEndpoints, Fault, invoke_within};
use crate::ecr_fake::{Ecr, PushedAt, Repository};
use crate::ecs_fake::EcsFake;
use crate::role::configuration;
use crate::sources_fake::SourcesFake;
use crate::{App, Plan};

/// The default time limit of an invocation. The template allows a longer time.
const TIME: SignedDuration = SignedDuration::from_secs(300);

/// The number of messages within which a run must end.
const MESSAGES: usize = 20;

/// An application with its repository, its queue, and its fakes.
pub struct Retention {
    pub app: App,
    pub ecr: Ecr,
    pub ecs: EcsFake,
    /// The fake of the AWS services that start tasks and jobs: EventBridge, Scheduler, Pipes and
    /// AWS Batch.
    pub sources: SourcesFake,
    pub web: Repository,
    /// The URL of the queue that receives retention's messages.
    queue: String,
    bucket: String,
}

/// A run of retention over one repository.
pub struct Run<'a> {
    of: &'a Retention,
    pub application: String,
    pub repository: String,
    pub id: String,
}

/// Returns the push time of an image that is this number of days old.
pub fn days_ago(days: i64) -> PushedAt {
    PushedAt::At(Timestamp::now() - SignedDuration::from_hours(24 * days))
}

impl Retention {
    /// Creates an application with these `[retention]` settings in its file, such as `mode =
    /// "delete"`.
    #[track_caller]
    pub fn begin(story: &str, settings: &str) -> Self {
        Self::of(Plan::new(story), settings)
    }

    #[track_caller]
    pub fn of(plan: Plan, settings: &str) -> Self {
        let app = App::create_unregistered(plan);
        let name = json!({ "QueueName": format!("{}-retention", app.plan.name) });
        let queue = app.aws.sqs("CreateQueue", &name).expect("a queue");
        let variables = &configuration("retention")["Environment"]["Variables"];
        let story = Self {
            queue: queue["QueueUrl"].as_str().expect("a queue has a URL").to_owned(),
            bucket: variables["STABLEPIN_BUCKET"].as_str().expect("a bucket").to_owned(),
            ecs: EcsFake::start(),
            sources: SourcesFake::start(),
            ecr: Ecr::clone(app.ecr()),
            web: app.web().clone(),
            app,
        };
        story.ecs.by_hand();
        story.configures(settings);
        story
    }

    /// Replaces the `[retention]` settings in the application file.
    #[track_caller]
    pub fn configures(&self, settings: &str) {
        let text = format!("{}\n[retention]\n{settings}\n", self.app.plan.toml());
        self.app.registers(&self.app.plan.name, &text);
    }

    /// Invokes the program of a Lambda function other than retention.
    #[track_caller]
    pub fn invoke(&self, function: &str, event: &Value) -> Value {
        let run = self.app.invoke(Some(&self.ecs), function, event, None);
        run.answer.expect("the function was not killed")
    }

    #[track_caller]
    fn retention(
        &self,
        event: &Value,
        fault: Option<(usize, Fault)>,
        time: SignedDuration,
    ) -> crash::ProgramRun {
        let mut others = self.app.others().to_vec();
        others.push(("STABLEPIN_RETENTION_QUEUE", &self.queue));
        let fakes = FakeEndpoints { sources: Some(&self.sources), ..self.app.fakes(Some(&self.ecs)) };
        invoke_within(time, fakes, "retention", &others, event, fault)
    }

    /// Invokes retention with this event.
    #[track_caller]
    pub fn wakes(&self, event: &Value) -> Value {
        self.retention(event, None, TIME).answer.expect("the function was not killed")
    }

    /// Removes all messages from the queue and returns them.
    #[track_caller]
    pub fn messages(&self) -> Vec<Value> {
        let mut found = Vec::new();
        let ask = json!({ "QueueUrl": self.queue, "MaxNumberOfMessages": 10 });
        loop {
            let answer = self.app.aws.sqs("ReceiveMessage", &ask).expect("the queue answers");
            let messages = answer["Messages"].as_array().cloned().unwrap_or_default();
            if messages.is_empty() {
                return found;
            }
            for message in messages {
                let receipt = json!({ "QueueUrl": self.queue, "ReceiptHandle": message["ReceiptHandle"] });
                self.app.aws.sqs("DeleteMessage", &receipt).expect("the queue deletes the message");
                let body = message["Body"].as_str().unwrap_or_default();
                found.push(serde_json::from_str(body).expect("a message is JSON"));
            }
        }
    }

    /// Returns the run that a message names.
    pub fn run_of(&self, message: &Value) -> Run<'_> {
        let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        let (application, repository, id) = (text("application"), text("repository"), text("run"));
        Run { of: self, application, repository, id }
    }

    /// Requests a run. Returns the status and the JSON of the response.
    #[track_caller]
    pub fn asks(&self, name: &str, of: Option<(&str, &str)>, body: &Value) -> (u64, Value) {
        let run = self.retention(&crash::retention(name, of, body), None, TIME);
        let answer = run.answer.expect("the function was not killed");
        let body = answer["body"].as_str().and_then(|body| serde_json::from_str(body).ok());
        (answer["statusCode"].as_u64().unwrap_or_default(), body.unwrap_or(answer))
    }

    #[track_caller]
    fn begun(&self, application: &str, repository: &str, of: Option<(&str, &str)>, body: &Value) -> Run<'_> {
        let (status, answer) = self.asks(application, of, body);
        assert_eq!(status, 202, "{answer:#}");
        Run {
            of: self,
            application: application.to_owned(),
            repository: repository.to_owned(),
            id: answer["id"].as_str().expect("a run has an id").to_owned(),
        }
    }

    /// Starts a run without delivering its message.
    #[track_caller]
    pub fn begins(&self, body: &Value) -> Run<'_> {
        self.begun(&self.app.plan.name, &self.app.plan.repository, None, body)
    }

    /// Starts a run of another application in the same table.
    #[track_caller]
    pub fn begins_for(&self, application: &str, repository: &str, body: &Value) -> Run<'_> {
        self.begun(application, repository, None, body)
    }

    /// Starts to apply or undo the plan of a run. `what` is `apply` or `undo`.
    #[track_caller]
    pub fn begins_of(&self, run: &Run<'_>, what: &str) -> Run<'_> {
        self.begun(&run.application, &run.repository, Some((&run.id, what)), &json!({}))
    }

    /// Starts a run that may delete all images. Delivers the run's message until the run has ended.
    #[track_caller]
    pub fn runs(&self) -> Run<'_> {
        let run = self.begins(&json!({ "share": 100 }));
        run.ends();
        run
    }

    /// Ends all leases of retention, since a killed program does not release its lease.
    #[track_caller]
    pub fn leases_end(&self) {
        for item in self.app.retention_leases() {
            let key = json!({ "pk": { "S": item["pk"] }, "sk": { "S": item["sk"] } });
            let ask = json!({
                "TableName": self.app.table(), "Key": key,
                "UpdateExpression": "SET #until = :past",
                "ExpressionAttributeNames": { "#until": "until" },
                "ExpressionAttributeValues": { ":past": { "N": "0" } },
            });
            self.app.aws.dynamodb("UpdateItem", &ask).expect("the table accepts the update");
        }
    }

    /// Records a tag as Stablepin's own, as the tagger does before it creates the tag. Retention
    /// then regards the tag's image as a build or a backup.
    #[track_caller]
    pub fn is_ours(&self, tag: &str, digest: &str) {
        let item = json!({
            "pk": { "S": format!("APP#{}", self.app.plan.name) },
            "sk": { "S": format!("TAG#{}#{tag}", self.app.plan.repository) },
            "intents": { "SS": [digest] },
        });
        let put = json!({ "TableName": self.app.table(), "Item": item });
        self.app.aws.dynamodb("PutItem", &put).expect("the table accepts the item");
    }

    /// Records that an ended promotion needed the image.
    #[track_caller]
    pub fn was_needed(&self, digest: &str) {
        let item = json!({
            "pk": { "S": format!("IMAGES#{}", self.app.plan.name) },
            "sk": { "S": format!("IMAGE#{digest}") },
            "needed_by": { "SS": ["PROMOTION#019b0000-0000-7000-8000-000000000000"] },
        });
        let put = json!({ "TableName": self.app.table(), "Item": item });
        self.app.aws.dynamodb("PutItem", &put).expect("the table accepts the item");
    }

    /// Returns an object of the stack's bucket.
    #[track_caller]
    pub fn object(&self, key: &str) -> Vec<u8> {
        self.app.aws.s3(&format!("{}/{key}", self.bucket)).expect("the bucket has it")
    }

    /// Overwrites an object, as another user of the bucket does.
    #[track_caller]
    pub fn overwrites(&self, key: &str, text: &str) {
        self.app.aws.put_s3(&format!("{}/{key}", self.bucket), text.as_bytes()).expect("the bucket takes it");
    }

    #[track_caller]
    pub fn document(&self, key: &str) -> Value {
        serde_json::from_slice(&self.object(key)).expect("a document is JSON")
    }

    /// Returns the keys in the bucket that begin with a prefix.
    #[track_caller]
    pub fn keys(&self, prefix: &str) -> Vec<String> {
        let encoded = prefix.replace('/', "%2F");
        let list = format!("{}?list-type=2&prefix={encoded}", self.bucket);
        let list = String::from_utf8(self.app.aws.s3(&list).expect("the bucket answers")).expect("text");
        let keys = list.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        keys.map(str::to_owned).collect()
    }

    /// Returns the sort keys of the images that retention has marked for deletion.
    #[track_caller]
    pub fn marked(&self) -> Vec<String> {
        let marked = self.app.marks().into_iter().filter(|item| !item["marked_by"].is_null());
        marked.map(|item| item["sk"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Returns the number of ECR calls so far that change an image.
    pub fn changes(&self) -> usize {
        let changes = ["BatchDeleteImage", "UpdateImageStorageClass", "PutImage"];
        changes.iter().map(|operation| self.ecr.count(operation)).sum()
    }
}

impl Drop for Retention {
    fn drop(&mut self) {
        let _ = self.app.aws.sqs("DeleteQueue", &json!({ "QueueUrl": self.queue }));
    }
}

impl Run<'_> {
    /// Returns the run's message, as the queue delivers it.
    pub fn message(&self) -> Value {
        let body = json!({ "application": self.application, "run": self.id, "repository": self.repository });
        json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "1", "body": body.to_string() }] })
    }

    /// Delivers the run's message to retention once.
    #[track_caller]
    pub fn comes(&self, fault: Option<(usize, Fault)>) -> crash::ProgramRun {
        self.comes_for(TIME, fault)
    }

    /// Delivers the run's message to retention once, with this time limit.
    #[track_caller]
    pub fn comes_for(&self, time: SignedDuration, fault: Option<(usize, Fault)>) -> crash::ProgramRun {
        self.of.retention(&self.message(), fault, time)
    }

    /// Delivers a message that already counts three failures, so that the next failure ends the
    /// run.
    #[track_caller]
    pub fn comes_the_last_time(&self) {
        let body = json!({
            "application": self.application, "run": self.id, "repository": self.repository, "failures": 3,
        });
        let message = json!({ "Records": [{ "eventSource": "aws:sqs", "body": body.to_string() }] });
        assert_eq!(self.of.wakes(&message)["how"], "failed too often");
    }

    /// Delivers the run's message until the run has ended. Returns the result for the repository.
    #[track_caller]
    pub fn ends(&self) -> Value {
        for _ in 0..MESSAGES {
            if self.has_ended() {
                return self.in_repository();
            }
            let answer = self.comes(None).answer.expect("the function was not killed");
            assert!(answer["errorMessage"].is_null(), "{answer:#}");
        }
        panic!("the run has not ended: {:#}", self.in_repository())
    }

    #[track_caller]
    pub fn has_ended(&self) -> bool {
        let state = self.in_repository()["state"].clone();
        matches!(state.as_str(), Some("Done" | "LeftAlone" | "Failed"))
    }

    /// Returns the run's record in the table.
    #[track_caller]
    pub fn record(&self) -> Value {
        let item = self.of.app.item(&format!("APP#{}", self.application), &format!("RUN#{}", self.id));
        item.expect("the table has the run")["record"].clone()
    }

    #[track_caller]
    pub fn in_repository(&self) -> Value {
        self.record()["repositories"][&self.repository].clone()
    }

    /// Returns a numeric field of the repository's result.
    #[track_caller]
    pub fn number(&self, name: &str) -> u64 {
        self.in_repository()[name].as_u64().unwrap_or_else(|| panic!("{name} is not a number"))
    }

    /// Returns the reason why retention skipped the repository or failed.
    #[track_caller]
    pub fn problem(&self) -> String {
        self.in_repository()["problem"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns the plan's decisions by digest.
    #[track_caller]
    pub fn plan(&self) -> BTreeMap<String, Value> {
        let key = self.in_repository()["plan"]["key"].as_str().expect("the run has a plan").to_owned();
        let images = self.of.document(&key)["images"].as_array().cloned().unwrap_or_default();
        images.into_iter().map(|one| (one["digest"].as_str().unwrap_or_default().to_owned(), one)).collect()
    }

    /// Returns the name of the retention rule that decided on an image.
    #[track_caller]
    pub fn rule(&self, digest: &str) -> String {
        self.plan()[digest]["rule"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns the results in the run's report, by image digest.
    #[track_caller]
    pub fn outcomes(&self) -> BTreeMap<String, Value> {
        let key = self.in_repository()["report"]["key"].as_str().expect("the run has a report").to_owned();
        let outcomes = self.of.document(&key)["outcomes"].as_object().cloned().unwrap_or_default();
        outcomes.into_iter().collect()
    }

    /// Returns the manifests that retention saved before it deleted their images. The keys are
    /// digests, the values are pairs of media type and content.
    #[track_caller]
    pub fn manifests(&self) -> BTreeMap<String, (String, String)> {
        let prefix = format!("retention/{}/{}/{}/manifests/", self.application, self.repository, self.id);
        let mut kept = BTreeMap::new();
        for key in self.of.keys(&prefix) {
            for one in self.of.document(&key).as_array().into_iter().flatten() {
                let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
                kept.insert(text("imageDigest"), (text("imageManifestMediaType"), text("imageManifest")));
            }
        }
        kept
    }
}
