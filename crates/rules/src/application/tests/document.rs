//! Tests of an application file's text: syntax, keys, types, size, and positions of errors.

use super::fixtures::{SMALLEST, changed, errors, extended};
use crate::application::difference;

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
    line 6, column 1: colour: is not known here (known: name, repository, builds, build_environment, latest, run_label, approver, environment, retention)
    line 7, column 1: Builds: is not known here; did you mean builds? (known: name, repository, builds, build_environment, latest, run_label, approver, environment, retention)
    line 8, column 1: "a.b\n": is not known here (known: name, repository, builds, build_environment, latest, run_label, approver, environment, retention)
    "#);
    insta::assert_snapshot!(extended("service = []\napproval = { require = 1, expire = \"1h\" }"), @"
    line 12, column 1: environment[0].service: is not known here; did you mean services? (known: name, repository, role, stable_tag, deploy, services, container, requires, after, soak, approval, verify, validate)
    line 13, column 14: environment[0].approval.require: is not known here; did you mean required? (known: required, approvers, expires, four_eyes, step)
    line 13, column 27: environment[0].approval.expire: is not known here; did you mean expires? (known: required, approvers, expires, four_eyes, step)
    ");
    insta::assert_snapshot!(extended("latest = \"off\""), @"line 12, column 1: environment[0].latest: is not a key of this table, but of the one around it: write it above the line that begins this table");
    insta::assert_snapshot!(extended("[environment.approval]\nrequired = 1\nstable_tag = \"prod\""), @"line 14, column 1: environment[0].approval.stable_tag: is not a key of this table, but of the one around it: write it above the line that begins this table");
    insta::assert_snapshot!(extended("[[environments]]\nname = \"staging\""), @"line 12, column 3: environments: is not known here; did you mean environment? (known: name, repository, builds, build_environment, latest, run_label, approver, environment, retention)");
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

/// The tables of the test's file are nested as deeply as the TOML parser allows.
#[test]
fn parser_needs_only_a_small_stack_for_deep_nesting() {
    let path = ["a"; 78].join(".");
    let deep = format!("[{path}]\n{path} = {}1{}", format!("{{ {path} = ").repeat(70), "}".repeat(70));
    let parse = move || (errors(&deep), difference(None, &deep).len());
    let thread = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(parse).unwrap();
    let (errors, differences) = thread.join().unwrap();
    assert!(errors.contains("line 1, column 2: a: is not known here"), "{errors}");
    assert_eq!(differences, 1);
}

#[test]
fn error_positions_match_editor_positions() {
    insta::assert_snapshot!(errors(&SMALLEST.replace('\n', "\r\n").replace("\"lead\"", "\"Lead\"")), @r#"line 7, column 8: approver[0].name: "Lead" is not a valid approver name: use 1 to 40 lower-case letters, digits and single hyphens, beginning with a letter"#);
    insta::assert_snapshot!(errors(&format!("\u{feff}{}", &SMALLEST[1..]).replace("name = \"web\"", "name = \"Web\"")), @r#"line 1, column 8: name: "Web" is not a valid application name: use 1 to 40 lower-case letters, digits and single hyphens, beginning with a letter"#);
    insta::assert_snapshot!(extended("\tdeploy\t=\t\"no\""), @r#"line 12, column 11: environment[0].deploy: "no" is not known here: write "on_approval" or "never""#);
    insta::assert_snapshot!(extended("approval = { approvers = [\"lead\", \"größer\", \"boss\"] }"), @r#"line 12, column 35: environment[0].approval.approvers[1]: "größer" is not a valid approver name: use 1 to 40 lower-case letters, digits and single hyphens, beginning with a letter"#);
    insta::assert_snapshot!(extended("deploy = \"never\" # 🦀\n\"🦀\" = 1"), @r#"line 13, column 1: environment[0]."🦀": is not known here (known: name, repository, role, stable_tag, deploy, services, container, requires, after, soak, approval, verify, validate)"#);
    insta::assert_snapshot!(extended("services = [\n  \"prod/web\",\n  \"prod\",\n]"), @r#"line 14, column 3: environment[0].services[1]: "prod" is not a valid service: write the cluster's name, a slash and the service's name, such as prod/web; each has letters, digits, hyphens and underscores"#);
    insta::assert_snapshot!(extended("deploy = \"\"\"\nalways\n\"\"\""), @r#"line 12, column 10: environment[0].deploy: "always\n" is not known here: write "on_approval" or "never""#);
}
