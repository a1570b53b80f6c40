//! The template that AWS gets, where the local cloud cannot show what it does; and how the local cloud's differs.

use serde_json::{Value, json};
use stablepin_tests::template::Template;

fn arn_of(resource: &str) -> Value {
    json!({ "Fn::GetAtt": [resource, "Arn"] })
}

/// The statements of a policy document.
#[track_caller]
fn statements(document: &Value) -> &[Value] {
    document["Statement"].as_array().expect("statements")
}

/// Whom the denial of an action on the approvals topic exempts.
#[track_caller]
fn exempt_from_denial(template: &Template, action: &str) -> Vec<Value> {
    let document = &template.properties("ApprovalsTopicPolicy")["PolicyDocument"];
    let mut denials = statements(document).iter().filter(|one| one["Action"] == action);
    let (Some(denial), None) = (denials.next(), denials.next()) else {
        panic!("one denial of {action}: {document}")
    };
    assert_eq!((&denial["Effect"], &denial["Principal"]), (&json!("Deny"), &json!("*")));
    assert_eq!(denial["Resource"], json!({ "Ref": "ApprovalsTopic" }));
    let condition = denial["Condition"].as_object().expect("a condition");
    let (operator, keys) = condition.iter().next().expect("an operator");
    assert!(condition.len() == 1 && matches!(operator.as_str(), "ArnNotEquals" | "ArnNotLike"), "{denial}");
    match &keys["aws:PrincipalArn"] {
        Value::Array(arns) => arns.clone(),
        arn => vec![arn.clone()],
    }
}

#[test]
fn approvals_topic_lets_only_stablepins_roles_in() {
    let template = Template::for_aws();
    let publish = exempt_from_denial(&template, "sns:Publish");
    assert_eq!(publish, [arn_of("TaggerRole"), arn_of("PromoterRole")]);
    assert_eq!(exempt_from_denial(&template, "sns:Subscribe"), [arn_of("ApprovalRole")]);
    let document = &template.properties("ApprovalsTopicPolicy")["PolicyDocument"];
    assert_eq!(statements(document).len(), 2, "{document}");
}

/// The inbox is subscribed by the developer, who is the account's root there.
#[test]
fn local_cloud_also_lets_its_developer_subscribe() {
    let template = Template::for_local_cloud();
    let arn = |of: &str| json!({ "Fn::Sub": format!("arn:${{AWS::Partition}}:{of}") });
    let sessions = |role: &str| arn(&format!("sts::${{AWS::AccountId}}:assumed-role/${{{role}}}/*"));
    let root = arn("iam::${AWS::AccountId}:root");
    let subscribe = exempt_from_denial(&template, "sns:Subscribe");
    assert_eq!(subscribe, [arn_of("ApprovalRole"), sessions("ApprovalRole"), root]);
    let publish = exempt_from_denial(&template, "sns:Publish");
    let roles = ["TaggerRole", "PromoterRole"].iter().flat_map(|role| [arn_of(role), sessions(role)]);
    assert_eq!(publish, roles.collect::<Vec<_>>());
}
