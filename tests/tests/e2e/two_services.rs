//! Rollbacks of two ECS services. The real programs of the Lambda functions run against the ECS
//! fake. No deployed Lambda function reads the table of the test.

use serde_json::json;
use stablepin_tests::crash::rollback;
use stablepin_tests::ecs_fake::EcsFake;
use stablepin_tests::{App, Plan, until};
use xtask::image::Spec;
use xtask::podman::ECR_HOST;

const SERVICES: [&str; 2] = ["web", "worker"];

/// Returns `cluster/service` for a service in the plan's cluster.
fn place(app: &App, service: &str) -> String {
    format!("{}/{service}", app.plan.cluster)
}

fn image(app: &App, digest: &str) -> String {
    format!("{ECR_HOST}/{}@{digest}", app.plan.repository)
}

#[test]
fn rollback_of_two_services_deploys_each_service_once() {
    let app = Plan::new("beside").services(SERVICES).create_with_fakes();
    let one = app.pin("main", &Spec::new("1"));
    let two = app.pin("main", &Spec::new("2"));
    let ecs = EcsFake::start();
    for service in SERVICES {
        let new = ecs.service(&place(&app, service)).runs(&image(&app, &two)).desired(2);
        new.container("sidecar", "sidecar:1").circuit_breaker(true).create();
    }

    let body = json!({ "to": 1, "confirm": "ROLLBACK", "reason": "500s" });
    let run = app.invoke(Some(&ecs), "rollback", &rollback(&app.plan.name, &body), None);
    assert_eq!(run.answer.expect("the function was not killed")["statusCode"], 202);
    until("the rollback's end", || {
        app.tick_with_fakes(Some(&ecs), None);
        let states = app.audited("Rollback State Change");
        (states.last().map(String::as_str) == Some("InProgress → Completed")).then_some(())
    });

    for service in SERVICES {
        let service = ecs.service(&place(&app, service));
        assert_eq!(service.images(), [image(&app, &one), "sidecar:1".to_owned()]);
        assert_eq!(service.described()["deployments"].as_array().map(Vec::len), Some(1));
    }
    assert_eq!((ecs.count("RegisterTaskDefinition"), ecs.count("UpdateService")), (2, 2));
    assert_eq!(app.pins(), [(1, one.clone()), (2, two), (3, one.clone())]);
    assert_eq!(app.tag("prod-stable"), Some(one));
}
