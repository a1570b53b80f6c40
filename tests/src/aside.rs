//! An application aside: with a table of its own, which no deployed function looks at.
//!
//! The deployed functions know nothing of a double. What they would find in their table, woken by its stream or by the
//! minute, they would carry out in the emulator, and get in the way of the story. So the application's items are copied
//! as they are, and from then on only programs that the story starts itself, beside the double, work on them.
//!
//! They work with the account's credentials, since no role may touch that table.

use serde_json::{Value, json};

use crate::crash::{Fault, Run, invoke_beside};
use crate::ecs_double::EcsDouble;
use crate::{App, stack};

impl App {
    /// From now on, what this reads and writes of the table is the copy.
    #[track_caller]
    pub fn goes_aside(&mut self) {
        let name = format!("{}-aside", self.plan.name);
        let attributes = ["pk", "sk", "wake", "wake_at"]
            .map(|name| json!({ "AttributeName": name, "AttributeType": "S" }));
        let key = |hash: &str, range: &str| {
            json!([
                { "AttributeName": hash, "KeyType": "HASH" },
                { "AttributeName": range, "KeyType": "RANGE" },
            ])
        };
        // As the template has it, without the stream.
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
        self.aws.dynamodb("CreateTable", &table).expect("a table");
        let mut start = Value::Null;
        loop {
            let mut ask = json!({ "TableName": self.table(), "ConsistentRead": true });
            if start.is_object() {
                ask["ExclusiveStartKey"] = start;
            }
            let mut page = self.aws.dynamodb("Scan", &ask).expect("the table answers");
            let all = page["Items"].as_array().cloned().unwrap_or_default();
            for item in all.iter().filter(|item| item.to_string().contains(&self.plan.name)) {
                let put = json!({ "TableName": name, "Item": item });
                self.aws.dynamodb("PutItem", &put).expect("the table takes it");
            }
            start = page["LastEvaluatedKey"].take();
            if !start.is_object() {
                break;
            }
        }
        self.aside = Some(name);
    }

    pub(crate) fn table(&self) -> &str {
        self.aside.as_deref().unwrap_or_else(|| stack().table())
    }

    /// Invokes a function's program once, on the copy and beside the double.
    #[track_caller]
    pub fn invoke(
        &self,
        ecs: &EcsDouble,
        function: &str,
        event: &Value,
        fault: Option<(usize, Fault)>,
    ) -> Run {
        let table = self.aside.as_deref().expect("it has gone aside");
        let others = [
            ("STABLEPIN_TABLE", table),
            ("AWS_ACCESS_KEY_ID", stack().variable("AWS_ACCESS_KEY_ID")),
            ("AWS_SECRET_ACCESS_KEY", stack().variable("AWS_SECRET_ACCESS_KEY")),
            ("AWS_SESSION_TOKEN", ""),
        ];
        invoke_beside(ecs, function, &others, event, fault)
    }

    /// What the schedule does every minute, on the copy and beside the double.
    #[track_caller]
    pub fn tick_beside(&self, ecs: &EcsDouble, fault: Option<(usize, Fault)>) -> Run {
        let tick = json!({ "source": "stablepin.schedule", "detail-type": "Tick", "detail": {} });
        self.invoke(ecs, "promoter", &tick, fault)
    }

    pub(crate) fn comes_back(&self) {
        if let Some(table) = &self.aside {
            let _ = self.aws.dynamodb("DeleteTable", &json!({ "TableName": table }));
        }
    }
}
