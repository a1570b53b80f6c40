//! An application aside: with a table and a topic of its own, which no deployed function looks at, and its repository
//! in a fake of ECR.
//!
//! The deployed functions know nothing of a fake. What they would find in their table, woken by its stream or by the
//! minute, they would carry out in the emulator, and get in the way of the story. Here only programs that the story
//! starts itself work on it, beside the fakes: of ECR always, of ECS where the story has one.
//!
//! They work with the account's credentials, since no role may touch that table. The approvals topic takes nothing
//! from those, so that what they tell goes to the topic of their own.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde_json::{Value, json};
use xtask::aws::{Aws, plain_item, xml_text};
use xtask::image::Spec;

use crate::app::image;
use crate::crash::{FakeEndpoints, Fault, Run, decision, invoke_beside, registration};
use crate::ecr_fake::{EcrFake, Repository};
use crate::ecs_fake::EcsFake;
use crate::event::tick_event;
use crate::mail::lets_in;
use crate::{App, Link, Plan, stack};

/// Where an application is that is aside.
pub(crate) struct Isolated {
    pub(crate) table: String,
    pub(crate) ecr: EcrFake,
    pub(crate) web: Repository,
    topic: String,
    /// The URL of the queue that gets everything that the topic is sent.
    inbox: String,
}

/// As many as one call takes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>
const PER_WRITE: usize = 25;

/// What has not come about after so many ticks never will.
const TICKS: usize = 12;

/// A time that has passed.
const PAST: &str = "2026-01-01T00:00:00.000Z";

impl Isolated {
    #[track_caller]
    pub(crate) fn open(aws: &Aws, name: &str, items: &[Value], (ecr, web): (EcrFake, Repository)) -> Self {
        let name = format!("{name}-aside");
        create_table(aws, &name);
        for items in items.chunks(PER_WRITE) {
            let puts: Vec<_> = items.iter().map(|item| json!({ "PutRequest": { "Item": item } })).collect();
            let write = json!({ "RequestItems": BTreeMap::from([(&name, puts)]) });
            let answer = aws.dynamodb("BatchWriteItem", &write).expect("the table takes them");
            let left = answer["UnprocessedItems"].as_object().map_or(0, serde_json::Map::len);
            assert_eq!(left, 0, "{answer}");
        }
        let request = [("Action", "CreateTopic"), ("Version", "2010-03-31"), ("Name", &name)];
        let topic = aws.query("sns", &request).expect("a topic");
        let topic = xml_text(&topic, "TopicArn").expect("a topic has an ARN");
        let queue = aws.sqs("CreateQueue", &json!({ "QueueName": name })).expect("a queue");
        let arn = format!("arn:aws:sqs:us-east-1:000000000000:{name}");
        lets_in(aws, &queue["QueueUrl"], &arn, &topic);
        let subscription = [
            ("Action", "Subscribe"),
            ("Version", "2010-03-31"),
            ("TopicArn", topic.as_str()),
            ("Protocol", "sqs"),
            ("Endpoint", &arn),
        ];
        aws.query("sns", &subscription).expect("a subscription");
        let inbox = queue["QueueUrl"].as_str().expect("a queue has a URL").to_owned();
        Self { table: name, ecr, web, topic, inbox }
    }

    pub(crate) fn inbox(&self) -> &str {
        &self.inbox
    }

    pub(crate) fn close(&self, aws: &Aws) {
        let _ = aws.dynamodb("DeleteTable", &json!({ "TableName": self.table }));
        let _ = aws.sqs("DeleteQueue", &json!({ "QueueUrl": self.inbox }));
        let request = [("Action", "DeleteTopic"), ("Version", "2010-03-31"), ("TopicArn", &self.topic)];
        let _ = aws.query("sns", &request);
    }
}

/// As the template has it, without the stream.
#[track_caller]
fn create_table(aws: &Aws, name: &str) {
    let attributes =
        ["pk", "sk", "wake", "wake_at"].map(|name| json!({ "AttributeName": name, "AttributeType": "S" }));
    let key = |hash: &str, range: &str| {
        json!([
            { "AttributeName": hash, "KeyType": "HASH" },
            { "AttributeName": range, "KeyType": "RANGE" },
        ])
    };
    let table = json!({
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": attributes,
        "KeySchema": key("pk", "sk"),
        "GlobalSecondaryIndexes": [{
            "IndexName": "wake",
            "KeySchema": key("wake", "wake_at"),
            "Projection": { "ProjectionType": "KEYS_ONLY" },
        }],
    });
    aws.dynamodb("CreateTable", &table).expect("a table");
}

impl Plan {
    /// Creates the repository and registers the application, aside.
    #[track_caller]
    pub fn create_aside(self) -> App {
        let app = App::begins_aside(self);
        app.registers(&app.plan.name, &app.plan.toml());
        app
    }
}

impl App {
    /// One of which nothing is there but its repository.
    #[track_caller]
    pub fn begins_aside(plan: Plan) -> Self {
        let mut app = Self::unborn(plan);
        let ecr = EcrFake::start();
        let web = ecr.creates(&app.plan.repository, app.plan.mutability.clone());
        let aside = Isolated::open(&app.aws, &app.plan.name, &[], (ecr, web));
        app.subscribed(&aside.topic); // they go with the topic
        app.aside = Some(aside);
        app
    }

    #[track_caller]
    fn its_aside(&self) -> &Isolated {
        self.aside.as_ref().expect("it is aside")
    }

    /// The registry that its images are in.
    #[track_caller]
    pub fn ecr(&self) -> &EcrFake {
        &self.its_aside().ecr
    }

    /// Its repository there.
    #[track_caller]
    pub fn web(&self) -> &Repository {
        &self.its_aside().web
    }

    /// Any application, in this one's table.
    #[track_caller]
    pub fn registers(&self, name: &str, text: &str) {
        let run = self.invoke(None, "api", &registration(name, text), None);
        let answer = run.answer.expect("it was not killed");
        assert!(matches!(answer["statusCode"].as_u64(), Some(200 | 201)), "{answer:#}");
    }

    /// A pipeline pushes a build, and nobody has heard of it yet.
    #[track_caller]
    pub fn push_unheard(&self, tag: &str, spec: &Spec) -> String {
        self.a_second_passes();
        self.push_untold(Some(tag), &image(spec))
    }

    /// The tagger hears of all that ECR has told since the last time.
    #[track_caller]
    pub fn hears(&self) {
        self.ecr().events().iter().for_each(|event| self.deliver_aside(event));
        self.a_second_passes();
    }

    /// Of two pushes within one second the digests decide which is the later.
    fn a_second_passes(&self) {
        self.ecr().time_passes(SignedDuration::from_secs(1));
    }

    /// Minutes pass until it has come to that.
    #[track_caller]
    pub fn ticks_until(&self, what: &str, look: impl Fn(&Self) -> bool) {
        for _ in 0..TICKS {
            if look(self) {
                return;
            }
            self.tick();
        }
        assert!(look(self), "{what}: {:#?}", self.promotions());
    }

    /// Of each promotion, the one approver.
    #[track_caller]
    pub fn everybody_is_asked(&self) -> bool {
        let promotions = self.promotions();
        let asked = |one: &Value| one["asked"].as_object().is_some_and(|asked| asked.len() == 1);
        !promotions.is_empty() && promotions.iter().all(asked)
    }

    #[track_caller]
    pub(crate) fn deliver_aside(&self, event: &Value) {
        let answer = self.invoke(None, "tagger", event, None).answer.expect("it was not killed");
        assert!(answer["errorMessage"].is_null(), "{event:#}: {answer:#}");
    }

    /// The link's form is sent, and the tagger hears of what comes of it; the status and the page.
    #[track_caller]
    pub fn decides(&self, link: &Link, what: &str) -> (u64, String) {
        let run = self.invoke(None, "approval", &decision(link, what, "tried it"), None);
        let answer = run.answer.expect("it was not killed");
        self.hears();
        let page = answer["body"].as_str().unwrap_or_default().to_owned();
        (answer["statusCode"].as_u64().unwrap_or_default(), page)
    }

    /// Every item that is about it, as DynamoDB sends it.
    #[track_caller]
    pub(crate) fn all_items(&self) -> Vec<Value> {
        let mut items = Vec::new();
        let mut start = Value::Null;
        loop {
            let mut ask = json!({ "TableName": self.table(), "ConsistentRead": true });
            if start.is_object() {
                ask["ExclusiveStartKey"] = start;
            }
            let mut page = self.aws.dynamodb("Scan", &ask).expect("the table answers");
            let all = page["Items"].as_array().cloned().unwrap_or_default();
            items.extend(all.into_iter().filter(|item| item.to_string().contains(&self.plan.name)));
            start = page["LastEvaluatedKey"].take();
            if !start.is_object() {
                return items;
            }
        }
    }

    pub(crate) fn table(&self) -> &str {
        self.aside.as_ref().map_or_else(|| stack().table(), |aside| &aside.table)
    }

    /// The ARN of the topic that its mails and notices go to.
    #[track_caller]
    pub fn aside_topic(&self) -> &str {
        &self.its_aside().topic
    }

    /// The URL of the queue that gets all that the topic is sent.
    #[track_caller]
    pub fn aside_inbox(&self) -> &str {
        &self.its_aside().inbox
    }

    /// Its own fake, and this one.
    #[track_caller]
    pub(crate) fn beside<'a>(&'a self, ecs: Option<&'a EcsFake>) -> FakeEndpoints<'a> {
        FakeEndpoints { ecs, ecr: Some(self.ecr()), sources: None }
    }

    /// Invokes a function's program once, beside the fakes.
    #[track_caller]
    pub fn invoke(
        &self,
        ecs: Option<&EcsFake>,
        function: &str,
        event: &Value,
        fault: Option<(usize, Fault)>,
    ) -> Run {
        invoke_beside(self.beside(ecs), function, &self.others(), event, fault)
    }

    /// As the sweep's queue wakes the promoter for this application.
    #[track_caller]
    pub fn sweep_beside(&self, ecs: Option<&EcsFake>) -> Run {
        self.invoke(ecs, "promoter", &self.sweep_event(), None)
    }

    pub fn sweep_event(&self) -> Value {
        let body = json!({ "sweep": self.plan.name }).to_string();
        json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "1", "body": body }] })
    }

    pub(crate) fn others(&self) -> [(&str, &str); 6] {
        let aside = self.its_aside();
        [
            ("STABLEPIN_TABLE", aside.table.as_str()),
            ("STABLEPIN_APPROVALS_TOPICS", &aside.topic),
            ("STABLEPIN_NOTIFICATIONS_TOPIC", &aside.topic),
            ("AWS_ACCESS_KEY_ID", stack().variable("AWS_ACCESS_KEY_ID")),
            ("AWS_SECRET_ACCESS_KEY", stack().variable("AWS_SECRET_ACCESS_KEY")),
            ("AWS_SESSION_TOKEN", ""),
        ]
    }

    /// What the schedule does every minute, beside the fakes.
    #[track_caller]
    pub fn tick_beside(&self, ecs: Option<&EcsFake>, fault: Option<(usize, Fault)>) -> Run {
        self.invoke(ecs, "promoter", &tick_event(), fault)
    }

    /// Every pause is over, and every lease of a program that has died: the next tick finds all that is to be done.
    #[track_caller]
    pub fn pauses_end(&self) {
        assert!(self.aside.is_some(), "elsewhere others work on it");
        for item in self.raw_items(&format!("APP#{}", self.plan.name)) {
            let operation = &plain_item(&item)["record"]["operation"];
            if !operation["wake_at"].is_string() {
                continue;
            }
            let mut set = "SET wake_at = :past, #record.#operation.wake_at = :past".to_owned();
            if operation["lease"].is_object() {
                set += ", #record.#operation.#lease.#until = :past";
            }
            if operation["notify_at"].is_string() {
                set += ", #record.#operation.notify_at = :past";
            }
            let mut ask = json!({
                "TableName": self.table(),
                "Key": { "pk": item["pk"], "sk": item["sk"] },
                "UpdateExpression": set,
                "ExpressionAttributeNames": { "#record": "record", "#operation": "operation" },
                "ExpressionAttributeValues": { ":past": { "S": PAST } },
            });
            if operation["lease"].is_object() {
                ask["ExpressionAttributeNames"]["#lease"] = json!("lease");
                ask["ExpressionAttributeNames"]["#until"] = json!("until");
            }
            self.aws.dynamodb("UpdateItem", &ask).expect("the table takes it");
        }
    }
}
