//! The ready-made IAM policies of `infra/personas.yaml`. The tests try each persona on every signed
//! route while the emulator enforces IAM.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stablepin_tests::iam;
use stablepin_tests::role::function_name;
use stablepin_tests::template::Template;
use stablepin_tests::{stack, unique, until};
use xtask::aws::{Aws, AwsError, xml_text};
use xtask::workspace;

const PERSONAS: [&str; 5] = ["Pipeline", "Approver", "Operator", "Owner", "Reader"];

/// The personas that may call each signed route. `…` means `/v1/applications/{application}`. Routes
/// that only read the application are not listed, because every persona may call those.
const MAY: [(&str, &[&str]); 19] = [
    ("GET /v1/health", &["Operator", "Reader"]),
    ("GET /v1/applications", &["Operator", "Reader"]),
    ("POST /v1/console", &["Operator"]),
    ("PUT …", &["Owner"]),
    ("PUT …/approvers/{approver}/subscription", &["Approver", "Owner"]),
    ("POST …/approvers/{approver}/subscription/confirmation", &["Approver", "Owner"]),
    ("POST …/promotions/{promotion}/decision", &["Approver"]),
    ("POST …/promotions/{promotion}/withdraw", &["Pipeline", "Operator"]),
    ("POST …/builds", &["Pipeline"]),
    ("POST …/checks", &["Pipeline"]),
    ("POST …/environments/{environment}/promotions", &["Pipeline", "Operator"]),
    ("PUT …/environments/{environment}/freeze", &["Operator"]),
    ("DELETE …/environments/{environment}/freeze", &["Operator"]),
    ("DELETE …/environments/{environment}/hold", &["Operator"]),
    ("DELETE …/environments/{environment}/watermark", &["Operator"]),
    ("POST …/environments/{environment}/rollback", &["Operator"]),
    ("POST …/retention", &["Owner"]),
    ("POST …/retention/{run}/apply", &["Owner"]),
    ("POST …/retention/{run}/undo", &["Owner"]),
];

/// IAM users for one application, one user for each persona. The application is not registered, so
/// that an accepted request changes nothing.
struct Personas {
    application: String,
    users: Vec<(&'static str, Aws)>,
}

impl Personas {
    #[track_caller]
    fn deploy(environment: &str) -> Self {
        let application = format!("personas-{}", unique());
        let aws = stack().aws();
        let body =
            std::fs::read_to_string(workspace::root().join("infra/personas.yaml")).expect("the template");
        let api = stack().api().split(['/', '.']).nth(2).expect("the API's id is the first part of its host");
        let repository = format!("arn:aws:ecr:us-east-1:000000000000:repository/{application}");
        let given = [
            ("ApiId", api),
            ("Application", application.as_str()),
            ("Environment", environment),
            ("RepositoryArns", &repository),
        ];
        let named: Vec<_> = (1..)
            .zip(given)
            .flat_map(|(n, (key, value))| {
                let member = format!("Parameters.member.{n}");
                [(format!("{member}.ParameterKey"), key), (format!("{member}.ParameterValue"), value)]
            })
            .collect();
        let mut request = vec![
            ("Action", "CreateStack"),
            ("Version", "2010-05-15"),
            ("StackName", application.as_str()),
            ("TemplateBody", &body),
            ("Capabilities.member.1", "CAPABILITY_IAM"),
        ];
        request.extend(named.iter().map(|(key, value)| (key.as_str(), *value)));
        aws.query("cloudformation", &request).expect("CloudFormation creates the stack");
        let described = until("the policies", || {
            let ask = [
                ("Action", "DescribeStacks"),
                ("Version", "2010-05-15"),
                ("StackName", application.as_str()),
            ];
            let stack = aws.query("cloudformation", &ask).expect("CloudFormation answers");
            stack.contains("<StackStatus>CREATE_COMPLETE<").then_some(stack)
        });
        let arn = |persona: &str| {
            let (_, rest) =
                described.split_once(&format!("<OutputKey>{persona}PolicyArn<")).expect("an output");
            xml_text(rest, "OutputValue").expect("an ARN")
        };
        let user = |persona: &'static str| {
            let name = format!("{application}-{}", persona.to_lowercase());
            (persona, iam::user_with(&aws, &name, None, &[&arn(persona)]).expect("a user"))
        };
        let users = PERSONAS.map(user).into();
        Self { application, users }
    }

    /// Returns whether the API gateway forwards the request to the Lambda function. The Lambda
    /// function refuses the request, because the application does not exist.
    #[track_caller]
    fn is_let(&self, user: &Aws, method: &str, path: &str) -> bool {
        let body = matches!(method, "POST" | "PUT").then_some(b"{}".as_slice());
        let url = format!("{}{path}", stack().api());
        let answer = user.call(method, &url, body, Some("application/json"), true).expect("the API answers");
        let text = answer.text();
        let gateway = answer.status == 403 && !text.contains("urn:stablepin:problem");
        assert!(answer.status < 500, "{method} {path}: {} {text}", answer.status);
        !gateway
    }
}

/// Returns a route's method, and its path with real names: for example `GET` and
/// `/v1/applications/web/pins`.
fn instance(route: &str, application: &str, environment: &str) -> (String, String) {
    let (method, path) = route.split_once(' ').expect("a route");
    let path = path.replace("{application}", application).replace("{environment}", environment);
    let parts = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
    (method.to_owned(), parts.collect::<Vec<_>>().join("/"))
}

/// Returns the signed routes of the template.
fn signed_routes() -> BTreeSet<String> {
    let template = Template::for_aws();
    let routes = template.of_type("AWS::ApiGatewayV2::Route");
    let signed = routes.filter(|(_, route)| route["AuthorizationType"] == "AWS_IAM");
    signed.map(|(_, route)| route["RouteKey"].as_str().expect("a key").to_owned()).collect()
}

/// Returns the personas that may call the route.
#[track_caller]
fn permitted(route: &str) -> Vec<&'static str> {
    let short = route.replace("/v1/applications/{application}", "…");
    let listed = MAY.iter().find(|(one, _)| *one == short).map(|(_, who)| who.to_vec());
    let reads = short.starts_with("GET …").then(|| PERSONAS.to_vec());
    listed.or(reads).unwrap_or_else(|| {
        panic!("{route} is new: name the personas that may send it, here and in infra/personas.yaml")
    })
}

#[test]
fn each_persona_may_call_only_its_own_routes() {
    let personas = Personas::deploy("*");
    for route in signed_routes() {
        let permitted = permitted(&route);
        let (method, path) = instance(&route, &personas.application, "production");
        for (persona, user) in &personas.users {
            let is_let = personas.is_let(user, &method, &path);
            assert_eq!(is_let, permitted.contains(persona), "{persona}: {route}");
            // A persona must not call the route for another application, even if the other
            // application's name begins with the name of the persona's application.
            if route.contains("{application}") {
                let (method, path) = instance(&route, &format!("{}-2", personas.application), "production");
                assert!(!personas.is_let(user, &method, &path), "{persona}: {method} {path}");
            }
        }
    }
}

#[test]
fn each_persona_may_change_only_its_environment() {
    let personas = Personas::deploy("staging");
    for route in
        signed_routes().iter().filter(|route| route.contains("{environment}") && !route.starts_with("GET"))
    {
        for (persona, user) in &personas.users {
            let staging = instance(route, &personas.application, "staging");
            let is_let = personas.is_let(user, &staging.0, &staging.1);
            assert_eq!(is_let, permitted(route).contains(persona), "{persona}: {route}");
            let other = instance(route, &personas.application, "production");
            assert!(!personas.is_let(user, &other.0, &other.1), "{persona}: {route}");
        }
    }
}

#[track_caller]
fn denied<T: std::fmt::Debug>(who: &str, answer: Result<T, AwsError>) {
    let error = answer.expect_err("IAM refuses it");
    let refused = matches!(&error, AwsError::Refused { status: 400 | 403, code, .. }
        if code.contains("AccessDenied") || code == "AuthorizationError");
    assert!(refused, "{who}: {error}");
}

#[test]
fn personas_cannot_bypass_the_api() {
    let personas = Personas::deploy("*");
    let own = json!({ "repositoryName": personas.application });
    stack().aws().ecr("CreateRepository", &own).expect("a repository");
    let other = json!({ "repositoryName": format!("{}-2", personas.application) });
    let key = json!({ "pk": { "S": "APP#x" }, "sk": { "S": "ENV#x" } });
    for (persona, user) in &personas.users {
        for function in ["api", "approval", "rollback", "tagger"] {
            denied(persona, user.invoke(function_name(function), &json!({})));
        }
        denied(persona, user.dynamodb("GetItem", &json!({ "TableName": stack().table(), "Key": key })));
        let subscribe = [
            ("Action", "Subscribe"),
            ("Version", "2010-03-31"),
            ("TopicArn", stack().topic()),
            ("Protocol", "email"),
            ("Endpoint", "nosy@example.com"),
        ];
        denied(persona, user.query("sns", &subscribe));
        let mut gone = own.clone();
        gone["imageIds"] = json!([{ "imageTag": "main" }]);
        denied(persona, user.ecr("BatchDeleteImage", &gone));
        denied(persona, user.ecr("InitiateLayerUpload", &other));
        let begins = user.ecr("InitiateLayerUpload", &own);
        match *persona {
            "Pipeline" => assert!(begins.expect("a pipeline may push")["uploadId"].is_string()),
            _ => denied(persona, begins),
        }
    }
    let mut gone = own;
    gone["force"] = Value::Bool(true);
    let _ = stack().aws().ecr("DeleteRepository", &gone);
}
