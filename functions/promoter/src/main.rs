use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use serde_json::{Value, json};
use stablepin_aws::ecr::Ecr;
use stablepin_aws::eventbridge::EventBridge;
use stablepin_aws::sqs::Sqs;
use stablepin_promoter::{EventBus, Queue, Trigger, handle, is_foreign};
use stablepin_reconciler::clock::now;
use stablepin_reconciler::stack_location::{StackLocation, count_foreign_event};
use stablepin_reconciler::start::{self, Capabilities};
use stablepin_rules::topic_policy::TopicRoles;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    start::logs();
    let (clients, session) =
        start::clients(Capabilities { ecs: true, approval_mailer: true, verify: true }).await?;
    let copier = Ecr::copying(&session);
    let bus = EventBus { client: EventBridge::new(&session), name: start::required("STABLEPIN_BUS")? };
    let queue = Queue { sqs: Sqs::new(&session), url: start::required("STABLEPIN_SWEEP_QUEUE")? };
    let location = StackLocation::from_env()?;
    let publishers = start::required("STABLEPIN_PUBLISHER_ROLE_ARNS")?;
    let roles = TopicRoles {
        subscriber: start::required("STABLEPIN_SUBSCRIBER_ROLE_ARN")?,
        publishers: publishers.split(',').map(str::to_owned).collect(),
    };
    run(service_fn(async |event: LambdaEvent<Value>| {
        let deadline = start::deadline(event.context.deadline);
        if is_foreign(&event.payload, &location) {
            count_foreign_event(now());
            let said = |name: &str| event.payload.get(name).and_then(Value::as_str).unwrap_or("not said");
            tracing::warn!(
                event.account = said("account"),
                event.region = said("region"),
                "refused an event: it is of another account or region"
            );
            return Ok(json!({ "refused": "an event of another account or region" }));
        }
        let trigger = Trigger::read(event.payload)?;
        Ok::<Value, Error>(handle(&clients, &copier, &bus, &queue, &roles, trigger, deadline).await?)
    }))
    .await
}
