use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use stablepin_reconciler::clock::now;
use stablepin_reconciler::stack_location::{StackLocation, count_foreign_event};
use stablepin_reconciler::start::{self, Capabilities};
use stablepin_tagger::{EcrEvent, Handled, Ignored, OwnRoles, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    start::logs();
    let (clients, _) =
        start::clients(Capabilities { approval_mailer: true, ..Capabilities::default() }).await?;
    let location = StackLocation::from_env()?;
    let own = OwnRoles::parse(&start::required("STABLEPIN_OWN_ROLES")?)?;
    run(service_fn(async |event: LambdaEvent<EcrEvent>| {
        let deadline = start::deadline(event.context.deadline);
        let detail = &event.payload.detail;
        // The future is boxed, because the compiler refuses futures that are nested too deeply.
        match Box::pin(handle(&clients, &location, &own, &event.payload, deadline)).await? {
            Handled::Ignored(why @ Ignored::Foreign { .. }) => {
                count_foreign_event(now());
                tracing::warn!(
                    repository.name = detail.repository_name,
                    image.tag = detail.image_tag,
                    "refused an event: {why}"
                );
            }
            Handled::Ignored(why) => tracing::info!(
                repository.name = detail.repository_name,
                image.tag = detail.image_tag,
                "ignored a push: {why}"
            ),
            Handled::PutRight { environments } => tracing::warn!(
                repository.name = detail.repository_name,
                image.tag = detail.image_tag,
                environments,
                "restored a tag that was moved or deleted by hand"
            ),
            Handled::Attributed { count } => tracing::info!(count, "CloudTrail named the caller of a push"),
            Handled::Opened { environments } => tracing::info!(
                repository.name = detail.repository_name,
                image.tag = detail.image_tag,
                image.digest = detail.image_digest,
                environments,
                "handled a push"
            ),
        }
        Ok::<_, Error>(())
    }))
    .await
}
