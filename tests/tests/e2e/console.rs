//! The console: who can open its pages, what the pages show, and that a view changes nothing.

use std::process::Command;

use serde_json::{Value, json};
use stablepin_tests::crash::{self, invoke_with_fakes};
use stablepin_tests::ecs_fake::EcsFake;
use stablepin_tests::{App, Console, Link, Plan, stack};
use xtask::aws::Response;
use xtask::image::Spec;

/// Returns a query that makes the overview page begin with the application. The page lists the
/// names after the text `after`, so the text is the application's name without its last letter.
pub(crate) fn beginning_with(app: &App) -> String {
    format!("?after={}", &app.plan.name[..app.plan.name.len() - 1])
}

/// Returns the stored record of a console link.
fn record(app: &App, console: &Console) -> Value {
    app.item(&key(console), "CONSOLE").expect("the table has the link")["record"].clone()
}

fn key(console: &Console) -> String {
    format!("CONSOLE#{}", xtask::secrets::hash(&console.token))
}

/// Returns the parts of a response that an attacker could compare: the status, the text, and the
/// headers that Stablepin sets.
fn comparable(answer: &Response) -> (u16, String, Vec<(String, String)>) {
    let ours = |name: &str| {
        [
            "content-",
            "x-frame",
            "x-content",
            "x-robots",
            "referrer",
            "cache",
            "strict",
            "set-cookie",
            "location",
        ]
        .iter()
        .any(|one| name.starts_with(one))
    };
    let headers = answer.headers.iter().filter(|(name, _)| ours(name)).cloned().collect();
    (answer.status, answer.text(), headers)
}

#[test]
fn only_a_signed_request_mints_a_console_link() {
    let app = Plan::new("console-mint").create();
    let url = format!("{}/v1/console", stack().api());
    let unsigned = app.aws.call("POST", &url, None, None, false).expect("an answer");
    assert_eq!(unsigned.status, 403);
    let api = stack().api().split_once("//").and_then(|(_, host)| host.split('.').next()).expect("an id");
    let other =
        stablepin_tests::iam::user(&app.aws, app.approver("lead"), api, &["GET/v1/*"]).expect("a user");
    assert_eq!(other.call("POST", &url, None, None, true).expect("an answer").status, 403);

    let console = Console::mint();
    assert_eq!(console.token.len(), 43, "256 random bits");
    let record = record(&app, &console);
    assert_eq!(record["by"], "arn:aws:iam::000000000000:root", "{record}");
    assert!(!record.to_string().contains(&console.token));
    let left =
        record["expires_at"].as_str().expect("a time").parse::<jiff::Timestamp>().expect("a timestamp");
    let left = left.duration_since(jiff::Timestamp::now()).as_secs();
    assert!((3500..=3600).contains(&left), "the link lives for an hour, not for {left} s");
}

#[test]
fn cookie_of_a_console_link_opens_every_console_page() {
    let app = Plan::new("console-open").create();
    let console = Console::mint();
    let opened = console.open();
    assert_eq!((opened.status, opened.header("location")), (303, Some("/console")));
    let cookie = opened.header("set-cookie").expect("a cookie");
    let (value, attributes) = cookie.split_once("; ").expect("attributes");
    assert_eq!(value, format!("stablepin-console={}", console.token));
    let (path, rest) = attributes.split_once("; Max-Age=").expect("an age");
    let (age, rest) = rest.split_once("; ").expect("more");
    assert_eq!((path, rest), ("Path=/console", "HttpOnly; Secure; SameSite=Lax"));
    assert!((3500..=3600).contains(&age.parse::<u32>().expect("seconds")), "{age}");
    assert!(!opened.text().contains(&console.token));

    for path in ["", &beginning_with(&app), &format!("/{}", app.plan.name)] {
        let page = console.get(path);
        assert_eq!((page.status, console.head(path).status), (200, 200), "{path}");
        assert!(page.body.len() < 20_000, "{path}: {} bytes", page.body.len());
        assert!(!page.text().contains(&console.token), "{path}");
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("x-robots-tag", "noindex"),
            ("strict-transport-security", "max-age=63072000"),
        ] {
            assert_eq!(page.header(name), Some(value), "{path}");
        }
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(!policy.contains("script-src") && !policy.contains("unsafe"), "{policy}");
    }
    let missing = console.get("/nobody-at-all");
    assert!(missing.status == 404 && missing.text().contains("no application of that name"));
    assert_eq!(console.get("/Not%20a%20name").status, 404);
}

/// A mail scanner may open a console link any number of times. Afterwards the link still works.
#[test]
fn hundred_console_views_change_nothing() {
    let app = Plan::new("console-looks").create();
    app.pin("main", &Spec::new("1"));
    let console = Console::mint();
    let before = (app.everything(), record(&app, &console));
    for _ in 0..25 {
        assert_eq!(console.open().status, 303);
        assert_eq!(console.get(&beginning_with(&app)).status, 200);
        assert_eq!(console.get(&format!("/{}", app.plan.name)).status, 200);
        assert_eq!(console.head(&format!("/{}?before=x&from=y", app.plan.name)).status, 200);
    }
    assert_eq!((app.everything(), record(&app, &console)), before);
    for method in ["POST", "PUT", "DELETE"] {
        let url = format!("{}/console", stack().api());
        let cookie = format!("stablepin-console={}", console.token);
        let answer = app.aws.call_with(method, &url, &[("cookie", &cookie)], None, false).expect("an answer");
        assert_eq!(answer.status, 404, "{method}: no such route exists");
    }
}

#[test]
fn invalid_console_links_get_identical_responses() {
    let app = Plan::new("console-not").create();
    let expired = Console::mint();
    let ask = json!({
        "TableName": stack().table(),
        "Key": { "pk": { "S": key(&expired) }, "sk": { "S": "CONSOLE" } },
        "UpdateExpression": "SET #record.expires_at = :past",
        "ConditionExpression": "attribute_exists(pk)",
        "ExpressionAttributeNames": { "#record": "record" },
        "ExpressionAttributeValues": { ":past": { "S": "2026-01-01T00:00:00Z" } },
    });
    app.aws.dynamodb("UpdateItem", &ask).expect("the table accepts the change");
    let approvers = app.link(&app.push("main", &Spec::new("1")));
    let hash = Console::of(&xtask::secrets::hash(&Console::mint().token));
    let unknown = Console::of("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");

    let url = format!("{}/console", stack().api());
    let without = app.aws.call("GET", &url, None, None, false).expect("an answer");
    assert_eq!(without.status, 404);
    assert!(without.text().contains("This link does not open the console"), "{}", without.text());
    assert_eq!(without.header("set-cookie"), None);
    for not in [&expired, &unknown, &hash, &Console::of(&approvers.token), &Console::of("")] {
        assert_eq!(comparable(&not.open()), comparable(&without));
        assert_eq!(comparable(&not.get("")), comparable(&without));
        assert_eq!(comparable(&not.get(&format!("/{}", app.plan.name))), comparable(&without));
        assert_eq!(
            comparable(&not.get("/nobody-at-all")),
            comparable(&without),
            "the answer does not reveal which applications exist"
        );
    }

    let console = Console::mint();
    let other: Link = approvers.with_token(&console.token);
    assert_eq!((other.get().status, other.approve().status), (404, 404), "a console link decides nothing");
    assert_eq!(approvers.approve().status, 200);
}

#[test]
fn console_lists_the_history_in_pages_newest_first() {
    let app = Plan::new("console-story").create();
    let console = Console::mint();
    let path = format!("/{}", app.plan.name);
    assert!(console.get(&path).text().contains("Nothing has happened yet"));
    let first = app.pin("main", &Spec::new("1"));
    app.pin("main", &Spec::new("2"));
    let waits = app.push("main", &Spec::new("3"));
    app.settled(&waits);
    let (status, frozen) =
        app.api("PUT", "/environments/production/freeze", Some(&json!({ "reason": "<b>until</b> Monday" })));
    assert_eq!(status, 200, "{frozen}");

    let page = console.get(&path).text();
    let build_tag = app.build(&first).expect("a build")["build_tag"].clone();
    let promotions: Vec<String> =
        app.promotions().iter().map(|one| one["id"].as_str().unwrap_or_default().to_owned()).collect();
    let places: Vec<_> = promotions.iter().map(|id| page.find(&format!("<li id=\"{id}\""))).collect();
    assert!(
        places.iter().all(Option::is_some) && places.is_sorted_by(|a, b| a > b),
        "newest first: {places:?}"
    );
    for says in [
        "1 pending",
        "Frozen",
        "&lt;b&gt;until&lt;/b&gt; Monday",
        "Pin 2",
        build_tag.as_str().expect("a tag"),
    ] {
        assert!(page.contains(says), "{says}: {page}");
    }
    let overview = console.get(&beginning_with(&app)).text();
    for says in [&app.plan.name, "1 pending", "Frozen", "&lt;b&gt;until&lt;/b&gt; Monday"] {
        assert!(overview.contains(says), "{says}: {overview}");
    }

    // The parameter `before` is the id of a promotion or of a rollback. The page then lists only
    // older entries.
    let older = console.get(&format!("{path}?before={}", promotions[1])).text();
    assert_eq!(older.matches("<li id").count(), 1, "{older}");
    assert!(older.contains(&promotions[0]) && !older.contains("Stable tag"), "{older}");
    let (status, rollback) =
        app.rollback(&json!({ "to": "1", "confirm": "ROLLBACK", "reason": "500s <i>now</i>" }));
    assert_eq!(status, 202, "{rollback}");
    let page = console.get(&path).text();
    assert!(page.contains("Rollback of production to pin 1") && page.contains("500s &lt;i&gt;now"), "{page}");
    let rollback = rollback["id"].as_str().expect("an id");
    assert!(page.find(rollback) < page.find(&promotions[2]));
    let older = console.get(&format!("{path}?before={rollback}")).text();
    assert_eq!(older.matches("<li id").count(), 3, "{older}");
}

/// A person can copy the console's command and run it without changes.
#[test]
fn copied_console_command_rolls_back() {
    let app = Plan::new("console-back").create();
    let first = app.pin("main", &Spec::new("1"));
    app.pin("main", &Spec::new("2"));
    let page = Console::mint().get(&format!("/{}", app.plan.name)).text();
    let (_, command) =
        page.split_once("<textarea").and_then(|(_, rest)| rest.split_once('>')).expect("a command");
    let (command, _) = command.split_once("</textarea>").expect("its end");
    let command =
        command.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    assert_eq!(run(&command), 202);
    let pins = stablepin_tests::until("a third pin", || (app.pins().len() == 3).then(|| app.pins()));
    assert_eq!(pins[2], (3, first));
}

/// Runs the command in a shell that has AWS credentials. Returns the HTTP status of the response.
#[track_caller]
pub(crate) fn run(command: &str) -> u16 {
    let shell = Command::new("sh")
        .args(["-c", &format!("{command} --write-out '\\n%{{http_code}}'")])
        .envs(stack().variables())
        .env_remove("AWS_SESSION_TOKEN")
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&shell.stdout);
    let status = said.lines().last().and_then(|line| line.parse().ok());
    status.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&shell.stderr)))
}

#[test]
fn console_shows_running_pins_and_unreadable_services() {
    let app = Plan::new("console-live").services(["web"]).create();
    let first = app.push_runnable("main", &Spec::new("1"));
    app.approve(&first);
    let second = app.push_runnable("main", &Spec::new("2"));
    app.settled(&second);
    let service = app.service("web", &first);
    let console = Console::mint();
    let path = format!("/{}", app.plan.name);
    let page = console.get(&path).text();
    assert!(page.contains("/web</code>: pin 1 on 1 task"), "{page}");
    assert!(page.contains(">Stable<") && !page.contains(">Drift<"), "{page}");
    // A new ECS fake has no cluster, so the console cannot read the running images.
    let run =
        invoke_with_fakes(&EcsFake::start(), "api", &[], &crash::console(&console, &app.plan.name), None);
    let answer = run.answer.expect("the program answers");
    let unread = answer["body"].as_str().expect("a page");
    assert_eq!(answer["statusCode"], 200, "{answer}");
    assert!(unread.contains("/web</code>: <em>could not be read</em>"), "{unread}");
    assert!(unread.contains("Live not read") && !unread.contains(">Stable<"), "{unread}");

    service.deploy_by_hand(&second);
    let page = stablepin_tests::until("the drift on the page", || {
        let page = console.get(&path).text();
        page.contains(">Drift<").then_some(page)
    });
    assert!(page.contains("does not run pin 1"), "{page}");
    assert!(page.contains("Back to pin 1") && page.contains("&quot;stable&quot;"), "{page}");
}
