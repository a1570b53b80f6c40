use std::sync::Mutex;

use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;
use stablepin_retention::{
    RetentionClients, RetentionTrigger, UnreadableTrigger, handle, in_use::TaskDefinitions,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    stablepin_reconciler::start::logs();
    let clients = RetentionClients::open().await?;
    let kept = Mutex::new(TaskDefinitions::default());
    run(service_fn(async |event: LambdaEvent<Value>| {
        let deadline = stablepin_reconciler::start::deadline(event.context.deadline);
        let trigger = match RetentionTrigger::read(event.payload) {
            Ok(trigger) => trigger,
            Err(UnreadableTrigger::Request(problem)) => return Ok(serde_json::to_value(problem.response())?),
            Err(UnreadableTrigger::Event(what)) => {
                return Err(format!(
                    "an event that retention does not know: {what}. The template sends only events that it \
                     knows"
                )
                .into());
            }
        };
        // Lambda sends one event at a time, so no other event uses the cache now.
        let mut cache = kept.lock().map(|mut kept| std::mem::take(&mut *kept)).unwrap_or_default();
        let done = Box::pin(handle(&clients, &mut cache, trigger, deadline)).await;
        if let Ok(mut kept) = kept.lock() {
            *kept = cache;
        }
        Ok::<Value, Error>(done?)
    }))
    .await
}
