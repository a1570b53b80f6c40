//! Serves ECR's two protocols on one port: JSON 1.1, and the registry protocol under `/v2`.
//! <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/Welcome.html>

use serde_json::{Map, Value};

use super::by_test::Ecr;
use super::caller::caller;
use super::registry;
use super::world::EcrCall;
use crate::fake::input::Input;
use crate::fake::json::{self, ServiceNames};
use crate::server::{Answered, Request};

const SERVICE: ServiceNames =
    ServiceNames { name: "ECR", signed: "ecr", target: "AmazonEC2ContainerRegistry_V20150921." };

pub(super) fn answer(ecr: &Ecr, request: &Request) -> Answered {
    if request.target == "/v2" || request.target.starts_with("/v2/") {
        return registry::answer(ecr, request);
    }
    let region = ecr.world().region.clone();
    let read = SERVICE.read(&region, request);
    let (operation, mut members) = match read {
        Ok(read) => read,
        Err(refused) => {
            if refused.is_unknown() {
                ecr.world().surprises.push(refused.message.clone());
            }
            return json::answered(Err(refused));
        }
    };
    ecr.pause(&operation, || Value::Object(members.clone()));
    let (answer, more, number) = {
        let mut world = ecr.world();
        let input = Input { operation: &operation, members: &members };
        let answer = world.answer(&input, &caller(request));
        let more = world.error_members(&answer, &input);
        if let Err(refused) = &answer
            && refused.is_unknown()
        {
            world.surprises.push(refused.message.clone());
        }
        let status = answer.as_ref().map_or_else(|refused| refused.status, |_| 200);
        members.remove("layerPartBlob");
        let (body, received) = (Value::Object(members), request.body.len());
        world.calls.push(EcrCall { operation, body, status, received, sent: 0 });
        (answer, more, world.calls.len() - 1)
    };
    let mut answered = json::answered(answer);
    if let Some(more) = more {
        let mut body: Map<_, _> = serde_json::from_slice(&answered.body).expect("the body is an object");
        body.extend(more);
        answered.body = Value::from(body).to_string().into();
    }
    if let Some(call) = ecr.world().calls.get_mut(number) {
        call.sent = answered.body.len();
    }
    answered
}
