//! Reads through the API. The API returns the records of the table without secrets and internal
//! fields.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stablepin_api_types::{
    ApplicationAnswer, AuditPage, BuildAnswer, BuildPage, EnvironmentAnswer, HealthAnswer, ImagePage,
    PinPage, PromotionAnswer, PromotionPage, RollbackAnswer, RollbackPage, RunAnswer, RunPage,
    StartedRollback,
};
use stablepin_tests::{App, Plan, stack, until};
use xtask::image::Spec;

#[track_caller]
fn get(app: &App, path: &str) -> Value {
    let (status, answer) = app.api("GET", path, None);
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// Asserts that each of these fields has the same value in the response and in the record.
#[track_caller]
fn agree(answer: &Value, record: &Value, members: &[&str]) {
    for member in members {
        assert_eq!(answer[member], record[member], "{member}");
    }
}

/// Reads a whole list, with one item per page. The last page may be empty.
#[track_caller]
fn listed(app: &App, path: &str, list: &str) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(app, &format!("{path}?limit=1{after}"));
        all.extend(page[list].as_array().cloned().unwrap_or_default());
        let Some(next) = page["next"].as_str() else { return all };
        after = format!("&after={}", next.replace('#', "%23").replace(':', "%3A"));
    }
}

/// Asserts that the response has all fields of its type and no other fields.
#[track_caller]
fn is_exactly<T: Serialize + DeserializeOwned>(answer: &Value) {
    let read: T = serde_json::from_value(answer.clone()).expect("an answer of this type");
    assert_eq!(json!(read), *answer);
}

fn digests(list: &[Value]) -> Vec<&Value> {
    list.iter().map(|one| &one["digest"]).collect()
}

#[test]
fn api_responses_match_the_records_of_the_table() {
    let app = Plan::new("reads").create();
    let first = app.pin("main", &Spec::new("1"));
    let second = app.push_after(&first, &Spec::new("2"));
    app.approve(&second);
    app.settled(&second);

    assert_eq!(get(&app, "")["text"], json!(app.registered()));
    let build = get(&app, &format!("/builds/{first}"));
    let members = ["digest", "repository", "build_tag", "tagged", "commit", "pushed_tag", "pushed_at"];
    agree(&build, &app.build(&first).expect("a build"), &members);
    let (shown, record) = (get(&app, "/environments/production"), app.environment());
    agree(&shown, &record, &["pin", "watermark", "slot", "hold", "freeze", "current", "rolled_back_from"]);
    assert_eq!(shown["stable_tag_pin"], record["applied"]);
    assert_eq!(shown["latest"]["promotion"], record["latest"]["promotion"]);
    assert_eq!(digests(&listed(&app, "/environments/production/pins", "pins")), [&second, &first]);
    assert_eq!(digests(&listed(&app, "/builds", "builds")), [&second, &first]);

    let promotions = get(&app, "/promotions");
    let all = promotions["promotions"].as_array().cloned().unwrap_or_default();
    assert_eq!(digests(&all), [&second, &first]);
    let one = &all[0];
    assert_eq!(get(&app, &format!("/promotions/{}", one["id"].as_str().unwrap_or_default())), *one);
    let link = app.link(&second);
    let hash = app.promotion(link.promotion())["asked"][app.approver("lead")]["token"].clone();
    let hash = hash.as_str().expect("the table has the link's hash");
    assert!(!promotions.to_string().contains(hash), "the API does not show the hash");

    let audit = get(&app, "/audit");
    let shown: Vec<_> = audit["audit"].as_array().cloned().unwrap_or_default();
    assert_eq!(shown.into_iter().rev().collect::<Vec<_>>(), app.audit(), "newest first");
}

#[test]
fn api_lists_rollbacks_newest_first() {
    let app = Plan::new("rollbacks").create();
    app.pin("main", &Spec::new("1"));
    app.pin("main", &Spec::new("2"));
    let back = |to: &str| {
        let (status, begun) = app.rollback(&json!({ "to": to, "confirm": "ROLLBACK" }));
        assert_eq!(status, 202, "{begun}");
        is_exactly::<StartedRollback>(&begun);
        let id = begun["id"].as_str().expect("an id").to_owned();
        app.rolled_back(&id);
        id
    };
    let (first, second) = (back("1"), back("2"));
    let path = "/environments/production/rollbacks";
    let all = listed(&app, path, "rollbacks");
    assert_eq!(all.iter().map(|one| &one["id"]).collect::<Vec<_>>(), [&second, &first]);
    agree(&get(&app, &format!("/rollbacks/{second}")), &all[0], &["id", "environment", "target", "state"]);
    assert_eq!(get(&app, "/environments/staging/rollbacks"), json!({ "rollbacks": [], "next": null }));
}

#[test]
fn api_responses_have_only_the_fields_of_their_types() {
    let app = Plan::new("exact").create();
    let first = app.pin("main", &Spec::new("1"));
    app.pin("main", &Spec::new("2"));
    let (_, begun) = app.rollback(&json!({ "to": "1", "confirm": "ROLLBACK", "reason": "500s" }));
    let rollback = begun["id"].as_str().expect("an id");
    app.rolled_back(rollback);
    let (status, run) = app.api("POST", "/retention", Some(&json!({ "dry_run": true })));
    assert_eq!(status, 202, "{run}");
    let run = format!("/retention/{}", run["id"].as_str().expect("an id"));
    until("the run's end", || get(&app, &run)["ended_at"].is_string().then_some(()));
    let promotion = get(&app, "/promotions")["promotions"][0]["id"].as_str().expect("an id").to_owned();
    let health = format!("{}/v1/health", stack().api());
    let health = app.aws.call("GET", &health, None, None, true).expect("the API answers");

    is_exactly::<ApplicationAnswer>(&get(&app, ""));
    is_exactly::<BuildAnswer>(&get(&app, &format!("/builds/{first}")));
    is_exactly::<BuildPage>(&get(&app, "/builds"));
    is_exactly::<PromotionAnswer>(&get(&app, &format!("/promotions/{promotion}")));
    is_exactly::<PromotionPage>(&get(&app, "/promotions"));
    is_exactly::<EnvironmentAnswer>(&get(&app, "/environments/production"));
    is_exactly::<PinPage>(&get(&app, "/environments/production/pins"));
    is_exactly::<RollbackPage>(&get(&app, "/environments/production/rollbacks"));
    is_exactly::<RollbackAnswer>(&get(&app, &format!("/rollbacks/{rollback}")));
    is_exactly::<AuditPage>(&get(&app, "/audit"));
    is_exactly::<RunAnswer>(&get(&app, &run));
    is_exactly::<ImagePage>(&get(&app, &format!("{run}/images")));
    is_exactly::<RunPage>(&get(&app, "/retention"));
    is_exactly::<HealthAnswer>(&health.json("health").expect("JSON"));
}

#[test]
fn reads_of_missing_records_return_problem_documents() {
    let app = Plan::new("missing").create();
    let id = "019b0000-0000-7000-8000-000000000000";
    let never = format!("sha256:{}", "5eed".repeat(16));
    let paths = [
        format!("/promotions/{id}"),
        format!("/rollbacks/{id}"),
        format!("/builds/{never}"),
        "/environments/staging".to_owned(),
    ];
    for path in paths {
        let (status, problem) = app.api("GET", &path, None);
        assert_eq!((status, &problem["type"]), (404, &json!("urn:stablepin:problem:not-found")), "{path}");
    }
    for path in ["/audit?month=november", "/audit?limit=0", "/builds/latest", "/promotions?limit=1000"] {
        let (status, problem) = app.api("GET", path, None);
        assert_eq!((status, &problem["type"]), (400, &json!("urn:stablepin:problem:bad-request")), "{path}");
    }
}

#[test]
fn unsigned_reads_are_forbidden() {
    let app = Plan::new("unsigned-get").create();
    for path in ["", "/promotions", "/audit", "/environments/production", "/environments/production/pins"] {
        let url = format!("{}/v1/applications/{}{path}", stack().api(), app.plan.name);
        let answer = app.aws.call("GET", &url, None, None, false).expect("the API answers");
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
    }
}
