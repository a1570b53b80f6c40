//! The approval page after a vote: the page updates without a reload.

use serde_json::json;
use stablepin_tests::browser::{Page, Width};
use stablepin_tests::{App, Plan};
use xtask::image::{Mode, Spec};

use super::{come_to_say, is_seen};

/// Approves as the lead on a desktop, opens the deputy's link on a phone, and returns the two open
/// pages.
#[track_caller]
fn approved(app: &App, digest: &str, story: &str) -> [Page; 2] {
    let link = app.link(digest);
    let lead = Page::open(&link, story, Width::Desk);
    lead.write("Code", &link.code);
    lead.click("Approve");
    lead.says("You approved it on");
    let deputy = Page::open(&app.link_of("deputy", digest), story, Width::Phone);
    deputy.says(&format!("{} approved it on", app.approver("lead")));
    [lead, deputy]
}

/// The release and the rollback start real containers.
#[test]
fn page_shows_release_and_rollback_without_reload() {
    let plan = Plan::new("page-live").approvers(["lead", "deputy"], 1).services(["web"]);
    // The bake time gives the test enough time to inspect the pages.
    let app = plan.deployed("bake = \"5s\"").create();
    let old = app.push_runnable("by-hand", &Spec::new("before"));
    let service = app.service("web", &old);

    let good = app.push_runnable("main", &Spec::new("1"));
    let pages = approved(&app, &good, "live");
    let [lead, deputy] = &pages;
    let loads = [lead.loads(), deputy.loads()];
    come_to_say(&app, &[lead, deputy], "must stay healthy until");
    assert_eq!(app.pins(), []);
    for page in &pages {
        page.inspect("bakes");
    }
    come_to_say(&app, &[lead, deputy], "It is pin 1 of production.");
    for page in &pages {
        assert!(page.reads("every running task runs this digest") && page.reads("1 of 1 services"));
        page.inspect("completed");
    }
    assert_eq!(service.running(), std::slice::from_ref(&good));
    assert_eq!([lead.loads(), deputy.loads()], loads, "no page was loaded again");
    drop(pages);

    let bad = app.push_runnable("main", &Spec::new("2").mode(Mode::Crash));
    let pages = approved(&app, &bad, "live");
    let [lead, deputy] = &pages;
    let loads = [lead.loads(), deputy.loads()];
    come_to_say(&app, &[lead, deputy], "Release failed, rolling back");
    for page in &pages {
        page.inspect("goes-back");
    }
    come_to_say(&app, &[lead, deputy], "Release failed, rolled back");
    for page in &pages {
        page.inspect("rolled-back");
    }
    service.runs(&good);
    assert_eq!([lead.loads(), deputy.loads()], loads, "no page was loaded again");

    // The next approval page says that the environment is held and that an approval releases the
    // hold.
    let fix = app.push_runnable("main", &Spec::new("3"));
    is_seen(&app.link(&fix), "live", "held", "Your approval releases the hold.");
}

/// The page shows the freeze before the vote, the wait after the vote, and the pin after the
/// freeze. One page runs without scripts.
#[test]
fn page_shows_a_freeze_before_and_after_the_approval() {
    let app = Plan::new("page-freeze").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    app.api("PUT", "/environments/production/freeze", Some(&json!({ "reason": "the <autumn> sale" })));
    is_seen(&link, "frozen", "question", "If you approve, the build waits until the freeze ends.");

    let quiet = Page::open_without_scripts(&link, "frozen-without-scripts", Width::Phone);
    quiet.write("Code", &link.code);
    quiet.click("Approve");
    quiet.says("waits: production is frozen (the <autumn> sale)");
    let desk = Page::open(&link, "frozen", Width::Desk);
    let phone = Page::open(&link, "frozen", Width::Phone);
    for page in [&desk, &phone] {
        page.says("It waits: production is frozen (the <autumn> sale).");
        page.inspect("approved");
    }
    quiet.inspect("approved");
    assert_eq!(app.pins(), []);

    app.api("DELETE", "/environments/production/freeze", None);
    app.pause_ends(link.promotion());
    come_to_say(&app, &[&desk, &phone], "It is pin 1 of production.");
    assert_eq!([desk.loads(), phone.loads()], [1, 1], "the pages update without a reload");
    assert!(quiet.reads("production is frozen"), "without scripts the page does not update itself");
    quiet.click("Reload");
    quiet.says("It is pin 1 of production.");
    quiet.inspect("pinned");
}

/// The environment needs two approvals. The first approver's page shows that one approval is
/// missing, the second approver's page shows the first vote, and the third approver's page shows
/// the result.
#[test]
fn page_shows_votes_while_a_promotion_needs_two_approvals() {
    let app = Plan::new("page-quorum").approvers(["lead", "deputy", "third"], 2).create();
    let digest = app.push("main", &Spec::new("1"));
    let [lead, deputy, third] = ["lead", "deputy", "third"].map(|name| app.link_of(name, &digest));
    assert_eq!(lead.approve().status, 200);
    let desk = Page::open(&lead, "quorum", Width::Desk);
    let phone = Page::open(&lead, "quorum", Width::Phone);
    for page in [&desk, &phone] {
        page.says("1 more approval is needed.");
        page.inspect("waits-for-more");
    }
    let others = format!("Approved so far by {}: 1 of 2 needed.", app.approver("lead"));
    is_seen(&deputy, "quorum", "question-to-the-second", &others);

    assert_eq!(deputy.approve().status, 200);
    for page in [&desk, &phone] {
        page.says("It is pin 1 of production.");
        assert_eq!(page.loads(), 1, "the page updates without a reload");
    }
    is_seen(&third, "quorum", "decided-by-others", &format!("{} approved it on", app.approver("deputy")));
}
