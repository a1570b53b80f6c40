//! Tests of the resources that an application claims, and of the resources that the stack's
//! parameters allow.

use super::fixtures::{EXAMPLE, SMALLEST};
use crate::application::{Allowed, Application, ConfigError, Resources, ServiceName};
use crate::image::{ImageTag, RepositoryName};
use crate::pattern::Pattern;

#[test]
fn file_with_resources_outside_the_parameters_is_refused() {
    let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text).unwrap()).collect();
    let allowed = |repositories: &[&str], clusters: &[&str]| Allowed {
        partition: "aws".to_owned(),
        region: "eu-west-1".to_owned(),
        account: "111122223333".to_owned(),
        repositories: patterns(repositories),
        clusters: patterns(clusters),
    };
    let text =
        format!("{SMALLEST}deploy = \"never\"\nservices = [\"prod/web\", \"prod/worker\", \"test/web\"]\n");
    let errors = |allowed: &Allowed| {
        let errors = Application::parse(&text, Some(allowed)).unwrap_err();
        errors.iter().map(ConfigError::to_string).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(errors(&allowed(&[], &[])), @"
    line 3, column 14: repository: this stack may not use arn:aws:ecr:eu-west-1:111122223333:repository/web: add it to the stack's parameter RepositoryArns, and deploy the stack
    line 13, column 13: environment[0].services[0]: this stack may not use arn:aws:ecs:eu-west-1:111122223333:cluster/prod: add it to the stack's parameter ClusterArns, and deploy the stack
    line 13, column 40: environment[0].services[2]: this stack may not use arn:aws:ecs:eu-west-1:111122223333:cluster/test: add it to the stack's parameter ClusterArns, and deploy the stack
    ");
    insta::assert_snapshot!(
        errors(&allowed(
            &["arn:aws:ecr:*:111122223333:repository/web"],
            &["arn:aws:ecs:eu-west-1:111122223333:cluster/prod", "arn:aws:ecs:eu-west-1:444455556666:cluster/*"]
        )),
        @"line 13, column 40: environment[0].services[2]: this stack may not use arn:aws:ecs:eu-west-1:111122223333:cluster/test: add it to the stack's parameter ClusterArns, and deploy the stack"
    );
    let all = allowed(&["arn:aws:ecr:eu-west-1:111122223333:repository/w?b"], &["*"]);
    let application = Application::parse(&text, Some(&all)).unwrap();
    assert_eq!(application.outside(&all), []);
    let service = &application.environments[0].services[1];
    assert_eq!(all.service_arn(service), "arn:aws:ecs:eu-west-1:111122223333:service/prod/worker");
}

#[test]
fn resources_of_an_application_are_distinct() {
    let application = Application::parse(EXAMPLE, None).unwrap();
    let Resources { repositories, services, stable_tags } = application.resources();
    let web = RepositoryName::parse("web").unwrap();
    assert_eq!(services.iter().map(ServiceName::as_str).collect::<Vec<_>>(), ["prod/web", "prod/worker"]);
    assert_eq!(stable_tags, [(web.clone(), ImageTag::parse("prod-stable").unwrap())]);
    assert_eq!(repositories, [web]);
}
