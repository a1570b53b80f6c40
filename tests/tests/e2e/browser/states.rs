//! States of the approval page other than approval, rejection and progress.

use serde_json::json;
use stablepin_tests::browser::{Page, Width};
use stablepin_tests::crash::{decision, invoke};
use stablepin_tests::{Link, Plan, until};
use xtask::image::Spec;

use super::{WIDTHS, come_to_say, is_seen, pushed};

#[test]
fn page_of_a_withdrawn_promotion_shows_the_reason() {
    let (app, _, link) = pushed("page-withdrawn");
    let path = format!("/promotions/{}/withdraw", link.promotion());
    assert_eq!(app.api("POST", &path, Some(&json!({ "reason": "wrong branch" }))).0, 200);
    is_seen(&link, "withdrawn", "page", "wrong branch");
}

#[test]
fn page_shows_that_a_promotion_expired_even_before_a_tick() {
    let (app, digest, link) = pushed("page-expired");
    app.settled(&digest);
    let sk = format!("PROMOTION#{}", link.promotion());
    app.rewrite(&sk, "record.operation.work.Promotion.expires_at", "2026-01-01T00:00:00Z");
    let page = Page::open(&link, "expired", Width::Desk);
    page.says("The promotion expired on 2026-01-01 00:00 UTC: push again, or request it again.");
    page.inspect("not-ended-yet");
    // The promotion becomes due, so the next tick finds that the promotion has expired.
    app.pause_ends(link.promotion());
    come_to_say(&app, &[&page], "Expired: nobody decided in time.");
    is_seen(&link, "expired", "ended", "Expired: nobody decided in time.");
}

/// Five wrong codes disable one link only. A newer mail replaces the disabled link. The link of a
/// removed approver is invalid.
#[test]
fn pages_of_disabled_and_replaced_links_show_the_reason() {
    let plan = Plan::new("page-burnt").approvers(["lead", "deputy"], 1);
    let app = plan.clone().create();
    let digest = app.push("main", &Spec::new("1"));
    app.settled(&digest);
    let links = ["lead", "deputy"].map(|name| app.link_of(name, &digest));
    for (link, width) in links.iter().zip(WIDTHS) {
        (0..4).for_each(|_| assert_eq!(link.with_code("000-000").approve().status, 422));
        let page = Page::open(link, "burnt", width);
        page.write("Code", "000-000");
        page.click("Approve");
        page.says("Too many wrong codes were tried with this link");
        assert_eq!(page.status(), 410);
        page.inspect("page");
    }
    let [lead, deputy] = &links;
    until("a newer mail", || {
        app.tick();
        (app.mails("lead").len() == 2).then_some(())
    });
    is_seen(lead, "replaced", "page", &format!("A newer link was mailed to {}", app.approver("lead")));
    let newest = app.mails("lead").pop().map(|mail| Link::of(&mail)).expect("a mail");
    assert_eq!(newest.get().status, 200, "the newer link still works");

    let mut without = plan;
    without.approvers.retain(|name| !name.starts_with("deputy"));
    assert_eq!(app.put(&without.toml()).status, 200);
    is_seen(deputy, "removed", "page", "You are no longer an approver");
}

#[test]
fn page_asks_only_for_input_that_the_approval_step_requires() {
    let app = Plan::new("page-typed").approved_with("step = \"type\"").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    for (width, left) in WIDTHS.into_iter().zip([true, false]) {
        let page = Page::open(&link, "typed", width);
        page.write("The environment's name", "staging");
        page.inspect("question");
        page.click("Approve");
        page.says("Type the environment's name, production, to decide.");
        page.inspect("wrong");
        if !left {
            page.write("The environment's name", "production");
            page.click("Approve");
            page.says("It is pin 1 of production.");
        }
    }
    assert_eq!(app.pins(), [(1, digest)]);

    let app = Plan::new("page-none").approved_with("step = \"none\"").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    is_seen(&link, "nothing-typed", "question", "Approve");
    let page = Page::open(&link, "nothing-typed", Width::Phone);
    page.click("Approve");
    page.says("It is pin 1 of production.");
    assert_eq!(app.pins(), [(1, digest)]);
}

/// The Lambda function cannot read the promotion's record for a while. The error page shows an id,
/// by which an operator can find the log entry of the error.
#[test]
fn error_page_shows_the_id_of_its_log_entry() {
    let (app, digest, link) = pushed("page-error");
    app.settled(&digest);
    let sk = format!("PROMOTION#{}", link.promotion());
    let state = "record.operation.work.Promotion.state";
    app.rewrite(&sk, state, "Unheard");
    for width in WIDTHS {
        let page = Page::open(&link, "error", width);
        page.says("That did not work");
        assert_eq!(page.status(), 500);
        page.inspect("page");
    }
    let text = link.approve().text();
    let id = text.split_once("<code>").and_then(|(_, rest)| rest.split_once("</code>")).expect("an id").0;
    until("the id in the log", || {
        let logs = xtask::secrets::logs(&app.aws).ok()?;
        logs.iter().any(|(_, log)| log.contains(id)).then_some(())
    });
    app.rewrite(&sk, state, "Pending");
    assert_eq!(link.approve().status, 200, "the error decided nothing");
}

/// API Gateway has no route for PUT, so the test runs the Lambda function's program directly.
#[test]
fn page_refuses_methods_other_than_get_and_post() {
    let (_app, _, link) = pushed("page-method");
    let mut event = decision(&link, "approve", "");
    event["routeKey"] = json!("PUT /decide/{application}/{environment}/{promotion}");
    event["requestContext"]["http"]["method"] = json!("PUT");
    let answer = invoke("approval", &event, None).answer.expect("the function was not killed");
    for width in WIDTHS {
        let page = Page::answered(&answer, "method", width);
        page.says("This page accepts GET and POST only.");
        assert_eq!(page.status(), 405);
        page.inspect("page");
    }
}

/// Covers an unknown requester, an approver's own request, and facts that changed after the page
/// was opened.
#[test]
fn four_eyes_rule_and_changed_facts_prevent_an_approval() {
    let plan = Plan::new("page-eyes").approvers(["lead", "deputy"], 1).who_sign();
    let app = plan.approved_with("four_eyes = \"strict\"").create();
    let digest = app.push("main", &Spec::new("1"));
    app.settled(&digest);
    let [lead, deputy] = ["lead", "deputy"].map(|name| app.link_of(name, &digest));
    is_seen(&deputy, "requester-unknown", "page", "t is not known who pushed this");
    let signer = app.signs_as("lead");
    let ask = json!({ "digest": digest });
    let (status, _) = app.api_as(&signer, "POST", "/environments/production/promotions", Some(&ask));
    assert_eq!(status, 202);
    is_seen(&lead, "own-request", "page", "requested this promotion or pushed the image");

    for width in WIDTHS {
        let page = Page::open(&deputy, "changed", width);
        let reason = format!("on {width:?}");
        app.api("PUT", "/environments/production/freeze", Some(&json!({ "reason": reason })));
        page.write("Code", &deputy.code);
        page.click("Approve");
        page.says("has changed");
        page.inspect("page");
        app.api("DELETE", "/environments/production/freeze", None);
    }
    assert_eq!(app.pins(), []);
}
