use proptest::prelude::*;

use super::*;

/// The example of the documentation, which this version carries out as it stands.
const EXAMPLE: &str = include_str!("example.toml");

/// Everything that a file may say.
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

/// The errors of the smallest file with a line replaced.
fn changed(line: &str, by: &str) -> String {
    assert!(SMALLEST.contains(line), "{line}");
    errors(&SMALLEST.replace(line, by))
}

/// The errors of the smallest file with something at its end, in the table of its environment.
fn extended(by: &str) -> String {
    errors(&format!("{SMALLEST}{by}\n"))
}

#[test]
fn the_example_is_read() {
    let application = Application::parse(EXAMPLE, None).unwrap();
    insta::assert_debug_snapshot!(application, @"");
}

#[test]
fn what_is_not_written_has_its_default() {
    let application = Application::parse(SMALLEST, None).unwrap();
    insta::assert_debug_snapshot!(application, @"");
}

#[test]
fn what_this_version_does_not_carry_out_is_refused() {
    insta::assert_snapshot!(errors(EVERYTHING), @"");
    insta::assert_snapshot!(extended("services = [\"prod/web\"]"), @"");
    insta::assert_snapshot!(extended("repository = \"arn:aws:ecr:eu-west-1:444455556666:repository/web\""), @"");
    insta::assert_snapshot!(extended("approval.four_eyes = \"on\"\napproval.step = \"type\""), @"");
}

#[test]
fn an_empty_file_says_what_is_needed() {
    insta::assert_snapshot!(errors(""), @"");
    insta::assert_snapshot!(errors("[[approver]]\n[[environment]]\n"), @"");
}

#[test]
fn broken_toml() {
    insta::assert_snapshot!(errors("name = \"web"), @"");
    insta::assert_snapshot!(errors("name = web"), @"");
    insta::assert_snapshot!(errors("name \"web\""), @"");
    insta::assert_snapshot!(errors("name = \"web\"\nname = \"web\""), @"");
    insta::assert_snapshot!(errors("[[environment]\nname = \"web\""), @"");
    insta::assert_snapshot!(errors("builds = [\"main\""), @"");
    insta::assert_snapshot!(errors("{\"name\": \"web\"}"), @"");
    insta::assert_snapshot!(errors("name: web\nrepository: web\n"), @"");
    insta::assert_snapshot!(errors("\u{0}"), @"");
}

#[test]
fn keys_that_are_not_known() {
    insta::assert_snapshot!(changed("[[approver]]", "colour = 1\nBuilds = []\n\"a.b\\n\" = 1\n[[approver]]"), @"");
    insta::assert_snapshot!(extended("service = []\napproval = { require = 1, expire = \"1h\" }"), @"");
    insta::assert_snapshot!(extended("latest = \"off\""), @"");
    insta::assert_snapshot!(extended("[environment.approval]\nrequired = 1\nstable_tag = \"prod\""), @"");
    insta::assert_snapshot!(extended("[[environments]]\nname = \"staging\""), @"");
}

#[test]
fn values_of_another_kind() {
    insta::assert_snapshot!(changed("name = \"web\"", "name = 1"), @"");
    insta::assert_snapshot!(changed("[\"main-*\"]", "\"main-*\""), @"");
    insta::assert_snapshot!(changed("[\"main-*\"]", "[\"main-*\", 2, true]"), @"");
    insta::assert_snapshot!(changed("[[environment]]", "[environment]"), @"");
    insta::assert_snapshot!(changed("[[approver]]", "[approver]"), @"");
    insta::assert_snapshot!(extended("approval = \"lead\"\nsoak = 30\nafter = 2025-07-17\nverify = []"), @"");
    insta::assert_snapshot!(extended("approval.required = \"1\"\n[retention]\ndays = 1.5\nkeep = []"), @"");
}

#[test]
fn names_and_addresses() {
    insta::assert_snapshot!(changed("name = \"web\"", "name = \"Web Shop\""), @"");
    insta::assert_snapshot!(changed("repository = \"web\"", "repository = \"https://web\""), @"");
    insta::assert_snapshot!(changed("[\"main-*\"]", "[\"main-*\", \"\", \"a b\", \"feature/*\"]"), @"");
    insta::assert_snapshot!(changed("lead@example.com", "lead@example.com\\r\\nBcc: x@example.com"), @"");
    insta::assert_snapshot!(extended("stable_tag = \"-stable\""), @"");
    insta::assert_snapshot!(extended(&format!("stable_tag = \"{}\"", "a".repeat(101))), @"");
    insta::assert_snapshot!(extended("deploy = \"always\"\nservices = [\"web\", \"prod/web\", \"a/b/c\", \"prod/wéb\"]"), @"");
    insta::assert_snapshot!(extended("after = \"Staging\"\nrequires = [\"staging tests\"]\nrole = \"admin\""), @"");
    insta::assert_snapshot!(
        extended("verify.endpoints = [\"ftp://a\"]\nvalidate = { platforms = [\"amd64\"], labels = [\"\"], signature = \"gpg\" }"),
        @""
    );
    insta::assert_snapshot!(
        changed("mail =", "principals = [\"*\", \"arn:aws:sts::111122223333:assumed-role/lead/anna\"]\nmail ="),
        @""
    );
}

#[test]
fn numbers_durations_and_sizes() {
    insta::assert_snapshot!(
        extended("approval.required = -1\n[retention]\ndays = 0\nbackup_days = 99999\nkeep = 4"),
        @""
    );
    insta::assert_snapshot!(
        extended("approval.expires = \"2 weeks\"\nsoak = \"40d\"\nverify = { bake = \"25h\", timeout = \"1s\" }"),
        @""
    );
    insta::assert_snapshot!(extended("validate.max_size = \"1GiB\""), @"");
    insta::assert_snapshot!(extended("validate.max_size = \"1KB\""), @"");
}

#[test]
fn one_person_has_one_vote() {
    insta::assert_snapshot!(
        changed("[[environment]]", "[[approver]]\nname = \"lead\"\nmail = \"Lead@Example.com\"\n[[environment]]"),
        @""
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
        @""
    );
    insta::assert_snapshot!(extended("approval = { required = 3, approvers = [\"lead\", \"lead\", \"boss\"] }"), @"");
    insta::assert_snapshot!(extended("approval = { required = 2 }"), @"");
    insta::assert_snapshot!(extended("approval = { approvers = [] }"), @"");
}

#[test]
fn environments_fit_together() {
    insta::assert_snapshot!(extended("[[environment]]\nname = \"production\""), @"");
    insta::assert_snapshot!(changed("[[approver]]", "build_environment = \"staging\"\n[[approver]]"), @"");
    insta::assert_snapshot!(extended("stable_tag = \"stable\"\n[[environment]]\nname = \"staging\"\nstable_tag = \"stable\""), @"");
    insta::assert_snapshot!(extended("stable_tag = \"main-stable\""), @"");
    insta::assert_snapshot!(changed("[\"main-*\"]", "[\"*\"]"), @"");
    insta::assert_snapshot!(extended("stable_tag = \"production-current\""), @"");
    insta::assert_snapshot!(
        extended("deploy = \"never\"\nservices = [\"a/b\", \"a/b\"]\n[[environment]]\nname = \"staging\"\ndeploy = \"never\"\nservices = [\"a/b\"]"),
        @""
    );
    insta::assert_snapshot!(extended("after = \"staging\""), @"");
    insta::assert_snapshot!(
        extended("after = \"b\"\n[[environment]]\nname = \"b\"\nafter = \"c\"\n[[environment]]\nname = \"c\"\nafter = \"b\"\n[[environment]]\nname = \"d\"\nafter = \"d\""),
        @""
    );
}

#[test]
fn too_much_of_anything() {
    insta::assert_snapshot!(errors(&"# \n".repeat(10 * 1024 * 1024 / 3)), @"");
    insta::assert_snapshot!(errors(&format!("a = {}", "[".repeat(60_000))), @"");
    insta::assert_snapshot!(errors(&format!("a = {}", "{a=".repeat(20_000))), @"");
    insta::assert_snapshot!(errors(&format!("{} = 1", ["a"; 30_000].join("."))), @"");
    insta::assert_snapshot!(extended(&"[[environment]]\nname = \"a\"\n".repeat(20)), @"");
    let services = (0..80).map(|n| format!("\"a/b{n}\"")).collect::<Vec<_>>().join(", ");
    insta::assert_snapshot!(extended(&format!("deploy = \"never\"\nservices = [{services}]")), @"");
    let many = (0..100).map(|n| format!("key{n} = 1\n")).collect::<String>();
    assert_eq!(extended(&many).lines().count(), 51);
    insta::assert_snapshot!(extended(&many).lines().last().unwrap(), @"");
}

/// Tables within tables, as deep as TOML goes, are taken apart and dropped on a small stack.
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
fn places_are_counted_as_an_editor_counts_them() {
    insta::assert_snapshot!(errors(&SMALLEST.replace('\n', "\r\n").replace("\"lead\"", "\"Lead\"")), @"");
    insta::assert_snapshot!(errors(&format!("\u{feff}{}", &SMALLEST[1..]).replace("name = \"web\"", "name = \"Web\"")), @"");
    insta::assert_snapshot!(extended("\tdeploy\t=\t\"no\""), @"");
    insta::assert_snapshot!(extended("approval = { approvers = [\"lead\", \"größer\", \"boss\"] }"), @"");
    insta::assert_snapshot!(extended("deploy = \"never\" # 🦀\n\"🦀\" = 1"), @"");
    insta::assert_snapshot!(extended("services = [\n  \"prod/web\",\n  \"prod\",\n]"), @"");
    insta::assert_snapshot!(extended("deploy = \"\"\"\nalways\n\"\"\""), @"");
}

#[test]
fn a_stack_allows_what_its_parameters_name() {
    let pattern = |text| Pattern::parse(text).unwrap();
    let allowed = |repositories: &[&str], clusters: &[&str]| Allowed {
        partition: "aws".to_owned(),
        region: "eu-west-1".to_owned(),
        account: "111122223333".to_owned(),
        repositories: repositories.iter().copied().map(pattern).collect(),
        clusters: clusters.iter().copied().map(pattern).collect(),
    };
    let text =
        format!("{SMALLEST}deploy = \"never\"\nservices = [\"prod/web\", \"prod/worker\", \"test/web\"]\n");
    let errors = |allowed: &Allowed| {
        let errors = Application::parse(&text, Some(allowed)).unwrap_err();
        errors.iter().map(ConfigError::to_string).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(errors(&allowed(&[], &[])), @"");
    insta::assert_snapshot!(
        errors(&allowed(
            &["arn:aws:ecr:*:111122223333:repository/web"],
            &["arn:aws:ecs:eu-west-1:111122223333:cluster/prod", "arn:aws:ecs:eu-west-1:444455556666:cluster/*"]
        )),
        @""
    );
    let all = allowed(&["arn:aws:ecr:eu-west-1:111122223333:repository/w?b"], &["*"]);
    let application = Application::parse(&text, Some(&all)).unwrap();
    assert_eq!(application.outside(&all), []);
    let service = &application.environments[0].services[1];
    assert_eq!(all.service_arn(service), "arn:aws:ecs:eu-west-1:111122223333:service/prod/worker");
}

#[test]
fn an_application_claims_each_thing_once() {
    let application = Application::parse(EXAMPLE, None).unwrap();
    insta::assert_debug_snapshot!(application.resources(), @"");
}

#[test]
fn differences_are_told_by_name() {
    let after = EXAMPLE
        .replace("expires = \"72h\"", "expires = \"24h\"")
        .replace("days = 90\n", "")
        .replace("\"prod/worker\"", "\"prod/worker\", \"prod/mail\"")
        .replace(
            "[[environment]]",
            "[[environment]]\nname = \"staging\"\ndeploy = \"never\"\n\n[[environment]]",
        );
    assert_ne!(after, EXAMPLE);
    insta::assert_debug_snapshot!(difference(Some(EXAMPLE), &after), @"");
    assert_eq!(difference(Some(EXAMPLE), &EXAMPLE.replace('\n', "\r\n")), []);
    insta::assert_debug_snapshot!(difference(None, "name = \"a\"\n[[environment]]\ndeploy = \"never\"\n[[environment]]"), @"");
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}|[a-z\\[\\]{}=\"'.,#\n\t 0-9]{0,200}") {
        let _ = Application::parse(&text, None);
        let _ = difference(Some(EXAMPLE), &text);
        let _ = difference(Some(&text), EXAMPLE);
    }

    /// A file with a few changes: it is refused at a place that it has, or it keeps every promise of the type.
    #[test]
    fn a_changed_file_is_refused_in_place_or_consistent(
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
            Ok(application) => consistent(&application)?,
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

fn consistent(application: &Application) -> Result<(), TestCaseError> {
    prop_assert!(!application.builds.is_empty());
    prop_assert!(application.environment(&application.build_environment).is_some());
    let resources = application.resources();
    prop_assert_eq!(resources.stable_tags.len(), application.environments.len());
    let services: usize = application.environments.iter().map(|e| e.services.len()).sum();
    prop_assert_eq!(resources.services.len(), services);
    for environment in &application.environments {
        let approval = &environment.approval;
        prop_assert!(usize::from(approval.required) <= approval.approvers.len());
        prop_assert!(approval.approvers.iter().all(|name| application.approver(name).is_some()));
        let tag = environment.stable_tag.as_str();
        prop_assert!(!application.builds.iter().any(|pattern| pattern.matches(tag)));
        prop_assert!(environment.deploy == Deploy::Never || environment.services.is_empty());
    }
    Ok(())
}
