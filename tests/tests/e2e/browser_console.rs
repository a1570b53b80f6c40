//! The console in a real browser, at the width of a desktop and of a phone.

use stablepin_tests::browser::{Page, Width};
use stablepin_tests::{App, Console, Plan, stack, until};
use xtask::image::Spec;

use crate::console::{beginning_with, run};
use serde_json::json;

/// Creates an application with two pins, a rejected build and a build that waits for approval.
/// Returns the application and the digest of the second pin.
fn busy(story: &str) -> (App, String) {
    let app = Plan::new(story).services(["web"]).create();
    let first = app.push_runnable("main", &Spec::new("1"));
    app.approve(&first);
    let second = app.push_runnable("main", &Spec::new("2"));
    app.approve(&second);
    let third = app.push_after(&second, &Spec::new("3"));
    app.link(&third).reject("breaks the <login> page");
    let fourth = app.push_after(&third, &Spec::new("4"));
    app.settled(&fourth);
    (app, second)
}

#[test]
fn on_a_desktop_the_console_rollback_command_repairs_drift() {
    command_repairs_drift(Width::Desk);
}

#[test]
fn on_a_phone_the_console_rollback_command_repairs_drift() {
    command_repairs_drift(Width::Phone);
}

fn command_repairs_drift(width: Width) {
    let (app, second) = busy("console");
    let service = app.service("web", &second);
    let console = Console::mint();
    let page = Page::at(&console.url(), "console", width);
    page.says("Applications");
    assert_eq!(
        page.address(),
        format!("{}/console", stack().api()),
        "the address does not contain the secret"
    );

    page.go(&format!("{}/console{}", stack().api(), beginning_with(&app)));
    page.says(&app.plan.name);
    page.says("1 pending");
    page.inspect("overview");
    page.click(&app.plan.name);
    page.says("Builds, promotions, pins and rollbacks");
    page.says("pin 2 on 1 task");
    page.says("breaks the <login> page");
    page.inspect("application");

    let first = app.pins()[0].1.clone();
    service.deploy_by_hand(&first);
    let freeze = json!({ "reason": "no releases until Monday" });
    assert_eq!(app.api("PUT", "/environments/production/freeze", Some(&freeze)).0, 200);
    page.go(&format!("{}/console/{}", stack().api(), app.plan.name));
    page.says("Drift");
    page.inspect("drift");
    assert_eq!(run(&page.field("Back to pin 2, in a shell with your AWS credentials")), 202);
    until("the rollback on the page", || {
        app.tick();
        Console::of(&console.token)
            .get(&format!("/{}", app.plan.name))
            .text()
            .contains("to pin 2<i> Completed</i>")
            .then_some(())
    });
    page.go(&format!("{}/console/{}", stack().api(), app.plan.name));
    page.says("Rollback of production to pin 2");
    page.inspect("rolled-back");
}

#[test]
fn invalid_console_link_shows_how_to_mint_a_new_link() {
    for width in [Width::Desk, Width::Phone] {
        let unknown = Console::of("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        let page = Page::at(&unknown.url(), "console-refused", width);
        page.says("This link does not open the console");
        assert_eq!(page.status(), 404);
        page.inspect("page");
        assert_eq!(run(&page.field("A new link, in a shell with your AWS credentials")), 201);
    }
}

#[test]
fn console_needs_no_mouse() {
    let app = Plan::new("console-keys").create();
    app.pin("main", &Spec::new("1"));
    app.pin("main", &Spec::new("2"));
    let page = Page::at(&Console::mint().url(), "console-keyboard", Width::Desk);
    page.says("Applications");
    page.go(&format!("{}/console/{}", stack().api(), app.plan.name));
    page.says("Roll back to pin 1");
    for name in ["Stablepin console", "Roll back to pin 1"] {
        let focus = page.tab();
        assert!(focus.name.starts_with(name) && focus.is_visible, "{focus:?}");
    }
    page.press_enter();
    let focus = page.tab();
    assert!(focus.name.starts_with("Back to pin 1") && focus.is_visible, "{focus:?}");
}
