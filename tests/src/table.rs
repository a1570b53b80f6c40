//! Reads and changes items of the table through DynamoDB's API.

use serde_json::{Value, json};
use xtask::aws::{Aws, AwsError, plain_item};

use crate::{App, until};

/// A DynamoDB table, read through DynamoDB's own API.
pub struct Table<'a> {
    pub aws: &'a Aws,
    pub name: &'a str,
}

impl Table<'_> {
    /// Returns every item, in DynamoDB's format.
    pub fn items(&self) -> Result<Vec<Value>, AwsError> {
        self.pages("Scan", json!({}))
    }

    /// Returns the items of a partition in DynamoDB's format, sorted by `sk`.
    pub fn partition(&self, pk: &str) -> Result<Vec<Value>, AwsError> {
        let condition = json!({
            "KeyConditionExpression": "pk = :pk",
            "ExpressionAttributeValues": { ":pk": { "S": pk } },
        });
        self.pages("Query", condition)
    }

    /// Returns an item as plain JSON.
    pub fn item(&self, pk: &str, sk: &str) -> Result<Option<Value>, AwsError> {
        let key = json!({ "pk": { "S": pk }, "sk": { "S": sk } });
        let request = json!({ "TableName": self.name, "ConsistentRead": true, "Key": key });
        Ok(self.aws.dynamodb("GetItem", &request)?.get("Item").map(plain_item))
    }

    fn pages(&self, action: &str, mut request: Value) -> Result<Vec<Value>, AwsError> {
        request["TableName"] = json!(self.name);
        request["ConsistentRead"] = json!(true);
        let mut items = Vec::new();
        loop {
            let mut page = self.aws.dynamodb(action, &request)?;
            items.extend(page["Items"].as_array_mut().map(std::mem::take).unwrap_or_default());
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"].take();
            if !request["ExclusiveStartKey"].is_object() {
                return Ok(items);
            }
        }
    }
}

impl App {
    /// Returns every item of a partition in DynamoDB's format, sorted by `sk`.
    #[track_caller]
    pub fn raw_items(&self, pk: &str) -> Vec<Value> {
        self.read_table().partition(pk).expect("the table answers")
    }

    /// Returns the application's items with this prefix of `sk`, as plain JSON.
    #[track_caller]
    pub fn items(&self, prefix: &str) -> Vec<Value> {
        self.items_in("APP", prefix)
    }

    /// Returns the items of all images. An item lists the operations that need the image, and
    /// contains the image's mark for deletion.
    #[track_caller]
    pub fn marks(&self) -> Vec<Value> {
        self.items_in("IMAGES", "IMAGE#")
    }

    /// Returns retention's leases on the application's repositories.
    #[track_caller]
    pub fn retention_leases(&self) -> Vec<Value> {
        self.items_in("IMAGES", "RETENTION")
    }

    #[track_caller]
    fn items_in(&self, partition: &str, prefix: &str) -> Vec<Value> {
        let items = self.raw_items(&format!("{partition}#{}", self.plan.name));
        let items = items.iter().map(plain_item);
        items.filter(|item| item["sk"].as_str().is_some_and(|sk| sk.starts_with(prefix))).collect()
    }

    /// Returns the JSON of every item of the application, unfiltered, so that a test can search for
    /// a link's token.
    #[track_caller]
    pub fn everything(&self) -> String {
        let own = ["APP", "IMAGES"].map(|kind| format!("{kind}#{}", self.plan.name));
        let partitions = own.into_iter().chain([self.audit_partition(), self.config_partition()]);
        let items: Vec<_> = partitions.flat_map(|pk| self.raw_items(&pk)).collect();
        json!(items).to_string()
    }

    #[track_caller]
    pub fn item(&self, pk: &str, sk: &str) -> Option<Value> {
        self.read_table().item(pk, sk).expect("the table answers")
    }

    /// Overwrites an attribute of an item, for example a time. A path may contain `services[0]`.
    #[track_caller]
    pub fn rewrite(&self, sk: &str, path: &str, value: &str) {
        let parts = path.split('.').map(|part| part.split_at(part.find('[').unwrap_or(part.len())));
        let (names, places): (Vec<_>, Vec<_>) = parts.unzip();
        let expression: Vec<_> =
            places.iter().enumerate().map(|(at, place)| format!("#n{at}{place}")).collect();
        let names: serde_json::Map<_, _> =
            names.iter().enumerate().map(|(at, name)| (format!("#n{at}"), json!(name))).collect();
        let ask = json!({
            "TableName": self.table(),
            "Key": { "pk": { "S": format!("APP#{}", self.plan.name) }, "sk": { "S": sk } },
            "UpdateExpression": format!("SET {} = :value", expression.join(".")),
            "ConditionExpression": "attribute_exists(pk)",
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": { ":value": { "S": value } },
        });
        self.aws.dynamodb("UpdateItem", &ask).expect("the table accepts the update");
    }

    /// Returns an image's item in the table: its mark for deletion, and the operations that need
    /// the image. `None` if the table has no such item.
    #[track_caller]
    pub fn marked(&self, digest: &str) -> Option<Value> {
        self.item(&format!("IMAGES#{}", self.plan.name), &format!("IMAGE#{digest}"))
    }

    /// Waits until the tagger has recorded an ignored push, then deletes the record. Stablepin also
    /// deletes such a record, but much later.
    #[track_caller]
    pub fn forget_ignored_push(&self, tag: &str) {
        let sk = format!("TAGGED#{}#{tag}", self.plan.repository);
        let pk = format!("APP#{}", self.plan.name);
        until("the record of the ignored push", || self.item(&pk, &sk));
        let key = json!({ "pk": { "S": pk }, "sk": { "S": sk } });
        let ask = json!({ "TableName": self.table(), "Key": key });
        self.aws.dynamodb("DeleteItem", &ask).expect("the table deletes the record");
    }

    /// Marks an image for deletion, as retention does before it deletes the image.
    #[track_caller]
    pub fn mark_for_deletion(&self, digest: &str) {
        let run = "01a1fc8f-9c1e-7d43-b3a8-5b0c6f6a1e77";
        let values = json!({ ":run": { "S": run }, ":at": { "S": "2026-11-21T02:00:00Z" } });
        self.mark(digest, "SET marked_by = :run, marked_at = :at", &values);
    }

    /// Removes the mark of an image, as retention does when it keeps the image after all.
    #[track_caller]
    pub fn unmark(&self, digest: &str) {
        self.mark(digest, "REMOVE marked_by, marked_at", &Value::Null);
    }

    #[track_caller]
    fn mark(&self, digest: &str, expression: &str, values: &Value) {
        let sk = format!("IMAGE#{digest}");
        let mut ask = json!({
            "TableName": self.table(),
            "Key": { "pk": { "S": format!("IMAGES#{}", self.plan.name) }, "sk": { "S": sk } },
            "UpdateExpression": expression,
        });
        if values.is_object() {
            ask["ExpressionAttributeValues"] = values.clone();
        }
        self.aws.dynamodb("UpdateItem", &ask).expect("the table accepts the update");
    }

    /// Makes the promotion due, so that the next tick works on it.
    #[track_caller]
    pub fn pause_ends(&self, promotion: &str) {
        let sk = format!("PROMOTION#{promotion}");
        if self.operation(&sk)["wake_at"].is_string() {
            for path in ["record.operation.wake_at", "record.operation.notify_at", "wake_at"] {
                self.rewrite(&sk, path, "2026-01-01T00:00:00Z");
            }
        }
    }

    /// Waits for the tagger's last write after a push. After this write, no Lambda function changes
    /// anything until the test acts again.
    #[track_caller]
    pub fn settled(&self, digest: &str) {
        until("the push's last record", || {
            self.items("TAG#").iter().any(|tag| tag["followed"] == digest).then_some(())
        });
    }

    /// Returns the text of the registered application file, if the application has one.
    #[track_caller]
    pub fn registered(&self) -> Option<String> {
        let item = self.item(&self.config_partition(), "CONFIG")?;
        item["record"]["text"].as_str().map(str::to_owned)
    }

    /// Returns the name of the application that claims a repository, a service's ARN or a stable
    /// tag.
    #[track_caller]
    pub fn claimed(&self, what: &str) -> Option<String> {
        let item = self.item(&format!("CLAIM#{what}"), "CLAIM")?;
        item["record"].as_str().map(str::to_owned)
    }

    fn audit_partition(&self) -> String {
        format!("AUDIT#{}#{}", self.plan.name, jiff::Timestamp::now().strftime("%Y-%m"))
    }

    fn config_partition(&self) -> String {
        format!("CONFIG#{}", self.plan.name)
    }

    /// Returns this month's audit records, oldest first.
    #[track_caller]
    pub fn audit(&self) -> Vec<Value> {
        let items = self.raw_items(&self.audit_partition());
        items.iter().map(|item| plain_item(item)["record"].clone()).collect()
    }

    /// Returns the reason for an operation's state, as the audit record gives it.
    #[track_caller]
    pub fn reason(&self, operation: &Value) -> String {
        let audit = self.audit();
        let of_state = |one: &&Value| one["id"] == operation["id"] && one["to"] == operation["state"];
        audit.iter().rfind(of_state).and_then(|one| one["reason"].as_str()).unwrap_or_default().to_owned()
    }

    /// Returns the state changes in the audit records of one kind, as `from → to`.
    #[track_caller]
    pub fn audited(&self, kind: &str) -> Vec<String> {
        let records = self.audit();
        let of_kind = records.iter().filter(|record| record["kind"] == kind);
        of_kind
            .map(|record| {
                let word = |name: &str| record[name].as_str().unwrap_or("-").to_owned();
                format!("{} → {}", word("from"), word("to"))
            })
            .collect()
    }

    /// Returns the environment's record, or `Null` if the table has none.
    #[track_caller]
    pub fn environment(&self) -> Value {
        let pk = format!("APP#{}", self.plan.name);
        self.item(&pk, "ENV#production").map(|item| item["record"].clone()).unwrap_or_default()
    }

    /// Returns all promotions, oldest first.
    #[track_caller]
    pub fn promotions(&self) -> Vec<Value> {
        let items = self.items("PROMOTION#");
        items.iter().map(|item| item["record"]["operation"]["work"]["Promotion"].clone()).collect()
    }

    #[track_caller]
    pub fn promotion(&self, id: &str) -> Value {
        self.operation(&format!("PROMOTION#{id}"))["work"]["Promotion"].clone()
    }

    #[track_caller]
    pub fn rollback_record(&self, id: &str) -> Value {
        self.operation(&format!("ROLLBACK#{id}"))["work"]["Rollback"].clone()
    }

    #[track_caller]
    pub fn operation(&self, sk: &str) -> Value {
        let found = self.item(&format!("APP#{}", self.plan.name), sk);
        found.map(|item| item["record"]["operation"].clone()).expect("the table has the operation")
    }

    #[track_caller]
    pub fn build(&self, digest: &str) -> Option<Value> {
        let found = self.item(&format!("APP#{}", self.plan.name), &format!("BUILD#{digest}"));
        found.map(|item| item["record"].clone())
    }

    /// Returns the build tag of a digest.
    #[track_caller]
    pub fn build_tag(&self, digest: &str) -> String {
        self.build(digest).expect("a build")["build_tag"].as_str().expect("a tag").to_owned()
    }

    /// Returns the history of pins as `(number, digest)`, oldest first.
    #[track_caller]
    pub fn pins(&self) -> Vec<(u64, String)> {
        let pin = |item: &Value| {
            let record = &item["record"];
            (
                record["number"].as_u64().unwrap_or_default(),
                record["digest"].as_str().unwrap_or_default().into(),
            )
        };
        self.items("PIN#production#").iter().map(pin).collect()
    }
}
