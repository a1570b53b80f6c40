//! Registration of applications. The API stores the whole application file or refuses it. A refusal
//! names the line and the key of each mistake.

use serde_json::{Value, json};
use stablepin_tests::crash::{invoke_with, registration};
use stablepin_tests::{App, Plan};

/// Asserts that the table has no application file, no claim and no audit record of the application.
#[track_caller]
fn nothing_is_stored(app: &App) {
    assert_eq!(app.registered(), None);
    assert_eq!(app.claimed(&app.plan.repository), None);
    assert_eq!(app.claimed(&format!("{}#prod-stable", app.plan.repository)), None);
    assert_eq!(app.audit(), [] as [Value; 0]);
}

/// Asserts that the API refuses the file. One error has the given line and key, and contains the
/// given word.
#[track_caller]
fn refused(app: &App, file: &str, line: usize, key: &str, word: &str) {
    let answer = app.put(file);
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    has_error(&answer.json("api").expect("a problem document"), line, key, word);
    nothing_is_stored(app);
}

#[track_caller]
fn has_error(problem: &Value, line: usize, key: &str, word: &str) {
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    let found = errors.iter().any(|error| {
        error["line"] == line
            && error["key"] == key
            && error["message"].as_str().is_some_and(|message| message.contains(word))
    });
    assert!(found, "{problem:#}");
    let said = format!("line {line}, column ");
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(&said)), "{problem:#}");
}

/// Returns the number of the file's first line that contains the text. Lines count from 1.
fn line_of(file: &str, text: &str) -> usize {
    file.lines().position(|line| line.contains(text)).map_or(0, |at| at + 1)
}

#[test]
fn api_names_the_line_of_each_mistake_in_an_invalid_file() {
    let app = Plan::new("wrong").services(["web"]).with_repository();
    let good = app.plan.toml();
    let cluster = &app.plan.cluster;
    let wrong = [
        ("builds =", "bilds = [\"x\"]\nbuilds =", "bilds = ", "bilds", "not known"),
        ("stable_tag = \"prod-stable\"", "stable_tag = 7", "stable_tag", "environment[0].stable_tag", ""),
        (&format!("\"{cluster}/web\""), "\"web\"", "services", "environment[0].services[0]", "web"),
        (
            &format!("{cluster}/web"),
            &format!("{cluster}/web/x"),
            "services",
            "environment[0].services[0]",
            "",
        ),
        ("required = 1", "required = 2", "approval", "environment[0].approval.required", "only 1"),
        ("deploy = \"never\"", "deploy = \"always\"", "deploy", "environment[0].deploy", "on_approval"),
        ("deploy = \"never\"", "soak = \"5m\"", "soak", "environment[0].soak", "earlier environment"),
        ("name = \"production\"", "name = \"Production\"", "Production", "environment[0].name", "lower-case"),
        ("prod-stable", "main-stable", "stable_tag", "environment[0].stable_tag", "taken for a build"),
    ];
    for (from, to, at, key, word) in wrong {
        let file = good.replacen(from, to, 1);
        assert_ne!(file, good, "{from}");
        refused(&app, &file, line_of(&file, at), key, word);
    }
    refused(&app, &good.replacen("builds =", "builds", 1), line_of(&good, "builds ="), "", "not TOML");
    let twice = good.clone() + &good[good.find("\n[[environment]]").unwrap_or_default()..];
    refused(&app, &twice, good.lines().count() + 3, "environment[1].name", "already");

    let answer = app.put(&good.replacen(&format!("name = \"{}\"", app.plan.name), "name = \"other\"", 1));
    assert_eq!(answer.status, 422);
    assert!(answer.text().contains("wrong-name"), "{}", answer.text());
    nothing_is_stored(&app);

    assert_eq!(app.put(&good).status, 201, "the correct file is accepted");
    assert_eq!(app.claimed(&app.plan.repository).as_ref(), Some(&app.plan.name));
}

#[test]
fn unsigned_registration_is_forbidden() {
    let app = Plan::new("unsigned-put").with_repository();
    let url = format!("{}/v1/applications/{}", stablepin_tests::stack().api(), app.plan.name);
    let answer = app.aws.call("PUT", &url, Some(app.plan.toml().as_bytes()), Some("application/toml"), false);
    assert_eq!(answer.expect("the API answers").status, 403);
    nothing_is_stored(&app);
}

#[test]
fn api_refuses_to_register_a_resource_of_another_application() {
    let first = Plan::new("claims").services(["web"]).create();

    // `app` claims the repository of `first`, and therefore also the stable tag in that repository.
    let app = Plan::new("claims-b").with_repository();
    let file = app.plan.toml().replace(
        &format!("repository = \"{}\"", app.plan.repository),
        &format!("repository = \"{}\"", first.plan.repository),
    );
    claimed(&app, &file, &first, "repository = ", "repository");
    assert_eq!(first.claimed(&first.plan.repository).as_ref(), Some(&first.plan.name));

    // `app` claims the service of `first`.
    let mut plan = app.plan.clone();
    plan.services.clone_from(&first.plan.services);
    claimed(&app, &plan.toml(), &first, "services", "environment[0].services[0]");

    // The file of `first` no longer names the service, so `app` may claim the service.
    let mut without = first.plan.clone();
    without.services.clear();
    assert_eq!(first.put(&without.toml()).status, 200);
    let answer = app.put(&plan.toml());
    assert_eq!(answer.status, 201, "{}", answer.text());
}

#[track_caller]
fn claimed(app: &App, file: &str, by: &App, at: &str, key: &str) {
    let answer = app.put(file);
    assert_eq!(answer.status, 409, "{}", answer.text());
    let problem = answer.json("api").expect("a problem document");
    assert_eq!(
        (&problem["type"], &problem["by"]),
        (&"urn:stablepin:problem:claimed".into(), &json!(by.plan.name))
    );
    let error = &problem["errors"][0];
    assert_eq!((&error["line"], &error["key"]), (&json!(line_of(file, at)), &json!(key)), "{problem:#}");
    nothing_is_stored(app);
}

/// The local stack allows every repository and cluster, so the test runs the API's program with
/// narrower parameters.
#[test]
fn api_refuses_a_repository_or_cluster_outside_stack_parameters() {
    let app = Plan::new("outside").services(["web"]).with_repository();
    let file = app.plan.toml();
    let narrow = [
        (
            "STABLEPIN_REPOSITORY_ARNS",
            "arn:aws:ecr:us-east-1:000000000000:repository/prod/*",
            "repository",
            "repository",
            "RepositoryArns",
        ),
        (
            "STABLEPIN_CLUSTER_ARNS",
            "arn:aws:ecs:us-east-1:000000000000:cluster/prod",
            "services",
            "environment[0].services[0]",
            "ClusterArns",
        ),
    ];
    for (variable, pattern, at, key, parameter) in narrow {
        let run = invoke_with("api", &[(variable, pattern)], &registration(&app.plan.name, &file), None);
        let answer = run.answer.expect("an answer");
        assert_eq!(answer["statusCode"], 422, "{answer}");
        let problem: Value =
            serde_json::from_str(answer["body"].as_str().unwrap_or_default()).expect("a problem");
        has_error(&problem, line_of(&file, at), key, parameter);
        nothing_is_stored(&app);
    }
}

#[test]
fn api_previews_stores_and_audits_a_changed_application_file() {
    let app = Plan::new("change").create();
    let again = app.put(&app.plan.toml());
    assert_eq!(again.status, 200);
    assert_eq!(again.json("api").expect("JSON")["version"], 1);

    let file = app.plan.toml().replace("\"v*\"", "\"release-*\"");
    let url = format!("{}/v1/applications/{}?dry_run=true", stablepin_tests::stack().api(), app.plan.name);
    let shown = app.aws.call("PUT", &url, Some(file.as_bytes()), Some("application/toml"), true);
    let shown = shown.expect("the API answers").json("api").expect("JSON");
    assert_eq!(
        (&shown["version"], shown["changes"].as_array().map(Vec::len)),
        (&1.into(), Some(1)),
        "{shown}"
    );
    assert_eq!(app.registered(), Some(app.plan.toml()), "a dry run stores nothing");

    let answer = app.put(&file);
    let answer = answer.json("api").expect("JSON");
    assert_eq!((&answer["version"], &answer["changes"]), (&2.into(), &shown["changes"]));
    assert_eq!(app.registered(), Some(file));
    assert_eq!(app.audited("Configuration Change"), ["- → 1", "1 → 2"]);
    let (_, audit) = app.api("GET", "/audit", None);
    assert_eq!(audit["audit"].as_array().map(Vec::len), Some(2), "newest first: {audit}");
}

/// Two people register two applications with the same repository at the same time.
#[test]
fn only_one_of_two_simultaneous_claims_of_a_repository_succeeds() {
    let plan = Plan::new("both");
    let apps = [plan.clone(), plan].map(|mut plan| {
        let suffix = stablepin_tests::unique();
        plan.name = format!("both-{suffix}");
        App::unborn(plan)
    });
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let puts: Vec<_> = apps.iter().map(|app| scope.spawn(|| app.put(&app.plan.toml()).status)).collect();
        puts.into_iter().map(|put| put.join().expect("an answer")).collect()
    });
    assert!(matches!(statuses[..], [201, 409] | [409, 201]), "{statuses:?}");
    let winner =
        apps.iter().zip(&statuses).find(|(_, status)| **status == 201).map(|(app, _)| &app.plan.name);
    assert_eq!(apps[0].claimed(&apps[0].plan.repository).as_ref(), winner);
}

#[test]
fn two_approvers_must_not_share_a_signer() {
    let app = App::unborn(Plan::new("signers"));
    let lead = "arn:aws:iam::111122223333:role/AWSReservedSSO_Lead_0123456789abcdef";
    let second = "arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Lead_0123456789abcdef/anna";
    let approver = |name: &str, arn: &str| {
        format!(
            "\n[[approver]]\nname = \"{name}\"\nmail = \"{name}@example.com\"\nprincipals = [\"{arn}\"]\n"
        )
    };
    let text = app.plan.toml() + &approver("anna", lead) + &approver("bob", second);
    let answer = app.put(&text);
    assert_eq!(answer.status, 422, "{}", answer.text());
    let said = answer.text();
    assert!(
        said.contains("approver[2].principals[0]") && said.contains("approver[1].principals[0]"),
        "{said}"
    );
}
