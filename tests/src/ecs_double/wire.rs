//! ECS's protocol: JSON 1.1 over HTTP/1.1, one port.
//! <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/making-api-requests.html>

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use serde_json::{Map, Value, json};

use super::by_test::{Ecs, Shared};
use super::input::{Answer, Input, Refused};
use super::world::Call;
use crate::wire::{Connection, Request};

const TARGET: &str = "AmazonEC2ContainerServiceV20141113.";

/// Those that change something: each may have somebody act just before or after it.
const CHANGES: [&str; 6] = [
    "RegisterTaskDefinition",
    "DeregisterTaskDefinition",
    "CreateService",
    "UpdateService",
    "StopServiceDeployment",
    "ContinueServiceDeployment",
];

/// Until the double is dropped.
pub(super) fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming().map_while(Result::ok) {
        if shared.over.load(Ordering::SeqCst) {
            return;
        }
        let ecs = Ecs(Arc::clone(shared));
        thread::spawn(move || converse(&ecs, stream));
    }
}

fn converse(ecs: &Ecs, stream: TcpStream) {
    let mut connection = Connection::new(stream);
    while let Some(request) = connection.request() {
        // Connections are opened with it before there is anything to ask.
        let (status, body) = if request.target == "/ping" { (200, json!({})) } else { answer(ecs, &request) };
        let last = request.header("connection").is_some_and(|text| text.eq_ignore_ascii_case("close"));
        let mut headers = vec![
            ("content-type".to_owned(), "application/x-amz-json-1.1".to_owned()),
            ("x-amzn-requestid".to_owned(), "00000000-0000-4000-8000-000000000000".to_owned()),
        ];
        if last {
            headers.push(("connection".to_owned(), "close".to_owned()));
        }
        if connection.answer(status, &headers, body.to_string().as_bytes()).is_err() || last {
            return;
        }
    }
}

fn answer(ecs: &Ecs, request: &Request) -> (u16, Value) {
    match read(ecs, request).and_then(|(operation, members)| perform(ecs, &operation, members)) {
        Ok(body) => (200, body),
        Err(refused) => (refused.status, json!({ "__type": refused.kind, "message": refused.message })),
    }
}

fn read(ecs: &Ecs, request: &Request) -> Result<(String, Map<String, Value>), Refused> {
    // <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/CommonErrors.html>
    let scope = format!("/{}/ecs/aws4_request", ecs.world().home.region);
    let signed = request
        .header("authorization")
        .is_some_and(|text| text.starts_with("AWS4-HMAC-SHA256 ") && text.contains(&scope));
    if !signed {
        let message = format!("The request is not signed for {scope}");
        return Err(Refused::new(403, "IncompleteSignature", message));
    }
    let target = request.header("x-amz-target").and_then(|target| target.strip_prefix(TARGET));
    let json = request.header("content-type") == Some("application/x-amz-json-1.1");
    let (Some(operation), "POST", "/", true) = (target, &*request.method, &*request.target, json) else {
        let message = format!("{} {} is no call of ECS", request.method, request.target);
        return Err(surprised(ecs, Refused::unknown(message)));
    };
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(members)) => Ok((operation.to_owned(), members)),
        _ => Err(Refused::new(400, "SerializationException", "the body is no JSON object")),
    }
}

fn surprised(ecs: &Ecs, refused: Refused) -> Refused {
    ecs.world().surprises.push(refused.message.clone());
    refused
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
        world.calls.push(Call { operation: operation.to_owned(), body: Value::Object(members), status });
        answer
    };
    if let Some(number) = number {
        ecs.meddle(number, true);
    }
    answer.map_err(|refused| {
        let unknown = refused.kind == super::input::UNKNOWN;
        if unknown { surprised(ecs, refused) } else { refused }
    })
}
