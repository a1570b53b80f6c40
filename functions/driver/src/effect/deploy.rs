//! Starts one service's deployment at the digest: the service's own task definition, with only the image of the
//! containers that run the repository changed.

use stablepin_aws::ecs::{Controller, Ecs};
use stablepin_core::application::{Environment as Policy, ServiceName};
use stablepin_core::effect::Outcome;
use stablepin_core::records::Subject;
use stablepin_core::task_definition;

use super::problem;
use crate::Doors;
use crate::snapshot::{Home, one};

pub(super) async fn deploy(
    doors: &Doors,
    subject: &Subject,
    policy: &Policy,
    service: &ServiceName,
) -> Outcome {
    let (Some(ecs), Some(rollback)) = (&doors.ecs, subject.rollback()) else {
        return Outcome::Problem("this function drives no services".to_owned());
    };
    let failed = |reason: String| Outcome::ServiceFailed { service: service.clone(), reason };
    let state = match one(ecs, service).await {
        Ok(Some(state)) => state,
        Ok(None) => return failed("the service is not there any more".to_owned()),
        Err(error) => return problem(&error),
    };
    let Some(arn) = state.task_definition.as_deref().filter(|_| state.controller == Controller::Ecs) else {
        return failed("its deployments are not driven by ECS any more".to_owned());
    };
    let described = match ecs.task_definition(arn).await {
        Ok(described) => described,
        Err(error) => return problem(&error),
    };
    let Some(home) = Home::of(&state.arn) else {
        return failed(format!("{} is not the ARN of a service", state.arn));
    };
    let clone = task_definition::at_digest(
        &described.described,
        &described.tags,
        &home.account,
        &home.region,
        &policy.repository,
        &rollback.target.digest,
    );
    let clone = match clone {
        Ok(clone) => clone,
        Err(error) => return failed(error.to_string()),
    };
    // We were here before and were cut off, or it is described so already: that deployment is ours to follow.
    if let Some(primary) = state.primary()
        && clone.already
        && primary.task_definition == arn
    {
        return deployed(service, &primary.id, &primary.task_definition);
    }
    start(ecs, service, &clone.request).await
}

async fn start(ecs: &Ecs, service: &ServiceName, request: &serde_json::Value) -> Outcome {
    let task_definition = match ecs.register(request).await {
        Ok(arn) => arn,
        Err(error) => return problem(&error),
    };
    match ecs.update(service.cluster(), service.service(), &task_definition).await {
        Ok(deployment) => deployed(service, &deployment.id, &task_definition),
        Err(error) => problem(&error),
    }
}

fn deployed(service: &ServiceName, deployment: &str, task_definition: &str) -> Outcome {
    Outcome::Deployed {
        service: service.clone(),
        deployment: deployment.to_owned(),
        task_definition: task_definition.to_owned(),
    }
}
