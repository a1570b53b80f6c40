//! The protocol AWS JSON 1.1: a header names the operation, and the body contains the input fields.
//! <https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html>

use serde_json::{Map, Value, json};

use super::input::{Answer, Refused};
use crate::server::{Answered, Request};

/// The names of an AWS service in requests and messages.
pub(crate) struct ServiceNames {
    /// The name in messages, such as `ECS`.
    pub(crate) name: &'static str,
    /// The name in signatures, such as `ecs`.
    pub(crate) signed: &'static str,
    /// The prefix of the header `x-amz-target`, including the dot at the end.
    pub(crate) target: &'static str,
}

impl ServiceNames {
    /// Reads the operation and the input fields from a signed request.
    pub(crate) fn read(
        &self,
        region: &str,
        request: &Request,
    ) -> Result<(String, Map<String, Value>), Refused> {
        let scope = format!("/{region}/{}/aws4_request", self.signed);
        let signed = request
            .header("authorization")
            .is_some_and(|text| text.starts_with("AWS4-HMAC-SHA256 ") && text.contains(&scope));
        if !signed {
            let message = format!("The request is not signed for {scope}");
            return Err(Refused::new(403, "IncompleteSignature", message));
        }
        let target = request.header("x-amz-target").and_then(|target| target.strip_prefix(self.target));
        let json = request.header("content-type") == Some("application/x-amz-json-1.1");
        let (Some(operation), "POST", "/", true) = (target, &*request.method, &*request.target, json) else {
            let message = format!("{} {} is no call of {}", request.method, request.target, self.name);
            return Err(Refused::unknown(message));
        };
        match serde_json::from_slice(&request.body) {
            Ok(Value::Object(members)) => Ok((operation.to_owned(), members)),
            _ => Err(Refused::new(400, "SerializationException", "the body is no JSON object")),
        }
    }
}

pub(crate) fn answered(answer: Answer) -> Answered {
    let (status, body) = match answer {
        Ok(body) => (200, body),
        Err(refused) => (refused.status, json!({ "__type": refused.kind, "message": refused.message })),
    };
    let headers = [
        ("content-type", "application/x-amz-json-1.1"),
        ("x-amzn-requestid", "00000000-0000-4000-8000-000000000000"),
    ];
    Answered::new(status, &headers, body.to_string())
}
