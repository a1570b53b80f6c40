//! The parts of the template that only AWS uses, and the differences of the local cloud's template.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stablepin_tests::template::Template;

fn arn_of(resource: &str) -> Value {
    json!({ "Fn::GetAtt": [resource, "Arn"] })
}

/// Returns the statements of a policy document.
#[track_caller]
fn statements(document: &Value) -> &[Value] {
    document["Statement"].as_array().expect("statements")
}

/// Returns the principals that the approvals topic's denial of an action exempts.
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
fn only_roles_of_the_stack_may_use_the_approvals_topic() {
    let template = Template::for_aws();
    let publish = exempt_from_denial(&template, "sns:Publish");
    assert_eq!(publish, [arn_of("TaggerRole"), arn_of("PromoterRole")]);
    assert_eq!(exempt_from_denial(&template, "sns:Subscribe"), [arn_of("ApprovalRole")]);
    let document = &template.properties("ApprovalsTopicPolicy")["PolicyDocument"];
    assert_eq!(statements(document).len(), 2, "{document}");
}

/// The developer subscribes the inbox to the topic. In the local cloud the developer is the
/// account's root.
#[test]
fn developer_may_subscribe_in_the_local_cloud() {
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

/// Returns the logical ids of the Lambda functions that the API gateway calls.
fn behind_the_gateway(template: &Template) -> BTreeSet<String> {
    let integrations = template.of_type("AWS::ApiGatewayV2::Integration");
    let function = |(_, integration): (&str, &Value)| {
        integration["IntegrationUri"]["Fn::GetAtt"][0].as_str().expect("a function").to_owned()
    };
    integrations.map(function).collect()
}

/// The Lambda functions behind the API gateway trust the signer that the event names. A caller who
/// could invoke such a Lambda function directly could pretend to be any signer.
#[test]
fn only_the_api_gateway_may_invoke_its_lambda_functions() {
    let template = Template::for_aws();
    let functions = behind_the_gateway(&template);
    let expected = ["ApiFunction", "ApprovalFunction", "RetentionFunction", "RollbackFunction"];
    assert_eq!(functions, expected.map(str::to_owned).into());
    for function in &functions {
        let arn = arn_of(function);
        let mut policies =
            template.of_type("AWS::Lambda::ResourcePolicy").filter(|(_, one)| one["ResourceArn"] == arn);
        let (Some((_, policy)), None) = (policies.next(), policies.next()) else {
            panic!("{function}: one policy")
        };
        let [denial, permit] = statements(&policy["PolicyDocument"]) else {
            panic!("two statements: {policy}")
        };

        let mut condition = json!({ "Bool": { "aws:PrincipalIsAWSService": "false" } });
        if function == "RetentionFunction" {
            condition["ArnNotEquals"] = json!({ "aws:PrincipalArn": arn_of("NightRole") });
        }
        let versions = json!({ "Fn::Sub": format!("${{{function}.Arn}}:*") });
        assert_eq!((&denial["Effect"], &denial["Principal"]), (&json!("Deny"), &json!("*")), "{function}");
        assert_eq!(denial["Action"], "lambda:InvokeFunction", "{function}");
        assert_eq!(denial["Resource"], json!([arn, versions]), "{function}");
        assert_eq!(denial["Condition"], condition, "{function}");

        assert_eq!(
            (&permit["Effect"], &permit["Action"]),
            (&json!("Allow"), &json!("lambda:InvokeFunction"))
        );
        assert_eq!(permit["Principal"], json!({ "Service": "apigateway.amazonaws.com" }), "{function}");
        assert_eq!(permit["Resource"], arn, "{function}");
        let gateway = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/*";
        assert_eq!(permit["Condition"], json!({ "ArnLike": { "aws:SourceArn": { "Fn::Sub": gateway } } }));
    }
}

/// A Lambda permission and a resource policy of the same Lambda function overwrite each other.
#[test]
fn function_with_a_resource_policy_has_no_lambda_permission() {
    let of = |template: &Template, kind: &'static str, member: &str| -> BTreeSet<String> {
        let function = |one: &Value| {
            let named = &one[member];
            named["Fn::GetAtt"][0].as_str().or(named["Ref"].as_str()).unwrap_or_default().to_owned()
        };
        template.of_type(kind).map(|(_, one)| function(one)).collect()
    };
    let (aws, local) = (Template::for_aws(), Template::for_local_cloud());
    let policies = of(&aws, "AWS::Lambda::ResourcePolicy", "ResourceArn");
    assert_eq!(policies, behind_the_gateway(&aws));
    assert_eq!(of(&aws, "AWS::Lambda::Permission", "FunctionName"), BTreeSet::new());
    // SAM creates a Lambda permission for each event source except for queues.
    for function in &policies {
        let events = aws.properties(function)["Events"].as_object().into_iter().flatten();
        let kinds: Vec<_> = events.map(|(_, event)| event["Type"].as_str().unwrap_or_default()).collect();
        assert!(kinds.iter().all(|kind| *kind == "SQS"), "{function}: {kinds:?}");
    }
    assert_eq!(of(&local, "AWS::Lambda::ResourcePolicy", "ResourceArn"), BTreeSet::new());
    assert_eq!(of(&local, "AWS::Lambda::Permission", "FunctionName"), policies);
}

/// The account's concurrency is shared by all Lambda functions. Two parameters can reserve a part
/// for rollbacks and for approvals.
#[test]
fn template_parameters_reserve_concurrency() {
    let template = Template::for_aws();
    for (function, parameter, condition) in [
        ("ApprovalFunction", "ApprovalConcurrency", "ReservesApproval"),
        ("RollbackFunction", "RollbackConcurrency", "ReservesRollback"),
    ] {
        let reserved = &template.properties(function)["ReservedConcurrentExecutions"];
        let none = json!({ "Ref": "AWS::NoValue" });
        assert_eq!(*reserved, json!({ "Fn::If": [condition, { "Ref": parameter }, none] }), "{function}");
        let parameter = template.parameter(parameter);
        assert_eq!(parameter["Default"], "", "no concurrency is reserved by default");
        assert_eq!(
            parameter["AllowedPattern"], "([1-9][0-9]{0,3})?",
            "at least 1, since 0 would stop the function"
        );
    }
}

#[test]
fn template_parameter_lets_retention_read_lambda_functions() {
    let template = Template::for_aws();
    let may = |one: &Value| one.to_string().contains("lambda:GetFunction");
    for (role, properties) in template.of_type("AWS::IAM::Role").filter(|(_, one)| may(one)) {
        assert_eq!(role, "RetentionRole");
        let all = statements(&properties["Policies"][0]["PolicyDocument"]);
        let found: Vec<_> = all.iter().filter(|one| may(one)).collect();
        let [optional] = found[..] else { panic!("one statement: {found:?}") };
        assert_eq!(optional["Fn::If"][0], "ReadsLambdaImages", "{optional}");
        assert_eq!(optional["Fn::If"][1]["Action"], "lambda:GetFunction", "{optional}");
    }
}

#[test]
fn links_use_the_custom_domain() {
    let template = Template::for_aws();
    let domain = template.properties("Domain");
    assert_eq!(domain["DomainName"], json!({ "Ref": "DomainName" }));
    let configuration = &domain["DomainNameConfigurations"][0];
    assert_eq!(configuration["CertificateArn"], json!({ "Ref": "CertificateArn" }));
    assert_eq!(configuration["SecurityPolicy"], "TLS_1_2");
    let mapping = template.properties("DomainMapping");
    assert_eq!(
        (&mapping["ApiId"], &mapping["Stage"]),
        (&json!({ "Ref": "Api" }), &json!({ "Ref": "ApiStage" }))
    );
    let record = template.properties("DomainRecord");
    assert_eq!(record["AliasTarget"]["DNSName"], json!({ "Fn::GetAtt": ["Domain", "RegionalDomainName"] }));
    let url = json!({ "Fn::Sub": "https://${DomainName}" });
    for of in [template.url_of_functions(), template.output("ApiUrl")] {
        assert_eq!((&of["Fn::If"][0], &of["Fn::If"][1]), (&json!("CustomDomain"), &url), "{of}");
    }
}

/// The alarm counts every 4xx response of an open route, including responses to requests that the
/// API gateway throttles.
#[test]
fn alarm_counts_4xx_responses_of_open_routes() {
    let template = Template::for_aws();
    let alarm = template.properties("OpenRouteErrors");
    let metrics = alarm["Metrics"].as_array().expect("metrics");
    assert_eq!(metrics[0]["Expression"], "refused - FILL(signed, 0)");
    let counted = |metric: &Value| metric["MetricStat"]["Metric"].clone();
    assert_eq!(counted(&metrics[1])["MetricName"], "4xx");
    assert_eq!(counted(&metrics[1])["Dimensions"], json!([{ "Name": "ApiId", "Value": { "Ref": "Api" } }]));
    let filter = template.properties("SignedRefusals");
    let transformation = &filter["MetricTransformations"][0];
    assert_eq!(transformation["MetricName"], counted(&metrics[2])["MetricName"]);
    assert_eq!(transformation["MetricNamespace"], counted(&metrics[2])["Namespace"]);
    assert_eq!(transformation["DefaultValue"], 0, "the metric exists before the first refusal");
    // The filter's pattern must match the fields that the access log writes.
    let format =
        template.properties("ApiStage")["AccessLogSettings"]["Format"].as_str().expect("a format").to_owned();
    for field in [r#""status": "$context.status""#, r#""principal": "$context.identity.userArn""#] {
        assert!(format.contains(field), "{field} in {format}");
    }
    assert_eq!(filter["FilterPattern"], r#"{ $.status = "4*" && $.principal = "arn:*" }"#);
}

/// The event of an opened or cancelled promotion does not trigger the promoter, because such a
/// promotion deploys nothing. Every other event in the pattern triggers the promoter.
#[test]
fn state_change_that_may_deploy_triggers_the_promoter() {
    let template = Template::for_aws();
    let pattern = &template.properties("PromoterFunction")["Events"]["Work"]["Properties"]["Pattern"];
    assert_eq!(pattern["detail"], json!({ "to": [{ "anything-but": ["Pending", "Cancelled"] }] }));
    for kind in ["Promotion State Change", "Rollback State Change", "Pin Change"] {
        assert!(pattern["detail-type"].as_array().is_some_and(|kinds| kinds.contains(&json!(kind))));
    }
}
