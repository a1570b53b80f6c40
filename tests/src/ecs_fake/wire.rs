//! Serves ECS's protocol, JSON 1.1.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/making-api-requests.html>

use serde_json::{Map, Value};

use super::by_test::Ecs;
use super::world::EcsCall;
use crate::fake::input::{Answer, Input};
use crate::fake::json::{self, ServiceNames};
use crate::server::{Answered, Request};

const SERVICE: ServiceNames =
    ServiceNames { name: "ECS", signed: "ecs", target: "AmazonEC2ContainerServiceV20141113." };

/// The operations that change something. A test can run an action just before or just after a call
/// of such an operation.
const CHANGES: [&str; 6] = [
    "RegisterTaskDefinition",
    "DeregisterTaskDefinition",
    "CreateService",
    "UpdateService",
    "StopServiceDeployment",
    "ContinueServiceDeployment",
];

pub(super) fn answer(ecs: &Ecs, request: &Request) -> Answered {
    let region = ecs.world().home.region.clone();
    let answer =
        SERVICE.read(&region, request).and_then(|(operation, members)| perform(ecs, &operation, members));
    if let Err(refused) = &answer
        && refused.is_unknown()
    {
        ecs.world().surprises.push(refused.message.clone());
    }
    json::answered(answer)
}

fn perform(ecs: &Ecs, operation: &str, members: Map<String, Value>) -> Answer {
    let number = {
        let mut world = ecs.world();
        let change = CHANGES.contains(&operation);
        world.changes += usize::from(change);
        change.then_some(world.changes)
    };
    if let Some(number) = number {
        ecs.meddle(number, false);
    }
    let answer = {
        let mut world = ecs.world();
        let answer = world.answer(&Input { operation, members: &members });
        let status = answer.as_ref().map_or_else(|refused| refused.status, |_| 200);
        world.calls.push(EcsCall { operation: operation.to_owned(), body: Value::Object(members), status });
        answer
    };
    if let Some(number) = number {
        ecs.meddle(number, true);
    }
    answer
}
