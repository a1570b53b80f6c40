//! An application aside: with a table and a topic of its own, which no deployed function looks at.
//!
//! The deployed functions know nothing of a double. What they would find in their table, woken by its stream or by the
//! minute, they would carry out in the emulator, and get in the way of the story. So the application's items are copied
//! as they are, and from then on only programs that the story starts itself, beside the double, work on them.
//!
//! They work with the account's credentials, since no role may touch that table. The approvals topic takes nothing
//! from those, so that what they tell goes to the topic of their own.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use xtask::aws::{Aws, plain_item, xml_text};

use crate::crash::{Beside, Fault, Run, invoke_among_older_images, invoke_beside};
use crate::mail::lets_in;
use crate::{App, stack};

/// Where an application is that has gone aside.
pub(crate) struct Aside {
    pub(crate) table: String,
    topic: String,
    /// The URL of the queue that gets everything that the topic is sent.
    inbox: String,
}

/// As many as one call takes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>
const PER_WRITE: usize = 25;

/// A time that has passed.
const PAST: &str = "2026-01-01T00:00:00.000Z";

impl Aside {
    #[track_caller]
    pub(crate) fn open(aws: &Aws, name: &str, items: &[Value]) -> Self {
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
        Self { table: name, topic, inbox }
    }

    pub(crate) fn inbox(&self) -> &str {
        &self.inbox
    }

    fn close(&self, aws: &Aws) {
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

impl App {
    /// From now on, what this reads and writes of the table is the copy.
    #[track_caller]
    pub fn goes_aside(&mut self) {
        let aside = Aside::open(&self.aws, &self.plan.name, &self.all_items());
        self.subscribed(&aside.topic); // they go with the topic
        self.aside = Some(aside);
    }

    /// One of which nothing is there: it has a table of its own from the beginning, and in the emulator no repository.
    #[track_caller]
    pub fn begins_aside(plan: crate::Plan) -> Self {
        let mut app = Self::unborn(plan);
        app.guest = true;
        let aside = Aside::open(&app.aws, &app.plan.name, &[]);
        app.subscribed(&aside.topic);
        app.aside = Some(aside);
        app
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

    /// Invokes a function's program once, on the copy and beside the doubles.
    #[track_caller]
    pub fn invoke<'a>(
        &self,
        beside: impl Into<Beside<'a>>,
        function: &str,
        event: &Value,
        fault: Option<(usize, Fault)>,
    ) -> Run {
        invoke_beside(beside, function, &self.others(), event, fault)
    }

    /// As the sweep's queue wakes the promoter for this application, on the copy; what was pushed is old enough for it.
    #[track_caller]
    pub fn sweep_beside<'a>(&self, beside: impl Into<Beside<'a>>) -> Run {
        invoke_among_older_images(beside, "promoter", &self.others(), &self.sweep_event())
    }

    pub fn sweep_event(&self) -> Value {
        let body = json!({ "sweep": self.plan.name }).to_string();
        json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "1", "body": body }] })
    }

    pub(crate) fn others(&self) -> [(&str, &str); 6] {
        let aside = self.aside.as_ref().expect("it has gone aside");
        [
            ("STABLEPIN_TABLE", aside.table.as_str()),
            ("STABLEPIN_APPROVALS_TOPICS", &aside.topic),
            ("STABLEPIN_NOTIFICATIONS_TOPIC", &aside.topic),
            ("AWS_ACCESS_KEY_ID", stack().variable("AWS_ACCESS_KEY_ID")),
            ("AWS_SECRET_ACCESS_KEY", stack().variable("AWS_SECRET_ACCESS_KEY")),
            ("AWS_SESSION_TOKEN", ""),
        ]
    }

    /// What the schedule does every minute, on the copy and beside the doubles.
    #[track_caller]
    pub fn tick_beside<'a>(&self, beside: impl Into<Beside<'a>>, fault: Option<(usize, Fault)>) -> Run {
        let tick = json!({ "source": "stablepin.schedule", "detail-type": "Tick", "detail": {} });
        self.invoke(beside, "promoter", &tick, fault)
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
            if operation["tell_at"].is_string() {
                set += ", #record.#operation.tell_at = :past";
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

    pub(crate) fn comes_back(&self) {
        if let Some(aside) = &self.aside {
            aside.close(&self.aws);
        }
    }
}
