use proptest::prelude::*;

use super::*;

/// The example of the documentation. This version supports all of it.
const EXAMPLE: &str = include_str!("example.toml");

/// A file with every possible setting.
const EVERYTHING: &str = r#"
name = "web"
repository = "web"                         # where pipelines push
builds = ["main", "main-*", "v*"]          # which pushed tags are builds
build_environment = "production"           # default: the first environment
latest = "pin"

[[approver]]
name = "lead"                              # votes count names
mail = "lead@example.com"
principals = ["arn:aws:iam::111122223333:role/lead"]

[[environment]]
name = "staging"
stable_tag = "staging-stable"

[[environment]]
name = "production"
repository = "prod/web"                    # default: the same
role = "arn:aws:iam::444455556666:role/stablepin-spoke"
stable_tag = "prod-stable"
deploy = "on_approval"                     # or "never"
services = ["prod/web", "prod/worker"]     # cluster/service
approval = { required = 1, approvers = ["lead"], expires = "72h", four_eyes = "strict", step = "code" }
requires = ["staging-tests"]
after = "staging"
soak = "30m"
verify = { bake = "5m", timeout = "30m", endpoints = ["https://web.example.com/health"] }
validate = { max_size = "2GB", platforms = ["linux/amd64"], labels = ["team"], signature = "cosign" }

[retention]
mode = "delete"
days = 90
backup_days = 30
keep = 10
protect = ["latest", "main", "staging-*", "v*.*.*"]
"#;

const SMALLEST: &str = r#"
name = "web"
repository = "web"
builds = ["main-*"]

[[approver]]
name = "lead"
mail = "lead@example.com"

[[environment]]
name = "production"
"#;

fn errors(text: &str) -> String {
    let Err(errors) = Application::parse(text, None) else { return "no error".to_owned() };
    errors.iter().map(ConfigError::to_string).collect::<Vec<_>>().join("\n")
}

/// Returns the errors of the smallest file with one line replaced.
fn changed(line: &str, by: &str) -> String {
    assert!(SMALLEST.contains(line), "{line}");
    errors(&SMALLEST.replace(line, by))
}

/// Returns the errors of the smallest file with text added to its environment's table.
fn extended(by: &str) -> String {
    errors(&format!("{SMALLEST}{by}\n"))
}

#[test]
fn example_file_parses() {
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
fn container_is_one_name_or_a_list() {
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
fn unsupported_settings_are_refused() {
    insta::assert_snapshot!(errors(EVERYTHING), @r#"
    line 6, column 10: latest: is not available in this version: write "off", and let the pipeline push the tag latest
    line 19, column 14: environment[1].repository: is not available in this version: leave it out; the application's repository is used
    line 20, column 8: environment[1].role: is not available in this version: leave it out; the repository and the services must be of this stack's account
    line 25, column 12: environment[1].requires: is not available in this version: leave it out, and run the checks before the push
    line 26, column 9: environment[1].after: is not available in this version: leave it out; each environment is approved by itself
    line 27, column 8: environment[1].soak: is not available in this version: leave it out; approvers decide when a build has been tried long enough
    line 29, column 25: environment[1].validate.max_size: is not available in this version: leave it out
    line 29, column 44: environment[1].validate.platforms: is not available in this version: leave it out
    line 29, column 70: environment[1].validate.labels: is not available in this version: leave it out
    line 29, column 92: environment[1].validate.signature: is not available in this version: write "off"
    "#);
    insta::assert_snapshot!(extended("repository = \"arn:aws:ecr:eu-west-1:444455556666:repository/web\""), @r#"line 12, column 14: environment[0].repository: "arn:aws:ecr:eu-west-1:444455556666:repository/web" is another repository's ARN, which is not available in this version: write the name of a repository of this stack's account and region"#);
}

#[test]
fn empty_file_error_lists_required_settings() {
    insta::assert_snapshot!(errors(""), @r#"
    line 1, column 1: name: is missing
    line 1, column 1: repository: is missing
    line 1, column 1: builds: is missing: say which pushed tags are builds, such as builds = ["main-*", "v*"]
    line 1, column 1: environment: is missing: describe at least one, begun by [[environment]]
    "#);
    insta::assert_snapshot!(errors("[[approver]]\n[[environment]]\n"), @r#"
    line 1, column 1: name: is missing
    line 1, column 1: repository: is missing
    line 1, column 1: approver[0].name: is missing
    line 1, column 1: approver[0].mail: is missing
    line 1, column 1: builds: is missing: say which pushed tags are builds, such as builds = ["main-*", "v*"]
    line 2, column 1: environment[0].name: is missing
    "#);
}

#[test]
fn broken_toml_is_refused() {
    insta::assert_snapshot!(errors("name = \"web"), @r#"line 1, column 12: not TOML from here: invalid basic string, expected `"`"#);
    insta::assert_snapshot!(errors("name = web"), @"line 1, column 8: not TOML from here: string values must be quoted, expected literal string");
    insta::assert_snapshot!(errors("name \"web\""), @"line 1, column 6: not TOML from here: key with no value, expected `=`");
    insta::assert_snapshot!(errors("name = \"web\"\nname = \"web\""), @"line 2, column 1: not TOML from here: duplicate key");
    insta::assert_snapshot!(errors("[[environment]\nname = \"web\""), @"line 1, column 15: not TOML from here: unclosed array table, expected `]`");
    insta::assert_snapshot!(errors("builds = [\"main\""), @"line 1, column 17: not TOML from here: unclosed array, expected `]`");
    insta::assert_snapshot!(errors("{\"name\": \"web\"}"), @"line 1, column 1: not TOML from here: invalid key-value pair, expected key");
    insta::assert_snapshot!(errors("name: web\nrepository: web\n"), @"line 1, column 7: not TOML from here: key with no value, expected `=`");
    insta::assert_snapshot!(errors("\u{0}"), @"line 1, column 2: not TOML from here: key with no value, expected `=`");
}

#[test]
fn unknown_keys_are_refused() {
    insta::assert_snapshot!(changed("[[approver]]", "colour = 1\nBuilds = []\n\"a.b\\n\" = 1\n[[approver]]"), @r#"
    line 6, column 1: colour: is not known here (known: name, repository, builds, build_environment, latest, approver, environment, retention)
    line 7, column 1: Builds: is not known here; did you mean builds? (known: name, repository, builds, build_environment, latest, approver, environment, retention)
    line 8, column 1: "a.b\n": is not known here (known: name, repository, builds, build_environment, latest, approver, environment, retention)
    "#);
    insta::assert_snapshot!(extended("service = []\napproval = { require = 1, expire = \"1h\" }"), @"
    line 12, column 1: environment[0].service: is not known here; did you mean services? (known: name, repository, role, stable_tag, deploy, services, container, requires, after, soak, approval, verify, validate)
    line 13, column 14: environment[0].approval.require: is not known here; did you mean required? (known: required, approvers, expires, four_eyes, step)
    line 13, column 27: environment[0].approval.expire: is not known here; did you mean expires? (known: required, approvers, expires, four_eyes, step)
    ");
    insta::assert_snapshot!(extended("latest = \"off\""), @"line 12, column 1: environment[0].latest: is not a key of this table, but of the one around it: write it above the line that begins this table");
    insta::assert_snapshot!(extended("[environment.approval]\nrequired = 1\nstable_tag = \"prod\""), @"line 14, column 1: environment[0].approval.stable_tag: is not a key of this table, but of the one around it: write it above the line that begins this table");
    insta::assert_snapshot!(extended("[[environments]]\nname = \"staging\""), @"line 12, column 3: environments: is not known here; did you mean environment? (known: name, repository, builds, build_environment, latest, approver, environment, retention)");
}

#[test]
fn values_of_wrong_type_are_refused() {
    insta::assert_snapshot!(changed("name = \"web\"", "name = 1"), @"line 2, column 8: name: is the number 1, and must be text: write it in quotes");
    insta::assert_snapshot!(changed("[\"main-*\"]", "\"main-*\""), @r#"line 4, column 10: builds: is "main-*", and must be a list: write it in [ ]"#);
    insta::assert_snapshot!(changed("[\"main-*\"]", "[\"main-*\", 2, true]"), @"
    line 4, column 21: builds[1]: is the number 2, and must be text: write it in quotes
    line 4, column 24: builds[2]: is true, and must be text: write it in quotes
    ");
    insta::assert_snapshot!(changed("[[environment]]", "[environment]"), @"line 10, column 1: environment: is a table, and must be a list of tables: begin each with [[environment]]");
    insta::assert_snapshot!(changed("[[approver]]", "[approver]"), @"line 6, column 1: approver: is a table, and must be a list of tables: begin each with [[approver]]");
    insta::assert_snapshot!(extended("approval = \"lead\"\nsoak = 30\nafter = 2025-07-17\nverify = []"), @r#"
    line 12, column 12: environment[0].approval: is "lead", and must be a table: write approval = { … }
    line 13, column 8: environment[0].soak: is the number 30, and must be text: write it in quotes
    line 14, column 9: environment[0].after: is a date or time, and must be text: write it in quotes
    line 15, column 10: environment[0].verify: is a list, and must be a table: write verify = { … }
    "#);
    insta::assert_snapshot!(extended("approval.required = \"1\"\n[retention]\ndays = 1.5\nkeep = []"), @r#"
    line 12, column 21: environment[0].approval.required: is "1", and must be a whole number
    line 14, column 8: retention.days: is a number with a fraction, and must be a whole number
    line 15, column 8: retention.keep: is a list, and must be a whole number
    "#);
}

#[test]
fn invalid_names_and_addresses_are_refused() {
    insta::assert_snapshot!(changed("name = \"web\"", "name = \"Web Shop\""), @r#"line 2, column 8: name: "Web Shop" is not a valid application name: use 1 to 40 lower-case letters, digits and single hyphens, beginning with a letter"#);
    insta::assert_snapshot!(changed("repository = \"web\"", "repository = \"https://web\""), @r#"line 3, column 14: repository: "https://web" is not a valid repository name: use 2 to 256 lower-case letters, digits, hyphens, underscores, periods and slashes, each part beginning and ending with a letter or digit"#);
    insta::assert_snapshot!(changed("[\"main-*\"]", "[\"main-*\", \"\", \"a b\", \"feature/*\"]"), @r#"
    line 4, column 21: builds[1]: "" is not a pattern for tags: use 1 to 128 letters, digits, underscores, periods and hyphens; * stands for any run of characters, ? for one
    line 4, column 25: builds[2]: "a b" is not a pattern for tags: use 1 to 128 letters, digits, underscores, periods and hyphens; * stands for any run of characters, ? for one
    line 4, column 32: builds[3]: "feature/*" is not a pattern for tags: use 1 to 128 letters, digits, underscores, periods and hyphens; * stands for any run of characters, ? for one
    "#);
    insta::assert_snapshot!(changed("lead@example.com", "lead@example.com\\r\\nBcc: x@example.com"), @r#"line 8, column 8: approver[0].mail: "lead@example.com\r\nBcc: x@example.com" is not a valid mail address: write it as name@example.com"#);
    for (sign, written) in
        ["`", "$", ";", "|", "&", "<", ">", "(", ")", "!", "*", "?", "{", "}", "~", "#", "^"]
            .map(|sign| (sign, sign.to_owned()))
            .into_iter()
            .chain([("\"", "\\\"".to_owned()), ("\\", "\\\\".to_owned())])
    {
        let hostile = SMALLEST.replace("lead@example.com", &format!("a{written}id{written}@example.com"));
        let said = new_errors(&hostile);
        assert!(
            said.ends_with(&format!(
                "has a {sign}, which a shell may read as a command: write an address without it"
            )),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let stored = SMALLEST.replace("lead@example.com", "o&m@example.com");
    assert!(Application::parse(&stored, None).is_ok(), "a stored file is still readable");
    for mail in ["o'brien@example.com", "first.last+builds@example.co.uk", "a_b-c=d/e%f@example.com"] {
        assert_eq!(changed("lead@example.com", mail), "no error", "{mail}");
    }
    insta::assert_snapshot!(changed("lead@example.com", "a b@example.com"), @r#"line 8, column 8: approver[0].mail: "a b@example.com" is not a valid mail address: write it as name@example.com"#);
    insta::assert_snapshot!(extended("stable_tag = \"-stable\""), @r#"line 12, column 14: environment[0].stable_tag: "-stable" is not a valid image tag: use 1 to 128 letters, digits, underscores, periods and hyphens, not beginning with a period or hyphen"#);
    insta::assert_snapshot!(extended(&format!("stable_tag = \"{}\"", "a".repeat(101))), @r#"line 12, column 14: environment[0].stable_tag: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"… is too long: use 100 characters at most"#);
    insta::assert_snapshot!(extended("deploy = \"always\"\nservices = [\"web\", \"prod/web\", \"a/b/c\", \"prod/wéb\"]"), @r#"
    line 12, column 10: environment[0].deploy: "always" is not known here: write "on_approval" or "never"
    line 13, column 13: environment[0].services[0]: "web" is not a valid service: write the cluster's name, a slash and the service's name, such as prod/web; each has letters, digits, hyphens and underscores
    line 13, column 32: environment[0].services[2]: "a/b/c" is not a valid service: write the cluster's name, a slash and the service's name, such as prod/web; each has letters, digits, hyphens and underscores
    line 13, column 41: environment[0].services[3]: "prod/wéb" is not a valid service: write the cluster's name, a slash and the service's name, such as prod/web; each has letters, digits, hyphens and underscores
    "#);
    insta::assert_snapshot!(extended("after = \"Staging\"\nrequires = [\"staging tests\"]\nrole = \"admin\""), @r#"
    line 12, column 9: environment[0].after: "Staging" is not a valid environment name: use 1 to 40 lower-case letters, digits and single hyphens, beginning with a letter
    line 13, column 13: environment[0].requires[0]: "staging tests" is not a valid check name: use 1 to 64 letters, digits, hyphens, underscores and periods
    line 14, column 8: environment[0].role: "admin" is not a valid role: write the ARN of an IAM role, such as arn:aws:iam::111122223333:role/stablepin-spoke
    "#);
    insta::assert_snapshot!(
        extended("verify.endpoints = [\"ftp://a\"]\nvalidate = { platforms = [\"amd64\"], labels = [\"\"], signature = \"gpg\" }"),
        @r#"
    line 12, column 21: environment[0].verify.endpoints[0]: "ftp://a" is not a valid endpoint: write a URL of http:// or https://, a host name and a path, without user, password or fragment
    line 13, column 27: environment[0].validate.platforms[0]: "amd64" is not a valid platform: write system and architecture, such as linux/amd64
    line 13, column 47: environment[0].validate.labels[0]: "" is not a valid label: use 1 to 255 characters without spaces, such as org.opencontainers.image.revision
    line 13, column 64: environment[0].validate.signature: "gpg" is not known here: write "off" or "managed" or "cosign"
    "#
    );
    insta::assert_snapshot!(
        changed("mail =", "principals = [\"*\", \"arn:aws:sts::111122223333:assumed-role/lead/anna\"]\nmail ="),
        @r#"
    line 8, column 15: approver[0].principals[0]: "*" is not a valid principal: write the ARN of an IAM role or user, such as arn:aws:iam::111122223333:role/lead, without wildcards; sessions count only under AWSReservedSSO_* roles
    line 8, column 20: approver[0].principals[1]: "arn:aws:sts::111122223333:assumed-role/lead/anna" is not a valid principal: write the ARN of an IAM role or user, such as arn:aws:iam::111122223333:role/lead, without wildcards; sessions count only under AWSReservedSSO_* roles
    "#
    );
}

#[test]
fn numbers_durations_and_sizes_have_ranges() {
    insta::assert_snapshot!(
        extended("approval.required = -1\n[retention]\ndays = 0\nbackup_days = 99999\nkeep = 4"),
        @"
    line 12, column 21: environment[0].approval.required: is -1, and must be from 0 to 20
    line 14, column 8: retention.days: is 0, and must be from 1 to 3650
    line 15, column 15: retention.backup_days: is 99999, and must be from 1 to 3650
    line 16, column 8: retention.keep: is 4, and must be from 5 to 1000
    "
    );
    insta::assert_snapshot!(
        extended("approval.expires = \"2 weeks\"\nsoak = \"40d\"\nverify = { bake = \"25h\", timeout = \"1s\" }"),
        @r#"
    line 12, column 20: environment[0].approval.expires: "2 weeks" is not a duration: write a whole number and s, m, h or d, such as "30m"
    line 13, column 8: environment[0].soak: "40d" is out of range: write from "0s" to "30d"
    line 14, column 19: environment[0].verify.bake: "25h" is out of range: write from "0s" to "1d"
    line 14, column 36: environment[0].verify.timeout: "1s" is out of range: write from "1m" to "1d"
    "#
    );
    insta::assert_snapshot!(extended("validate.max_size = \"1GiB\""), @r#"line 12, column 21: environment[0].validate.max_size: "1GiB" is not a size: write a whole number and KB, MB or GB, such as "500MB""#);
    insta::assert_snapshot!(extended("validate.max_size = \"1KB\""), @r#"line 12, column 21: environment[0].validate.max_size: "1KB" is out of range: write from "1MB" to "100GB""#);
}

#[test]
fn one_person_has_one_vote() {
    insta::assert_snapshot!(
        changed("[[environment]]", "[[approver]]\nname = \"lead\"\nmail = \"Lead@Example.com\"\n[[environment]]"),
        @r#"
    line 11, column 8: approver[1].name: "lead" is approver[0]'s name already
    line 12, column 8: approver[1].mail: "Lead@Example.com" is approver[0]'s address already: votes count names, and one person would have two
    "#
    );
    let role = "\"arn:aws:iam::111122223333:role/lead\"";
    insta::assert_snapshot!(
        changed(
            "[[environment]]",
            &format!(
                "principals = [{role}, {role}]\n[[approver]]\nname = \"second\"\nmail = \"second@example.com\"\n\
                 principals = [{role}]\n[[environment]]"
            )
        ),
        @r#"
    line 10, column 54: approver[0].principals[1]: "arn:aws:iam::111122223333:role/lead" is approver[0].principals[0] already: write each principal once
    line 14, column 15: approver[1].principals[0]: "arn:aws:iam::111122223333:role/lead" is approver[0].principals[0] already: write each principal once
    "#
    );
    insta::assert_snapshot!(extended("approval = { required = 3, approvers = [\"lead\", \"lead\", \"boss\"] }"), @r#"
    line 12, column 49: environment[0].approval.approvers[1]: "lead" is in the list already: votes count names
    line 12, column 57: environment[0].approval.approvers[2]: "boss" is not an approver of this file: describe them, begun by [[approver]]
    "#);
    insta::assert_snapshot!(extended("approval = { required = 2 }"), @"line 12, column 25: environment[0].approval.required: 2 must approve, and only 1 may: name more approvers, or write required = 1");
    insta::assert_snapshot!(extended("approval = { approvers = [] }"), @"line 12, column 12: environment[0].approval.required: 1 must approve, and there is no approver: describe them, each begun by [[approver]], or write required = 0 to promote every build without approval");
}

/// Returns a file with two approvers that have these principals.
fn principals(lead: &[&str], second: &[&str]) -> String {
    let list = |arns: &[&str]| format!("{arns:?}");
    SMALLEST.replace(
        "[[environment]]",
        &format!(
            "principals = {}\n[[approver]]\nname = \"second\"\nmail = \"second@example.com\"\n\
             principals = {}\n[[environment]]",
            list(lead),
            list(second)
        ),
    )
}

fn everything_allowed() -> Allowed {
    let all = || vec![Pattern::parse("*").unwrap()];
    Allowed {
        partition: "aws".to_owned(),
        region: "eu-west-1".to_owned(),
        account: "111122223333".to_owned(),
        repositories: all(),
        clusters: all(),
    }
}

/// Returns the errors of a new file.
fn new_errors(text: &str) -> String {
    let Err(errors) = Application::parse(text, Some(&everything_allowed())) else {
        return "no error".to_owned();
    };
    errors.iter().map(ConfigError::to_string).collect::<Vec<_>>().join("\n")
}

const SSO: &str = "AWSReservedSSO_Lead_0123456789abcdef";

#[test]
fn one_signer_cannot_be_two_approvers() {
    let account = "arn:aws:iam::111122223333";
    let role = |path: &str, name: &str| format!("{account}:role/{path}{name}");
    let user = |name: &str| format!("{account}:user/{name}");
    let session = |name: &str| format!("arn:aws:sts::111122223333:assumed-role/{SSO}/{name}");
    let path = "aws-reserved/sso.amazonaws.com/eu-west-1/";
    let same = [
        (role(path, SSO), session("anna")),
        (session("anna"), role("", SSO)),
        (role("", "lead"), role("team/", "lead")),
        (role("a/", "lead"), role("b/c/", "Lead")),
        (user("anna"), user("team/anna")),
        (user("team/anna"), user("team/ANNA")),
        (session("anna"), session("Anna")),
    ];
    for (one, other) in &same {
        for text in [principals(&[one], &[other]), principals(&[&user("first"), one, other], &[])] {
            let errors = new_errors(&text);
            let [first, second] = if text.contains("first") {
                ["approver[0].principals[1]", "approver[0].principals[2]"]
            } else {
                ["approver[0].principals[0]", "approver[1].principals[0]"]
            };
            assert!(
                errors.contains(&format!(
                    "{second}: \"{other}\" can be the same signer as {first}, \"{one}\":"
                )),
                "{errors}"
            );
            assert!(Application::parse(&text, None).is_ok(), "a stored file is still readable");
        }
    }
    let other_account = "arn:aws:iam::444455556666";
    let differ = [
        (session("anna"), session("bob")),
        (role("", "lead"), user("lead")),
        (role("", "lead"), role("", "lead2")),
        (role("lead/", "a"), role("lead/", "b")),
        (user("anna"), format!("{other_account}:user/anna")),
        (role("", SSO), format!("arn:aws:sts::444455556666:assumed-role/{SSO}/anna")),
    ];
    for (one, other) in &differ {
        assert_eq!(new_errors(&principals(&[one], &[other])), "no error", "{one} {other}");
    }
}

/// The root user, a federated user or a group is not one person.
#[test]
fn account_root_is_no_principal() {
    for arn in [
        "arn:aws:iam::111122223333:root",
        "111122223333",
        "arn:aws:sts::111122223333:federated-user/anna",
        "arn:aws:iam::111122223333:group/leads",
    ] {
        let errors = new_errors(&principals(&[arn], &[]));
        assert!(
            errors.contains("approver[0].principals[0]") && errors.contains("is not a valid principal"),
            "{errors}"
        );
    }
}

#[test]
fn new_file_has_limited_service_names() {
    // 50 services with 160 characters each reach the limit.
    let with = |last: usize| {
        let name = |n: usize| {
            let letters = if n == 49 { last } else { 58 };
            format!("\"{}/{}{n:02}\"", "c".repeat(99), "s".repeat(letters))
        };
        let names: Vec<String> = (0..50).map(name).collect();
        format!("{SMALLEST}services = [{}]\n", names.join(", "))
    };
    assert!(!new_errors(&with(58)).contains("characters together"));
    let said = "environment: names services with 8001 characters together, and may have 8000";
    assert!(new_errors(&with(59)).contains(said), "{}", new_errors(&with(59)));
    assert!(!errors(&with(59)).contains("characters together"), "a stored file stays in force");
}

#[test]
fn new_file_has_limited_lists() {
    let list =
        |count: usize, item: fn(usize) -> String| format!("{:?}", (0..count).map(item).collect::<Vec<_>>());
    let principal = |n| format!("arn:aws:iam::111122223333:role/r{n}");
    let with = |key: &str, most: usize, item: fn(usize) -> String, beyond: usize| {
        let list = list(most + beyond, item);
        match key {
            "builds" => SMALLEST.replace("[\"main-*\"]", &list),
            "principals" => {
                SMALLEST.replace("[[environment]]", &format!("principals = {list}\n[[environment]]"))
            }
            "endpoints" => format!("{SMALLEST}verify.endpoints = {list}\n"),
            _ => format!("{SMALLEST}[retention]\n{key} = {list}\n"),
        }
    };
    for (key, place, most, item) in [
        ("builds", "builds", 50, (|n| format!("v{n}-*")) as fn(usize) -> String),
        ("principals", "approver[0].principals", 20, principal),
        ("endpoints", "environment[0].verify.endpoints", 20, |n| format!("https://web{n}.example.com/")),
        ("protect", "retention.protect", 50, |n| format!("v{n}")),
        ("waive", "retention.waive", 50, |n| format!("{n:012}")),
    ] {
        assert_eq!(new_errors(&with(key, most, item, 0)), "no error", "{key}, at its limit");
        let beyond = with(key, most, item, 1);
        let said = format!("{place}: has {} entries, and may have {most}", most + 1);
        assert!(new_errors(&beyond).ends_with(&said), "{}", new_errors(&beyond));
        assert!(Application::parse(&beyond, None).is_ok(), "a stored file is still readable");
    }
}

#[test]
fn four_eyes_rule_needs_known_approvers() {
    insta::assert_snapshot!(extended("approval = { four_eyes = \"on\" }"), @r#"line 12, column 26: environment[0].approval.four_eyes: wants to know who asked, and nobody knows which requests are those of lead: write their principals, or four_eyes = "off""#);
    insta::assert_snapshot!(
        changed(
            "[[environment]]",
            "principals = [\"arn:aws:iam::111122223333:role/lead\"]\n[[environment]]\n\
             approval = { required = 0, four_eyes = \"strict\" }"
        ),
        @r#"line 12, column 40: environment[0].approval.four_eyes: wants a second pair of eyes, and required = 0 asks for none: write required = 1, or four_eyes = "off""#
    );
}

#[test]
fn builds_may_exclude_tags() {
    let with = |builds: &str| Application::parse(&SMALLEST.replace("[\"main-*\"]", builds), None).unwrap();
    let application = with("[\"!main-amd64\", \"main\", \"main-*\", \"!*-arm64\"]");
    let tags = ["main", "main-1a2b3c4", "main-amd64", "main-arm64"];
    let builds = tags.map(|tag| application.builds.matches(&ImageTag::parse(tag).unwrap()));
    assert_eq!(builds, [true, true, false, false]);
    // The stable tag would be a build, but the second pattern excludes it.
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
    // `protect` has no exclusions.
    insta::assert_snapshot!(extended("[retention]\nprotect = [\"!main\"]"), @r#"line 13, column 12: retention.protect[0]: "!main" is not a pattern for tags: use 1 to 128 letters, digits, underscores, periods and hyphens; * stands for any run of characters, ? for one"#);
}

#[test]
fn conflicting_environments_are_refused() {
    insta::assert_snapshot!(extended("[[environment]]\nname = \"production\""), @r#"
    line 13, column 8: environment[1].name: "production" is environment[0]'s name already
    "#);
    insta::assert_snapshot!(changed("[[approver]]", "build_environment = \"staging\"\n[[approver]]"), @r#"line 6, column 21: build_environment: "staging" is not an environment of this file: write "production""#);
    insta::assert_snapshot!(extended("stable_tag = \"stable\"\n[[environment]]\nname = \"staging\"\nstable_tag = \"stable\""), @r#"line 15, column 14: environment[1].stable_tag: "stable" is the stable tag of "production" in the same repository already: write another"#);
    insta::assert_snapshot!(extended("stable_tag = \"main-stable\""), @r#"line 12, column 14: environment[0].stable_tag: "main-stable" would be taken for a build, because builds has "main-*": write another tag, or narrower builds"#);
    insta::assert_snapshot!(changed("[\"main-*\"]", "[\"*\"]"), @r#"line 10, column 1: environment[0].stable_tag: "production-stable" (the default) would be taken for a build, because builds has "*": write another tag, or narrower builds"#);
    insta::assert_snapshot!(extended("stable_tag = \"production-current\""), @r#"line 12, column 14: environment[0].stable_tag: "production-current" is the tag of what is live in "production": write another"#);
    insta::assert_snapshot!(
        extended("deploy = \"never\"\nservices = [\"a/b\", \"a/b\"]\n[[environment]]\nname = \"staging\"\ndeploy = \"never\"\nservices = [\"a/b\"]"),
        @r#"
    line 13, column 20: environment[0].services[1]: "a/b" is in the list already: write each service once
    line 17, column 13: environment[1].services[0]: "a/b" is another environment's already: write each service once
    "#
    );
    insta::assert_snapshot!(extended("after = \"staging\""), @r#"line 12, column 9: environment[0].after: "staging" is not an environment of this file: write "production""#);
    insta::assert_snapshot!(
        extended("after = \"b\"\n[[environment]]\nname = \"b\"\nafter = \"c\"\n[[environment]]\nname = \"c\"\nafter = \"b\"\n[[environment]]\nname = \"d\"\nafter = \"d\""),
        @"
    line 12, column 9: environment[0].after: is not available in this version: leave it out; each environment is approved by itself
    line 15, column 9: environment[1].after: goes round in a circle: b after c after b
    line 18, column 9: environment[2].after: is not available in this version: leave it out; each environment is approved by itself
    line 21, column 9: environment[3].after: goes round in a circle: d after d
    "
    );
}

#[test]
fn oversized_files_are_refused() {
    insta::assert_snapshot!(errors(&"# \n".repeat(10 * 1024 * 1024 / 3)), @"line 1, column 1: the file has 10485759 bytes, and may have 65536: one file describes one application");
    insta::assert_snapshot!(errors(&format!("a = {}", "[".repeat(60_000))), @"line 1, column 85: not TOML from here: cannot recurse further; max recursion depth met");
    insta::assert_snapshot!(errors(&format!("a = {}", "{a=".repeat(20_000))), @"line 1, column 245: not TOML from here: cannot recurse further; max recursion depth met");
    insta::assert_snapshot!(errors(&format!("{} = 1", ["a"; 30_000].join("."))), @"line 1, column 60004: not TOML from here: recursion limit");
    insta::assert_snapshot!(extended(&"[[environment]]\nname = \"a\"\n".repeat(20)), @"line 10, column 1: environment: is written 21 times, and may be 20 times");
    let services = (0..80).map(|n| format!("\"a/b{n}\"")).collect::<Vec<_>>().join(", ");
    insta::assert_snapshot!(extended(&format!("deploy = \"never\"\nservices = [{services}]")), @"line 10, column 1: environment: names 82 repositories, services and stable tags together, and may name 80: divide it into several applications");
    let many = (0..100).map(|n| format!("key{n} = 1\n")).collect::<String>();
    assert_eq!(extended(&many).lines().count(), 51);
    insta::assert_snapshot!(extended(&many).lines().last().unwrap(), @"line 113, column 1: 50 more errors are not listed");
}

/// Tables nested as deep as TOML allows fit a small stack, when they are compared and when they are
/// dropped.
#[test]
fn deep_nesting_fits_the_stack() {
    let path = ["a"; 78].join(".");
    let deep = format!("[{path}]\n{path} = {}1{}", format!("{{ {path} = ").repeat(70), "}".repeat(70));
    let parse = move || (errors(&deep), difference(None, &deep).len());
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(parse).unwrap();
    let (errors, differences) = thread.join().unwrap();
    assert!(errors.contains("line 1, column 2: a: is not known here"), "{errors}");
    assert_eq!(differences, 1);
}

#[test]
fn error_positions_match_an_editor() {
    insta::assert_snapshot!(errors(&SMALLEST.replace('\n', "\r\n").replace("\"lead\"", "\"Lead\"")), @r#"line 7, column 8: approver[0].name: "Lead" is not a valid approver name: use 1 to 40 lower-case letters, digits and single hyphens, beginning with a letter"#);
    insta::assert_snapshot!(errors(&format!("\u{feff}{}", &SMALLEST[1..]).replace("name = \"web\"", "name = \"Web\"")), @r#"line 1, column 8: name: "Web" is not a valid application name: use 1 to 40 lower-case letters, digits and single hyphens, beginning with a letter"#);
    insta::assert_snapshot!(extended("\tdeploy\t=\t\"no\""), @r#"line 12, column 11: environment[0].deploy: "no" is not known here: write "on_approval" or "never""#);
    insta::assert_snapshot!(extended("approval = { approvers = [\"lead\", \"größer\", \"boss\"] }"), @r#"line 12, column 35: environment[0].approval.approvers[1]: "größer" is not a valid approver name: use 1 to 40 lower-case letters, digits and single hyphens, beginning with a letter"#);
    insta::assert_snapshot!(extended("deploy = \"never\" # 🦀\n\"🦀\" = 1"), @r#"line 13, column 1: environment[0]."🦀": is not known here (known: name, repository, role, stable_tag, deploy, services, container, requires, after, soak, approval, verify, validate)"#);
    insta::assert_snapshot!(extended("services = [\n  \"prod/web\",\n  \"prod\",\n]"), @r#"line 14, column 3: environment[0].services[1]: "prod" is not a valid service: write the cluster's name, a slash and the service's name, such as prod/web; each has letters, digits, hyphens and underscores"#);
    insta::assert_snapshot!(extended("deploy = \"\"\"\nalways\n\"\"\""), @r#"line 12, column 10: environment[0].deploy: "always\n" is not known here: write "on_approval" or "never""#);
}

#[test]
fn stack_parameters_limit_resources() {
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
    line 3, column 14: repository: this stack may not touch arn:aws:ecr:eu-west-1:111122223333:repository/web: add it to the stack's parameter RepositoryArns, and deploy the stack
    line 13, column 13: environment[0].services[0]: this stack may not touch arn:aws:ecs:eu-west-1:111122223333:cluster/prod: add it to the stack's parameter ClusterArns, and deploy the stack
    line 13, column 40: environment[0].services[2]: this stack may not touch arn:aws:ecs:eu-west-1:111122223333:cluster/test: add it to the stack's parameter ClusterArns, and deploy the stack
    ");
    insta::assert_snapshot!(
        errors(&allowed(
            &["arn:aws:ecr:*:111122223333:repository/web"],
            &["arn:aws:ecs:eu-west-1:111122223333:cluster/prod", "arn:aws:ecs:eu-west-1:444455556666:cluster/*"]
        )),
        @"line 13, column 40: environment[0].services[2]: this stack may not touch arn:aws:ecs:eu-west-1:111122223333:cluster/test: add it to the stack's parameter ClusterArns, and deploy the stack"
    );
    let all = allowed(&["arn:aws:ecr:eu-west-1:111122223333:repository/w?b"], &["*"]);
    let application = Application::parse(&text, Some(&all)).unwrap();
    assert_eq!(application.outside(&all), []);
    let service = &application.environments[0].services[1];
    assert_eq!(all.service_arn(service), "arn:aws:ecs:eu-west-1:111122223333:service/prod/worker");
}

#[test]
fn application_claims_each_resource_once() {
    let application = Application::parse(EXAMPLE, None).unwrap();
    let Resources { repositories, services, stable_tags } = application.resources();
    let web = RepositoryName::parse("web").unwrap();
    assert_eq!(services.iter().map(ServiceName::as_str).collect::<Vec<_>>(), ["prod/web", "prod/worker"]);
    assert_eq!(stable_tags, [(web.clone(), ImageTag::parse("prod-stable").unwrap())]);
    assert_eq!(repositories, [web]);
}

fn difference_lines(differences: &[Difference]) -> String {
    differences.iter().map(Difference::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn differences_name_their_tables() {
    let after = EXAMPLE
        .replace("expires = \"72h\"", "expires = \"24h\"")
        .replace("days = 90\n", "")
        .replace("\"prod/worker\"", "\"prod/worker\", \"prod/mail\"")
        .replace(
            "[[environment]]",
            "[[environment]]\nname = \"staging\"\ndeploy = \"never\"\n\n[[environment]]",
        );
    assert_ne!(after, EXAMPLE);
    insta::assert_snapshot!(difference_lines(&difference(Some(EXAMPLE), &after)), @r#"
    environment[production].approval.expires: "72h" → "24h"
    environment[production].services: ["prod/web", "prod/worker"] → ["prod/web", "prod/worker", "prod/mail"]
    environment[staging].deploy: – → "never"
    environment[staging].name: – → "staging"
    retention.days: 90 → –
    "#);
    assert_eq!(difference(Some(EXAMPLE), &EXAMPLE.replace('\n', "\r\n")), []);
    let first = "name = \"a\"\n[[environment]]\ndeploy = \"never\"\n[[environment]]\nvalidate.labels = [ # ours\n'é\"',\n]";
    insta::assert_snapshot!(difference_lines(&difference(None, first)), @r#"
    environment[0].deploy: – → "never"
    environment[1].validate.labels: – → ['é"']
    name: – → "a"
    "#);
}

proptest! {
    #[test]
    fn parser_accepts_any_text(text in "\\PC{0,200}|[a-z\\[\\]{}=\"'.,#\n\t 0-9]{0,200}") {
        let _ = Application::parse(&text, None);
        let _ = difference(Some(EXAMPLE), &text);
        let _ = difference(Some(&text), EXAMPLE);
    }

    /// A file with a few changes is refused at a valid position, or it is consistent.
    #[test]
    fn changed_file_is_refused_or_consistent(
        base in proptest::sample::select(vec![EXAMPLE, EVERYTHING, SMALLEST]),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), 0..6_usize, change()), 1..6),
    ) {
        let mut text: Vec<char> = base.chars().collect();
        for (place, removed, put) in changes {
            let place = place.index(text.len() + 1);
            let end = (place + removed).min(text.len());
            text.splice(place..end, put.chars());
        }
        let text: String = text.into_iter().collect();
        match Application::parse(&text, None) {
            Ok(application) => is_consistent(&application)?,
            Err(errors) => {
                prop_assert!(!errors.is_empty());
                for error in errors {
                    let lines: Vec<&str> = text.strip_prefix('\u{feff}').unwrap_or(&text).split('\n').collect();
                    prop_assert!((1..=lines.len()).contains(&error.line), "{}", error);
                    let columns = lines[error.line - 1].chars().count() + 1;
                    prop_assert!((1..=columns).contains(&error.column), "{}", error);
                    prop_assert!(!error.to_string().contains(['\n', '\r']), "{}", error);
                }
            }
        }
        prop_assert_eq!(difference(Some(&text), &text), []);
    }
}

fn change() -> impl Strategy<Value = String> {
    let words = [
        "",
        "\n",
        "\"",
        "[",
        "]",
        "{",
        "}",
        "=",
        ",",
        "#",
        ".",
        "-",
        "*",
        "!",
        "0",
        "1",
        "é",
        "\u{feff}",
        "\r\n",
        "\t",
        "\"\"\"",
        "[[environment]]\n",
        "[[approver]]\nname = \"second\"\nmail = \"second@example.com\"\n",
        "name = \"staging\"\n",
        "services = [\"a/b\"]\n",
        "deploy = \"never\"\n",
        "after = \"production\"\n",
        "required = 2",
        "\"lead\"",
        "99999999999",
    ];
    proptest::sample::select(words.to_vec()).prop_map(str::to_owned)
}

fn is_consistent(application: &Application) -> Result<(), TestCaseError> {
    prop_assert!(!application.builds.include.is_empty());
    prop_assert!(application.environment(&application.build_environment).is_some());
    let resources = application.resources();
    prop_assert_eq!(resources.stable_tags.len(), application.environments.len());
    let services: usize = application.environments.iter().map(|e| e.services.len()).sum();
    prop_assert_eq!(resources.services.len(), services);
    for environment in &application.environments {
        let approval = &environment.approval;
        prop_assert!(usize::from(approval.required) <= approval.approvers.len());
        prop_assert!(approval.approvers.iter().all(|name| application.approver(name).is_some()));
        prop_assert!(!application.builds.matches(&environment.stable_tag));
    }
    Ok(())
}

#[test]
fn waive_names_accounts_and_sources() {
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
