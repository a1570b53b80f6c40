//! Hostile text in pushes and reasons. Every output shows such text as plain text.

use serde_json::{Value, json};
use stablepin_tests::browser::{Page, Width};
use stablepin_tests::{Plan, until};
use xtask::image::Spec;

/// Returns a long text with HTML, a mail header, a terminal escape, a reversed reading direction
/// and a chat mention.
fn hostile(about: &str) -> String {
    let words = "</p><script>alert(1)</script>\r\nBcc: all@example.com\r\n\u{1b}[31m\u{202e}<!channel>";
    format!("{about} {words} {}", "x".repeat(300))
}

/// Asserts that the text has no control character, no change of the reading direction and no
/// injected header.
#[track_caller]
fn is_inert(text: &str) {
    let bad = |c: &char| {
        (c.is_control() && *c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert_eq!(text.chars().find(bad), None, "{text:?}");
    assert!(!text.lines().any(|line| line.trim_start().starts_with("Bcc:")), "{text}");
}

#[test]
fn every_output_shows_hostile_text_as_plain_text() {
    let app = Plan::new("hostile").create();
    let freeze = json!({ "reason": hostile("freeze") });
    assert_eq!(app.api("PUT", "/environments/production/freeze", Some(&freeze)).0, 200);
    // No tag can be more hostile: a registry refuses other characters.
    let tag = format!("main-{}", "x_.-".repeat(30));
    let label = |name: &str| (name.to_owned(), hostile(name));
    let mut spec = Spec::new("1").revision(&hostile("commit"));
    for (name, value) in ["org.opencontainers.image.version", "org.opencontainers.image.authors"].map(label) {
        spec = spec.label(&name, &value);
    }
    let digest = app.push(&tag, &spec);
    let link = app.link(&digest);
    app.settled(&digest);

    let mail = app.mails("lead").pop().expect("a mail");
    assert!(mail.subject.is_ascii() && mail.subject.len() < 100 && !mail.subject.contains('\n'));
    is_inert(&mail.subject);
    is_inert(&mail.body);
    assert!(mail.body.contains("freeze </p><script>alert(1)</script> Bcc:"), "as text: {}", mail.body);
    assert!(mail.body.contains(&tag));
    // `cargo xtask inbox` prints the mail in this form.
    is_inert(&mail.to_string());

    for width in [Width::Desk, Width::Phone] {
        let page = Page::open(&link, "hostile", width);
        page.says("(freeze </p><script>alert(1)</script> Bcc: all@example.com");
        page.inspect("question");
    }
    let page = Page::open(&link, "hostile", Width::Phone);
    page.write("Code", &link.code);
    page.write("Reason", &hostile("reason"));
    page.click("Reject");
    page.says("reason </p><script>alert(1)</script>");
    page.inspect("rejected");
    is_inert(&link.get().text());
    is_inert(&link.status().text());

    let (status, promotion) = app.api("GET", &format!("/promotions/{}", link.promotion()), None);
    assert_eq!(status, 200);
    let audit = Value::from(app.audit());
    let environment = app.environment();
    let mut said = Vec::new();
    for json in [&promotion, &audit, &environment] {
        texts(json, &mut said);
    }
    assert!(said.iter().any(|text| text.contains("reason </p><script>")), "{said:?}");
    assert!(said.iter().any(|text| text.contains("freeze </p><script>")), "{said:?}");
    said.into_iter().for_each(is_inert);

    let logs = until("the tagger's line in the logs", || {
        let logs = xtask::secrets::logs(&app.aws).ok()?;
        let logs: String = logs.into_iter().map(|(_, text)| text).collect();
        logs.contains(&digest).then_some(logs)
    });
    is_inert(&logs.replace('\t', " "));
    assert!(!logs.contains("alert(1)"), "the logs contain no text that people write");
}

/// Collects every string in the JSON value.
fn texts<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
        Value::Object(members) => members.values().for_each(|value| texts(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
