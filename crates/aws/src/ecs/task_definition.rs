//! Task definitions as raw JSON.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_ecs::types::TaskDefinitionField;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::ConfigBag;
use serde_json::Value;

use super::client::Ecs;
use super::error::EcsError;
use crate::call::{Call, CallError};
use crate::failed_call::FailedCall;

/// A task definition as ECS returned it, including fields that this version does not know.
#[derive(Debug, Clone, PartialEq)]
pub struct RawTaskDefinition {
    pub arn: String,
    pub described: Value,
    /// A list of keys and values.
    pub tags: Value,
    /// The status. ECS updates a service only to an `ACTIVE` task definition.
    pub status: String,
}

impl Ecs {
    /// Reads a task definition by its ARN, by `family:revision`, or by `family` for the newest
    /// active revision.
    ///
    /// The result contains the JSON that ECS sent, because the SDK's types drop unknown fields.
    pub async fn task_definition(&self, task_definition: &str) -> Result<RawTaskDefinition, EcsError> {
        let purpose = format!("describe the task definition {task_definition}");
        let call = Call::new("DescribeTaskDefinition", purpose);
        let body = Body::default();
        self.client
            .describe_task_definition()
            .task_definition(task_definition)
            .include(TaskDefinitionField::Tags)
            .customize()
            .interceptor(body.clone())
            .send()
            .await
            .map_err(|error| call.failed(error))?;
        Ok(raw(&call, &body)?)
    }

    /// Registers a revision with exactly this JSON. Returns the registered task definition.
    ///
    /// ECS accepts no client token for this call. So a call that timed out may have registered a
    /// revision that nothing uses.
    pub async fn register(&self, request: &Value) -> Result<RawTaskDefinition, EcsError> {
        let family = request.get("family").and_then(Value::as_str).unwrap_or_default();
        let purpose = format!("register a revision of the task definition {family}");
        let call = Call::new("RegisterTaskDefinition", purpose);
        let body = request.to_string();
        let answered = Body::default();
        self.client
            .register_task_definition()
            .family(family)
            .customize()
            .interceptor(answered.clone())
            // This closure runs before the SDK signs the request, so length and hash match the new
            // body.
            .mutate_request(move |request| {
                request.headers_mut().insert("content-length", body.len().to_string());
                *request.body_mut() = SdkBody::from(body.as_str());
            })
            .send()
            .await
            .map_err(|error| call.failed(error))?;
        Ok(raw(&call, &answered)?)
    }
}

/// Extracts the task definition from the JSON of the response.
fn raw(call: &Call, body: &Body) -> Result<RawTaskDefinition, CallError> {
    let mut answer: Value =
        serde_json::from_slice(&body.take()).map_err(|error| call.failed(FailedCall::unreadable(error)))?;
    let described =
        answer.get_mut("taskDefinition").map(Value::take).ok_or_else(|| call.lacks("taskDefinition"))?;
    let text = |member| described.get(member).and_then(Value::as_str).map(str::to_owned);
    Ok(RawTaskDefinition {
        arn: text("taskDefinitionArn").ok_or_else(|| call.lacks("taskDefinitionArn"))?,
        status: text("status").ok_or_else(|| call.lacks("status"))?,
        tags: answer.get_mut("tags").map(Value::take).unwrap_or_default(),
        described,
    })
}

/// An interceptor that keeps the bytes of the response.
#[derive(Debug, Clone, Default)]
struct Body(Arc<Mutex<Vec<u8>>>);

impl Body {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[dyn_dispatch_hint]
impl Intercept for Body {
    fn name(&self) -> &'static str {
        "Body"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let bytes = context.response().body().bytes().ok_or("the answer's body is not in memory")?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = bytes.to_vec();
        Ok(())
    }
}
