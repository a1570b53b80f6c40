//! The resources of an isolated application: its own table, topic, and repository in a fake of ECR.
//!
//! The deployed Lambda functions do not use the fakes. They would carry out the application's work
//! in the emulator and disturb the test. Therefore the application has its own table, which the
//! deployed functions never read. Only programs that the test itself starts work on this table.
//! These programs use the fake of ECR, and the fake of ECS if the test has one.
//!
//! The test's programs use the account's credentials, since no role may access the isolated table.
//! The policy of the approvals topic refuses these credentials, so the programs send mails and
//! notifications to the isolated topic.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use xtask::aws::{Aws, xml_text};
use xtask::queue::Queue;

use crate::ecr_fake::{EcrFake, Repository};
use crate::subscription::{queue_for, subscribe};

/// The table, the topic and the fake of ECR of an isolated application.
pub(crate) struct Isolated {
    pub(crate) table: String,
    pub(crate) ecr: EcrFake,
    pub(crate) web: Repository,
    pub(crate) topic: String,
    /// The queue that receives all messages of the topic.
    inbox: Queue,
}

/// The maximum number of items in one call.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html>
const PER_WRITE: usize = 25;

impl Isolated {
    #[track_caller]
    pub(crate) fn open(aws: &Aws, name: &str, items: &[Value], (ecr, web): (EcrFake, Repository)) -> Self {
        let name = format!("{name}-isolated");
        create_table(aws, &name);
        for items in items.chunks(PER_WRITE) {
            let puts: Vec<_> = items.iter().map(|item| json!({ "PutRequest": { "Item": item } })).collect();
            let write = json!({ "RequestItems": BTreeMap::from([(&name, puts)]) });
            let answer = aws.dynamodb("BatchWriteItem", &write).expect("the table accepts the items");
            let left = answer["UnprocessedItems"].as_object().map_or(0, serde_json::Map::len);
            assert_eq!(left, 0, "{answer}");
        }
        let request = [("Action", "CreateTopic"), ("Version", "2010-03-31"), ("Name", &name)];
        let topic = aws.query("sns", &request).expect("a topic");
        let topic = xml_text(&topic, "TopicArn").expect("a topic has an ARN");
        let queue = queue_for(aws, &name, &topic);
        subscribe(aws, &topic, "sqs", &queue.arn, None);
        Self { table: name, ecr, web, topic, inbox: queue }
    }

    pub(crate) fn inbox(&self) -> &str {
        &self.inbox.url
    }

    pub(crate) fn close(&self, aws: &Aws) {
        let _ = aws.dynamodb("DeleteTable", &json!({ "TableName": self.table }));
        let _ = self.inbox.delete(aws);
        let request = [("Action", "DeleteTopic"), ("Version", "2010-03-31"), ("TopicArn", &self.topic)];
        let _ = aws.query("sns", &request);
    }
}

/// Creates a table with the schema of the template, but without the stream.
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
