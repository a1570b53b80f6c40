//! Reads over the API: they show the table's records and no secret.

use serde_json::{Value, json};
use stablepin_tests::{App, Plan, stack};
use xtask::image::Spec;

#[track_caller]
fn get(app: &App, path: &str) -> Value {
    let (status, answer) = app.api("GET", path, None);
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

#[test]
fn api_shows_the_records_of_the_table() {
    let app = Plan::new("reads").create();
    let first = app.pin("main", &Spec::new("1"));
    let second = app.pin("main", &Spec::new("2"));

    assert_eq!(get(&app, "")["text"], json!(app.registered()));
    assert_eq!(get(&app, &format!("/builds/{first}")), app.build(&first).expect("a build"));
    assert_eq!(get(&app, "/environments/production")["record"], app.environment());
    let newest = |page: &Value, list: &str| -> Vec<Value> {
        page[list].as_array().into_iter().flatten().map(|one| one["digest"].clone()).collect()
    };
    // Reads page by page. The last page may be empty.
    let (mut pins, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(&app, &format!("/environments/production/pins?limit=1{after}"));
        pins.extend(newest(&page, "pins"));
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={}", next.replace('#', "%23"));
    }
    assert_eq!(pins, [json!(second), json!(first)]);

    let promotions = get(&app, "/promotions");
    assert_eq!(newest(&promotions, "promotions"), [json!(second), json!(first)]);
    let one = &promotions["promotions"][0];
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
fn missing_records_are_problem_documents() {
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
