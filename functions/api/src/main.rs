use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use stablepin_api::{AllowedResources, handle};
use stablepin_aws::ecs::Ecs;
use stablepin_http::{Event, Request};
use stablepin_reconciler::start::{self, Capabilities};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    start::logs();
    let (clients, session) = start::clients(Capabilities::default()).await?;
    let settings = AllowedResources::new(
        session.region().to_owned(),
        start::required("STABLEPIN_URL")?,
        &start::list("STABLEPIN_REPOSITORY_ARNS")?,
        &start::list("STABLEPIN_CLUSTER_ARNS")?,
    )?;
    let ecs = Ecs::new(&session);
    run(service_fn(async |event: LambdaEvent<Event>| {
        Ok::<_, Error>(match Request::read(event.payload) {
            // The future is boxed, because the compiler refuses futures that are nested too deeply.
            Ok(request) => Box::pin(handle(&clients, &ecs, &settings, &request)).await,
            Err(problem) => problem.response(),
        })
    }))
    .await
}
