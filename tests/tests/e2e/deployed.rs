//! The deployed template: what its Lambda functions may do, and what their logs contain.

use serde_json::{Value, json};
use stablepin_tests::role::{FUNCTIONS, aws_as, configuration, function_name};
use stablepin_tests::template::Template;
use stablepin_tests::{Console, Plan, stack, until};
use xtask::aws::{AwsError, xml_text};
use xtask::image::Spec;

#[track_caller]
fn denied(who: &str, answer: Result<Value, AwsError>) {
    let error = answer.expect_err("IAM refuses it");
    let refused = matches!(&error, AwsError::Refused { status: 400 | 403, code, .. }
        if code.contains("AccessDenied") || code == "AuthorizationError");
    assert!(refused, "{who}: {error}");
}

#[test]
fn each_role_denies_calls_that_its_lambda_function_never_makes() {
    let app = Plan::new("iam").services(["web"]).create();
    let digest = app.push("quiet", &Spec::new("1"));
    let table = stack().table();
    let repository = &app.plan.repository;
    let key = json!({ "pk": { "S": "APP#nobody" }, "sk": { "S": "ENV#nobody" } });
    for function in FUNCTIONS {
        let aws = aws_as(function);
        let denied = |answer| denied(function, answer);
        let images = json!({ "repositoryName": repository, "imageIds": [{ "imageDigest": digest }] });
        if function != "retention" {
            denied(aws.ecr("BatchDeleteImage", &images));
        }
        denied(aws.ecr("DeleteRepository", &json!({ "repositoryName": repository, "force": true })));
        denied(aws.ecr("CreateRepository", &json!({ "repositoryName": format!("{repository}-x") })));
        denied(aws.dynamodb("DeleteTable", &json!({ "TableName": table })));
        denied(aws.dynamodb("Scan", &json!({ "TableName": table })));
        denied(aws.sqs("PurgeQueue", &json!({ "QueueUrl": stack().inbox() })));
        denied(aws.ecs("DeleteService", &json!({ "cluster": app.plan.cluster, "service": "web" })));
        // Policy conditions limit the keys that these two Lambda functions may delete. The emulator
        // ignores such conditions.
        if !matches!(function, "api" | "retention") {
            denied(aws.dynamodb("DeleteItem", &json!({ "TableName": table, "Key": key })));
        }
        if function == "api" {
            denied(aws.ecr("PutImage", &json!({ "repositoryName": repository, "imageManifest": "{}" })));
        }
        if !matches!(function, "promoter" | "rollback") {
            let update = json!({ "cluster": app.plan.cluster, "service": "web", "desiredCount": 0 });
            denied(aws.ecs("UpdateService", &update));
            denied(aws.ecs("RegisterTaskDefinition", &json!({ "family": "x", "containerDefinitions": [] })));
        }
        if function != "promoter" {
            let entry = json!({ "Source": "stablepin", "DetailType": "Pin Change", "Detail": "{}", "EventBusName": stack().bus() });
            denied(aws.events("PutEvents", &json!({ "Entries": [entry] })));
        }
        if !matches!(function, "promoter" | "tagger") {
            let publish = [
                ("Action", "Publish"),
                ("Version", "2010-03-31"),
                ("TopicArn", stack().topic()),
                ("Message", "x"),
            ];
            denied(aws.query("sns", &publish).map(Value::from));
        }
    }
    assert_eq!(app.tag("quiet"), Some(digest));
}

#[test]
fn iam_policies_name_each_action_without_wildcards() {
    for function in FUNCTIONS {
        assert!(policies(function).len() >= 2, "{function}");
        for statement in statements(function, "Allow") {
            for action in actions(&statement) {
                assert!(
                    action.as_str().is_some_and(|action| !action.contains('*')),
                    "{function}: {statement}"
                );
            }
            assert_eq!(statement["NotAction"], Value::Null, "{function}");
        }
    }
}

/// The emulator ignores policy conditions about the items of a request, so the test reads the
/// deployed policies.
#[test]
fn iam_policies_protect_audit_records_and_configuration() {
    for function in FUNCTIONS {
        let denies = |keys: &str, action: &str| {
            statements(function, "Deny").iter().any(|statement| {
                let of = &statement["Condition"]["ForAnyValue:StringLike"]["dynamodb:LeadingKeys"];
                let of = of.as_array().is_some_and(|list| list.iter().any(|one| one == keys));
                of && actions(statement).iter().any(|one| one == action)
            })
        };
        assert!(
            denies("AUDIT#*", "dynamodb:UpdateItem") && denies("AUDIT#*", "dynamodb:DeleteItem"),
            "{function}"
        );
        for keys in ["CONFIG#*", "CLAIM#*"] {
            assert_eq!(denies(keys, "dynamodb:PutItem"), function != "api", "{function}: {keys}");
        }
    }
}

/// No Lambda function may delete the record of a build, promotion, pin or vote. The emulator does
/// not enforce this limit, so the test reads the deployed policies.
#[test]
fn iam_policies_allow_deleting_only_image_and_claim_items() {
    for function in FUNCTIONS {
        let delete = |one: &Value| actions(one).iter().any(|action| action == "dynamodb:DeleteItem");
        let may: Vec<_> = statements(function, "Allow").into_iter().filter(delete).collect();
        let of: Vec<_> = may
            .iter()
            .map(|one| &one["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"])
            .collect();
        match function {
            "retention" => assert_eq!(of, [&json!(["IMAGES#*"])]),
            "api" => assert_eq!(of, [&json!(["CLAIM#*"])]),
            _ => assert_eq!(may, Vec::<Value>::new(), "{function}"),
        }
    }
}

/// Returns the statements with this effect in the policies of the Lambda function's role.
fn statements(function: &str, effect: &str) -> Vec<Value> {
    let policies = policies(function).into_iter();
    let all = policies.flat_map(|policy| policy["Statement"].as_array().cloned().unwrap_or_default());
    all.filter(|statement| statement["Effect"] == effect).collect()
}

fn actions(statement: &Value) -> Vec<Value> {
    match &statement["Action"] {
        Value::Array(actions) => actions.clone(),
        one => vec![one.clone()],
    }
}

/// Returns the policy documents of the Lambda function's role.
fn policies(function: &str) -> Vec<Value> {
    let aws = stack().aws();
    let role = configuration(function)["Role"].as_str().expect("a role").to_owned();
    let role = role.rsplit('/').next().unwrap_or_default();
    let ask = |action: &str, more: &[(&str, &str)]| {
        let request = [&[("Action", action), ("Version", "2010-05-08")], more].concat();
        aws.query("iam", &request).expect("IAM answers")
    };
    let members = |xml: &str, tag: &str| -> Vec<String> {
        xml.split("<member>").skip(1).filter_map(|one| xml_text(&format!("<member>{one}"), tag)).collect()
    };
    let mut documents = Vec::new();
    for name in members(&ask("ListRolePolicies", &[("RoleName", role)]), "member") {
        let answer = ask("GetRolePolicy", &[("RoleName", role), ("PolicyName", &name)]);
        documents.extend(xml_text(&answer, "PolicyDocument"));
    }
    for arn in members(&ask("ListAttachedRolePolicies", &[("RoleName", role)]), "PolicyArn") {
        let version =
            xml_text(&ask("GetPolicy", &[("PolicyArn", &arn)]), "DefaultVersionId").expect("a version");
        let answer = ask("GetPolicyVersion", &[("PolicyArn", &arn), ("VersionId", &version)]);
        documents.extend(xml_text(&answer, "Document"));
    }
    let decode = |text: &String| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    documents.iter().map(|text| serde_json::from_str(&decode(text)).expect("a policy is JSON")).collect()
}

#[test]
fn every_lambda_function_has_an_expiring_log_and_an_alarm() {
    let aws = stack().aws();
    let alarms = aws
        .query("monitoring", &[("Action", "DescribeAlarms"), ("Version", "2010-08-01")])
        .expect("CloudWatch answers");
    for function in FUNCTIONS {
        let name = function_name(function);
        let configuration = configuration(function);
        assert_eq!(configuration["TracingConfig"]["Mode"], "Active", "{name}");
        assert_eq!(configuration["LoggingConfig"]["LogFormat"], "JSON", "{name}");
        let group = configuration["LoggingConfig"]["LogGroup"].as_str().expect("a log group").to_owned();
        let groups = ask_logs("DescribeLogGroups", &json!({ "logGroupNamePrefix": group }));
        assert!(groups["logGroups"][0]["retentionInDays"].is_u64(), "{group} never expires: {groups}");
        assert!(alarms.contains(&format!("{name}-errors")), "{name} has no alarm");
    }
    for function in ["tagger", "promoter"] {
        assert!(alarms.contains(&format!("{}-dead-letters", function_name(function))));
    }
}

/// EventBridge sends an event to a dead-letter queue if EventBridge cannot deliver the event.
/// Lambda sends an event there if the Lambda function fails.
#[test]
fn failed_event_is_sent_to_a_dead_letter_queue() {
    let aws = stack().aws();
    let prefix = function_name("tagger").trim_end_matches("tagger");
    let rules =
        [("default", "push"), ("default", "call"), ("default", "deployment"), (stack().bus(), "work")];
    for (bus, rule) in rules {
        let ask = json!({ "Rule": format!("{prefix}{rule}"), "EventBusName": bus });
        let targets = aws.events("ListTargetsByRule", &ask).expect("EventBridge answers");
        let queue = &targets["Targets"][0]["DeadLetterConfig"]["Arn"];
        let queue = queue.as_str().unwrap_or_default();
        assert!(queue.ends_with("-dead-letters"), "{rule}: {targets}");
        // The queue's policy must accept messages from the EventBridge rule.
        let name = queue.rsplit(':').next().unwrap_or_default();
        let url = aws.sqs("GetQueueUrl", &json!({ "QueueName": name })).expect("the queue exists");
        let ask = json!({ "QueueUrl": url["QueueUrl"], "AttributeNames": ["Policy"] });
        let policy = aws.sqs("GetQueueAttributes", &ask).expect("the queue's policy");
        let policy = policy["Attributes"]["Policy"].as_str().unwrap_or_default().to_owned();
        let of = format!("{}\"", rule_arn(bus, &format!("{prefix}{rule}")));
        assert!(policy.contains(&of), "{of} in {policy}");
    }
    // The emulator drops Lambda's settings for failed events, so the test reads the template.
    let template = Template::for_aws();
    for function in ["TaggerFunction", "PromoterFunction"] {
        let properties = template.properties(function);
        let failed = &properties["EventInvokeConfig"]["DestinationConfig"]["OnFailure"];
        assert_eq!(failed["Type"], "SQS", "{function}: {failed}");
        assert!(failed["Destination"]["Fn::GetAtt"].is_array(), "{function}: {failed}");
        let events = properties["Events"].as_object().expect("events");
        for (name, event) in events.iter().filter(|(_, event)| event["Type"] == "EventBridgeRule") {
            let rule = &event["Properties"];
            assert!(rule["RetryPolicy"].is_object(), "{function}: {name}");
            assert!(rule["DeadLetterConfig"]["Arn"].is_object(), "{function}: {name}");
        }
    }
}

fn rule_arn(bus: &str, rule: &str) -> String {
    let bus = if bus == "default" { String::new() } else { format!("{bus}/") };
    format!(":rule/{bus}{rule}")
}

/// Repeats a call to CloudWatch Logs until the call succeeds. The emulator fails such calls while
/// it writes a new log stream.
#[track_caller]
fn ask_logs(action: &str, body: &Value) -> Value {
    let aws = stack().aws();
    until("an answer of the logs", || aws.json("logs", &format!("Logs_20140328.{action}"), body).ok())
}

/// Returns the text of all log groups of the stack.
fn logs() -> String {
    let groups = xtask::secrets::logs(&stack().aws()).expect("the log service answers");
    groups.into_iter().map(|(_, text)| text).collect()
}

/// A person who can read the logs must not be able to vote as an approver.
#[test]
fn logs_contain_no_link() {
    let app = Plan::new("logs").create();
    let rejected = app.link(&app.push("main", &Spec::new("1")));
    rejected.get();
    rejected.with_token(&format!("{}x", rejected.token)).get();
    rejected.reject("no");
    rejected.approve();
    let digest = app.push("main", &Spec::new("2"));
    let link = app.link(&digest);
    app.approve(&digest);
    let console = Console::mint();
    console.open();
    console.get(&format!("/{}", app.plan.name));
    Console::of(&format!("{}x", console.token)).open();
    let logs = until("the tagger's line in the logs", || {
        let logs = logs();
        logs.contains(&digest).then_some(logs)
    });
    for secret in [&rejected.token, &link.token, &link.code, &console.token] {
        assert!(!logs.contains(secret.as_str()), "a link's token or code is in a log");
    }
    assert!(!logs.contains("?t="), "an address of a page is in a log");
    assert!(!logs.contains("decision=approve"), "a form is in a log");
    assert!(!logs.contains("stablepin-console="), "a cookie is in a log");
    assert!(logs.contains("a link to the console was created"), "the log records who minted a console link");
}
