//! Tests of the settings of a file and their defaults.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use super::fixtures::{EVERYTHING, EXAMPLE, SMALLEST, changed, errors, extended};
use crate::application::Source;
use crate::application::{Application, Deploy, Waived};
use crate::image::ImageTag;
use crate::name::{ApproverName, EnvironmentName};

#[test]
fn example_file_is_valid() {
    let application = Application::parse(EXAMPLE, None).unwrap();
    assert_eq!(application.name.as_str(), "web");
    let tags = ["main", "main-047b82e", "v1.2.3", "prod-stable", "main-arm64"];
    let builds = tags.map(|tag| application.builds.matches(&ImageTag::parse(tag).unwrap()));
    assert_eq!(builds, [true, true, true, false, false]);

    let lead = application.approver(&ApproverName::parse("lead").unwrap()).unwrap();
    assert_eq!(lead.mail.as_str(), "lead@example.com");
    assert_eq!(lead.principals[0].as_str(), "arn:aws:iam::111122223333:role/lead");

    let production = application.environment(&application.build_environment).unwrap();
    assert_eq!(production.stable_tag.as_str(), "prod-stable");
    assert_eq!(production.deploy, Deploy::OnApproval);
    assert_eq!((production.services[1].cluster(), production.services[1].service()), ("prod", "worker"));
    assert_eq!(production.approval.expires, SignedDuration::from_hours(72));
    assert_eq!(application.environment(&EnvironmentName::parse("staging").unwrap()), None);
}

#[test]
fn missing_settings_have_defaults() {
    let defaults = r#"
        repository = "web"
        stable_tag = "production-stable"
        deploy = "on_approval"
        services = []
        container = []
        approval = { required = 1, approvers = ["lead"], expires = "72h", four_eyes = "off", step = "code" }
        requires = []
        soak = "0s"
        verify = { bake = "0s", timeout = "30m", endpoints = [] }
        validate = { max_size = "1GB", platforms = [], labels = [], signature = "off" }

        [retention]
        mode = "dry-run"
        days = 90
        backup_days = 30
        archive_days = 90
        keep = 10
        protect = ["latest", "main", "staging-*", "v*.*.*"]
        waive = []
    "#;
    let written = SMALLEST.replace(
        "[[approver]]",
        "build_environment = \"production\"\nlatest = \"off\"\n[[approver]]\nprincipals = []",
    );
    assert_eq!(
        Application::parse(SMALLEST, None).unwrap(),
        Application::parse(&format!("{written}{defaults}"), None).unwrap()
    );
}

#[test]
fn container_setting_accepts_one_name_or_a_list() {
    let read = |written: &str| {
        let text = format!("{SMALLEST}\ncontainer = {written}\n");
        let application = Application::parse(&text, None).map_err(|errors| errors[0].to_string())?;
        let names = application.environments[0].containers.iter().map(|name| name.as_str().to_owned());
        Ok::<Vec<_>, String>(names.collect())
    };
    assert_eq!(read("\"app\"").unwrap(), ["app"]);
    assert_eq!(read("[\"app\", \"Worker_2\"]").unwrap(), ["app", "Worker_2"]);
    assert_eq!(read("[]").unwrap(), [""; 0]);
    for (written, message) in [
        ("\"my app\"", "environment[0].container: \"my app\" is not a valid container: use 1 to 255 letters"),
        ("\"\"", "environment[0].container: \"\" is not a valid container"),
        ("[\"app\", \"a/b\"]", "environment[0].container[1]: \"a/b\" is not a valid container"),
        ("7", "environment[0].container: is the number 7, and must be a list: write it in [ ]"),
        (
            "[\"app\", \"app\"]",
            "environment[0].container[1]: \"app\" is in the list already: write each container once",
        ),
    ] {
        let error = read(written).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn builds_setting_may_exclude_tags() {
    let with = |builds: &str| Application::parse(&SMALLEST.replace("[\"main-*\"]", builds), None).unwrap();
    let application = with("[\"!main-amd64\", \"main\", \"main-*\", \"!*-arm64\"]");
    let tags = ["main", "main-1a2b3c4", "main-amd64", "main-arm64"];
    let builds = tags.map(|tag| application.builds.matches(&ImageTag::parse(tag).unwrap()));
    assert_eq!(builds, [true, true, false, false]);
    // The first pattern would match the stable tag, but the second pattern excludes the stable tag.
    assert_eq!(changed("[\"main-*\"]", "[\"*\", \"!*-stable*\"]"), "no error");

    insta::assert_snapshot!(changed("[\"main-*\"]", "[\"!main-amd64\", \"!*-arm64\"]"), @r#"line 4, column 10: builds: only leaves tags out: say which pushed tags are builds as well, such as builds = ["main-*", "!main-amd64"]"#);
    insta::assert_snapshot!(changed("[\"main-*\"]", "[\"main\", \"!\", \"!!main\", \"! main\"]"), @r#"
    line 4, column 19: builds[1]: "!" leaves tags out, and what follows the ! is not a pattern for tags: use 1 to 128 letters, digits, underscores, periods and hyphens; * stands for any run of characters, ? for one
    line 4, column 24: builds[2]: "!!main" leaves tags out, and what follows the ! is not a pattern for tags: use 1 to 128 letters, digits, underscores, periods and hyphens; * stands for any run of characters, ? for one
    line 4, column 34: builds[3]: "! main" leaves tags out, and what follows the ! is not a pattern for tags: use 1 to 128 letters, digits, underscores, periods and hyphens; * stands for any run of characters, ? for one
    "#);
    insta::assert_snapshot!(changed("[\"main-*\"]", "[\"v*\", \"main\", \"main-*\", \"!main*\", \"!v?\"]"), @r#"
    line 4, column 17: builds[1]: names no build, because "!main*" leaves out every tag that it names: delete one of the two
    line 4, column 25: builds[2]: names no build, because "!main*" leaves out every tag that it names: delete one of the two
    "#);
    insta::assert_snapshot!(changed("[\"main-*\"]", "[\"*\", \"!main-amd64\"]"), @r#"line 10, column 1: environment[0].stable_tag: "production-stable" (the default) would be taken for a build, because builds has "*": write another tag, or narrower builds"#);
    // `protect` does not support patterns that begin with `!`.
    insta::assert_snapshot!(extended("[retention]\nprotect = [\"!main\"]"), @r#"line 13, column 12: retention.protect[0]: "!main" is not a pattern for tags: use 1 to 128 letters, digits, underscores, periods and hyphens; * stands for any run of characters, ? for one"#);
}

#[test]
fn waive_setting_accepts_accounts_and_services() {
    let waive = |list: &str| Application::parse(&format!("{SMALLEST}\n[retention]\nwaive = {list}"), None);
    let retention = waive(r#"["111122223333", "*", "batch", "pipes", "batch"]"#).unwrap().retention;
    assert_eq!(retention.waived_sources(), BTreeSet::from([Source::Pipes, Source::Batch]));
    let accounts = retention.waive.iter().filter(|one| matches!(one, Waived::Account(_)));
    assert_eq!(accounts.count(), 2);
    for unknown in ["Batch", "ecs", "1111", ""] {
        let problems = waive(&format!("[\"{unknown}\"]")).unwrap_err();
        let text = problems[0].to_string();
        assert!(text.contains("eventbridge, scheduler, pipes, batch"), "{text}");
    }
}

#[test]
fn unsupported_settings_are_refused() {
    insta::assert_snapshot!(errors(EVERYTHING), @r#"
    line 20, column 8: environment[1].role: is not available in this version: leave it out; the repository and the services must be of this stack's account
    line 29, column 92: environment[1].validate.signature: is not available in this version: write "off"
    "#);
    insta::assert_snapshot!(extended("repository = \"arn:aws:ecr:eu-west-1:444455556666:repository/web\""), @r#"line 12, column 14: environment[0].repository: "arn:aws:ecr:eu-west-1:444455556666:repository/web" is another repository's ARN, which is not available in this version: write the name of a repository of this stack's account and region"#);
}
