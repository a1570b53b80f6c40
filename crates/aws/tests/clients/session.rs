use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;
use stablepin_aws::ecr::Ecr;
use stablepin_aws::session::{Service, Session};
use stablepin_rules::image::RepositoryName;

use crate::wire::{Wire, bytes, chain, error, ok};

fn web() -> RepositoryName {
    RepositoryName::parse("web").unwrap()
}

#[tokio::test]
async fn first_call_reuses_a_warm_connection() {
    let wire = Wire::answering([bytes("healthy"), ok(json!({"repositories": []}))]);
    let session = wire.session();
    session.warm(&[Service::Ecr]).await;
    let ping = wire.request();
    assert_eq!((ping.method.as_str(), ping.path.as_str()), ("GET", "/ping"));
    assert!(!ping.headers.contains_key("authorization"));
    Ecr::new(&session).repository(&web()).await.unwrap();
    assert_eq!(wire.connections(), 1);
    assert_eq!(wire.requests().len(), 2);
}

#[tokio::test]
async fn warming_ignores_failures_and_ends_soon() {
    let wire = Wire::answering([error(503, "x")]);
    wire.session().warm(&[Service::Ecr, Service::Ecs, Service::DynamoDb]).await;

    // This server accepts connections and never responds.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = wire.settings();
    settings.endpoint = Some(format!("http://{}", silent.local_addr().unwrap()));
    let from = Instant::now();
    Session::new(settings).warm(&[Service::Sns]).await;
    assert!(from.elapsed() < Duration::from_secs(3), "{:?}", from.elapsed());
}

#[tokio::test]
async fn error_of_unreachable_service_is_retryable() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut settings = Wire::answering([]).settings();
    settings.endpoint = Some(format!("http://{closed}"));
    let failed = Ecr::new(&Session::new(settings)).repository(&web()).await.unwrap_err();
    assert!(failed.is_retryable());
    let text = chain(&failed);
    assert!(text.contains("no connection"), "{text}");
}

#[tokio::test]
async fn client_retries_a_throttled_call() {
    let wire = Wire::answering([error(400, "ThrottlingException"), ok(json!({"repositories": []}))]);
    let mut settings = wire.settings();
    settings.attempts = 2;
    assert_eq!(Ecr::new(&Session::new(settings)).repository(&web()).await.unwrap(), None);
    assert_eq!(wire.requests().len(), 2);
}
