//! A DynamoDB table, read through DynamoDB's own API.

use crate::aws::{Aws, AwsError, plain_item};
use serde_json::{Value, json};

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
