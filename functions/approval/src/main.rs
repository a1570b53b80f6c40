use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use stablepin_approval::handle;
use stablepin_http::{Event, Request};
use stablepin_reconciler::start::{self, Capabilities};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    start::logs();
    let (clients, session) = start::clients(Capabilities::default()).await?;
    let topics = start::topics(&session)?;
    run(service_fn(async |event: LambdaEvent<Event>| {
        let deadline = start::deadline(event.context.deadline);
        Ok::<_, Error>(match Request::read(event.payload) {
            // The future is boxed, because the compiler refuses futures that are nested too deeply.
            Ok(request) => Box::pin(handle(&clients, &topics, &request, deadline)).await,
            Err(problem) => problem.response(),
        })
    }))
    .await
}
