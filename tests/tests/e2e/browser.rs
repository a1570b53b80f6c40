//! The approval page in a real browser, at the width of a desktop and of a phone.

mod live;
mod states;

use stablepin_tests::browser::{Page, Width};
use stablepin_tests::{App, Link, Plan, until};
use xtask::image::Spec;

const WIDTHS: [Width; 2] = [Width::Desk, Width::Phone];

/// Asserts that the link's page shows the text on a desktop and on a phone, and that the page is
/// accessible.
#[track_caller]
fn is_seen(link: &Link, story: &str, state: &str, text: &str) {
    for width in WIDTHS {
        let page = Page::open(link, story, width);
        page.says(text);
        page.inspect(state);
    }
}

/// Runs ticks until every page shows the text without a reload.
#[track_caller]
fn come_to_say(app: &App, pages: &[&Page], text: &str) {
    until(&format!("{text:?} on every page"), || {
        app.tick();
        pages.iter().all(|page| page.reads(text)).then_some(())
    });
}

/// Creates an application and pushes one build. Returns the application, the digest and the lead's
/// link.
fn pushed(story: &str) -> (App, String, Link) {
    let app = Plan::new(story).create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    (app, digest, link)
}

#[test]
fn approver_at_a_desktop_reads_the_facts_and_approves() {
    approves(Width::Desk);
}

#[test]
fn approver_with_a_phone_reads_the_facts_and_approves() {
    approves(Width::Phone);
}

fn approves(width: Width) {
    let (app, digest, link) = pushed("page-approve");
    let page = Page::open(&link, "approve", width);
    page.says(&format!("Approve {} for production?", app.plan.name));
    assert_eq!(page.fact("Digest"), digest);
    assert_eq!(page.fact("Replaces"), "nothing (this would be the first pin)");
    assert_eq!(
        Some(page.fact("Build").as_str()),
        app.build(&digest).unwrap_or_default()["build_tag"].as_str()
    );
    page.inspect("question");

    page.write("Code", "000-000");
    page.click("Approve");
    page.says("4 more wrong codes");
    page.inspect("wrong-code");
    assert_eq!(app.pins(), []);
    page.write("Code", &link.code);
    page.click("Approve");
    page.says("It is pin 1 of production.");
    page.inspect("approved");
    assert_eq!(app.pins(), [(1, digest)]);

    let again = Page::open(&link, "approve", width);
    again.says("You approved it on");
    assert_eq!(again.status(), 409);
    again.inspect("used");
}

#[test]
fn approver_at_a_desktop_rejects_and_gives_a_reason() {
    rejects(Width::Desk);
}

#[test]
fn approver_with_a_phone_rejects_and_gives_a_reason() {
    rejects(Width::Phone);
}

fn rejects(width: Width) {
    let (app, _, link) = pushed("page-reject");
    let page = Page::open(&link, "reject", width);
    page.write("Code", &link.code);
    page.click("Reject");
    page.says("Your decision was not saved");
    assert_eq!(page.status(), 400);
    page.inspect("why");

    page.write("Code", &link.code);
    page.write("Reason", "breaks the <login> page");
    page.click("Reject");
    page.says("It is not promoted");
    page.inspect("rejected");
    let (state, reason) = app.ended(link.promotion());
    assert_eq!(state, "Cancelled");
    assert_eq!(reason, format!("rejected by {}: breaks the <login> page", app.approver("lead")));

    let again = Page::open(&link, "reject", width);
    again.says("breaks the <login> page");
    again.inspect("used");
}

#[test]
fn approval_page_needs_no_mouse() {
    let (_app, _, link) = pushed("page-keyboard");
    let page = Page::open(&link, "keyboard", Width::Desk);
    page.says("Approve");
    for name in ["Code", "Reason", "Approve", "Reject"] {
        let focus = page.tab();
        assert_eq!(focus.name, name);
        assert!(focus.is_visible, "{name} shows that it has the focus");
    }
}

#[test]
fn unknown_link_opens_a_not_found_page() {
    let (_app, _, link) = pushed("page-unknown");
    let unknown = link.with_token("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    for width in WIDTHS {
        let page = Page::open(&unknown, "unknown", width);
        page.says("This link is not known");
        assert_eq!(page.status(), 404);
        page.inspect("page");
    }
}

#[test]
fn page_of_a_superseded_build_names_the_later_pin() {
    let (app, first, link) = pushed("page-later");
    let later = app.push_after(&first, &Spec::new("2"));
    app.approve(&later);
    app.ended(link.promotion());
    is_seen(&link, "superseded", "page", "superseded: a later build became pin 1");
}
