use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::Value;
use stablepin_aws::eventbridge::EventBridge;
use stablepin_aws::sqs::Sqs;
use stablepin_driver::start::{self, Needs};
use stablepin_promoter::{Bus, Queue, Woken, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    start::logs();
    let (doors, session) = start::doors(Needs { ecs: true, post: true, verify: true }).await?;
    let bus = Bus { door: EventBridge::new(&session), name: start::required("STABLEPIN_BUS")? };
    let queue = Queue { sqs: Sqs::new(&session), url: start::required("STABLEPIN_SWEEP_QUEUE")? };
    let subscriber_role_arn = start::required("STABLEPIN_SUBSCRIBER_ROLE_ARN")?;
    run(service_fn(async |event: LambdaEvent<Value>| {
        let deadline = start::deadline(event.context.deadline);
        let woken = Woken::read(event.payload)?;
        Ok::<Value, Error>(handle(&doors, &bus, &queue, &subscriber_role_arn, woken, deadline).await?)
    }))
    .await
}
