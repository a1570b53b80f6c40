use stablepin_aws::call::CallError;
use stablepin_aws::elb::{Elb, Target, TargetState};

use crate::wire::{Wire, bytes, chain, xml_error};

const GROUP: &str = "arn:aws:elasticloadbalancing:eu-west-1:111122223333:targetgroup/web/50dc6c495c0c9188";

/// A response with these targets.
/// <https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_DescribeTargetHealth.html#API_DescribeTargetHealth_Examples>
fn answer(members: &str) -> String {
    format!(
        "<DescribeTargetHealthResponse xmlns=\"http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/\">\
         <DescribeTargetHealthResult><TargetHealthDescriptions>{members}</TargetHealthDescriptions>\
         </DescribeTargetHealthResult><ResponseMetadata><RequestId>7f2f</RequestId></ResponseMetadata>\
         </DescribeTargetHealthResponse>"
    )
}

fn member(id: &str, health: &str) -> String {
    format!(
        "<member><HealthCheckPort>8080</HealthCheckPort><TargetHealth>{health}</TargetHealth>\
         <Target><Port>8080</Port><Id>{id}</Id></Target></member>"
    )
}

fn state(state: &str) -> String {
    member("10.0.1.7", &format!("<State>{state}</State>"))
}

async fn targets(members: &str) -> Result<Vec<Target>, CallError> {
    Elb::new(&Wire::answering([bytes(answer(members))]).session()).targets(GROUP).await
}

#[tokio::test]
async fn client_reads_health_of_all_targets_in_one_call() {
    let members = state("healthy")
        + &member(
            "i-0f76fade",
            "<State>unhealthy</State><Reason>Target.ResponseCodeMismatch</Reason>\
             <Description>Health checks failed with these codes: [500]</Description>",
        );
    let wire = Wire::answering([bytes(answer(&members))]);
    let found = Elb::new(&wire.session()).targets(GROUP).await.unwrap();
    let sent = wire.request();
    let mut parts: Vec<_> = sent.body.split('&').collect();
    parts.sort_unstable();
    let group = GROUP.replace(':', "%3A").replace('/', "%2F");
    assert_eq!(
        parts,
        ["Action=DescribeTargetHealth", &format!("TargetGroupArn={group}"), "Version=2015-12-01"]
    );
    assert!(sent.headers["authorization"].contains("/elasticloadbalancing/aws4_request"));
    assert_eq!(
        found,
        [
            Target {
                id: "10.0.1.7".to_owned(),
                port: Some(8080),
                state: TargetState::Healthy,
                reason: None,
                description: None,
            },
            Target {
                id: "i-0f76fade".to_owned(),
                port: Some(8080),
                state: TargetState::Unhealthy,
                reason: Some("Target.ResponseCodeMismatch".to_owned()),
                description: Some("Health checks failed with these codes: [500]".to_owned()),
            },
        ]
    );
}

#[tokio::test]
async fn unknown_target_state_keeps_its_name() {
    for (named, is) in [
        ("healthy", TargetState::Healthy),
        ("initial", TargetState::Initial),
        ("unhealthy", TargetState::Unhealthy),
        ("unhealthy.draining", TargetState::Unhealthy),
        ("unused", TargetState::Unused),
        ("draining", TargetState::Draining),
        ("unavailable", TargetState::Unavailable),
        ("radiant", TargetState::Unknown("radiant".to_owned())),
    ] {
        assert_eq!(targets(&state(named)).await.unwrap()[0].state, is);
    }
}

#[tokio::test]
async fn empty_target_group_has_no_targets() {
    assert_eq!(targets("").await.unwrap(), []);
    // The client accepts a target without a port, such as a Lambda function.
    let lambda = "<member><TargetHealth><State>unavailable</State></TargetHealth><Target><Id>arn</Id></Target></member>";
    assert_eq!(targets(lambda).await.unwrap()[0].port, None);
}

#[tokio::test]
async fn incomplete_target_is_an_error() {
    for (members, missing) in [
        (member("10.0.1.7", ""), "State"),
        ("<member><TargetHealth><State>healthy</State></TargetHealth></member>".to_owned(), "Target"),
        ("<member><Target><Id>10.0.1.7</Id></Target></member>".to_owned(), "TargetHealth"),
        (state("healthy").replace("<Port>8080", "<Port>80800"), "Port"),
    ] {
        let failed = targets(&members).await.unwrap_err();
        assert_eq!(
            chain(&failed),
            format!(
                "could not read the health of the targets of {GROUP} (DescribeTargetHealth): \
                 the answer has no valid {missing}"
            )
        );
        assert!(!failed.is_retryable());
    }
}

#[tokio::test]
async fn failed_health_read_returns_the_elb_error() {
    for (status, code, retryable) in [
        (400, "TargetGroupNotFound", false),
        (403, "AccessDenied", false),
        (400, "Throttling", true),
        (500, "HealthUnavailable", true),
        (503, "ServiceUnavailable", true),
    ] {
        let wire = Wire::answering([xml_error(status, code)]);
        let failed = Elb::new(&wire.session()).targets(GROUP).await.unwrap_err();
        assert_eq!(
            chain(&failed),
            format!(
                "could not read the health of the targets of {GROUP} (DescribeTargetHealth): \
                 {code}: told by the test (HTTP {status}, request 7f2f)"
            )
        );
        assert_eq!(failed.is_retryable(), retryable, "{code}");
    }
}
