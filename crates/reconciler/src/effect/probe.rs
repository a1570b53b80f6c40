//! Probes the endpoints of an environment. Each endpoint gets several requests, so that one slow
//! response of a new task does not fail the probe.

use std::time::Duration;

use futures_util::future::join_all;
use stablepin_aws::probe::Probe;
use stablepin_rules::application::{Endpoint, EnvironmentPolicy};
use stablepin_rules::effect::Outcome;

use crate::Clients;

/// The number of requests, out of `ATTEMPTS`, that must succeed.
const SUCCESSES: u32 = 3;
/// The number of requests to each endpoint.
const ATTEMPTS: u32 = 5;
const TIMEOUT: Duration = Duration::from_secs(3);
const BETWEEN: Duration = Duration::from_secs(1);

pub(super) async fn probe(clients: &Clients, policy: &EnvironmentPolicy) -> Outcome {
    let Some(probe) = clients.verify.as_ref().map(|verify| &verify.probe) else {
        return Outcome::Problem("this function probes no endpoints".to_owned());
    };
    let asked = policy.verify.endpoints.iter().map(|endpoint| ask(probe, endpoint));
    let failed: Vec<String> = join_all(asked).await.into_iter().flatten().collect();
    Outcome::Probed((!failed.is_empty()).then(|| failed.join("; ")))
}

/// Returns the problem of one endpoint, or `None` if enough requests succeed.
async fn ask(probe: &Probe, endpoint: &Endpoint) -> Option<String> {
    let (mut good, mut last) = (0, String::new());
    for attempt in 1..=ATTEMPTS {
        match probe.get(endpoint, TIMEOUT).await {
            Ok(200..=299) => good += 1,
            Ok(status) => last = format!("status {status}"),
            Err(error) => last = error.to_string(),
        }
        if good == SUCCESSES {
            return None;
        }
        if ATTEMPTS - attempt < SUCCESSES - good {
            break;
        }
        tokio::time::sleep(BETWEEN).await;
    }
    Some(format!("{endpoint} answered {good} of {SUCCESSES} required times: {last}"))
}
