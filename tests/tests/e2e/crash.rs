//! Rules 2 and 6: a tick finishes the work of an invocation that was killed at any request, and a
//! single fault of AWS causes no damage.
//!
//! The real programs of the Lambda functions run against the ECR fake. The application deploys to
//! no service: [`super::faults`] tests services. One test runs the deployed Lambda functions. In
//! that test, a tick can continue only after the lease of the killed invocation has expired.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stablepin_tests::crash::{Fault, ProgramRun, decision, invoke};
use stablepin_tests::faults::{ANSWERS, KILLS, everywhere};
use stablepin_tests::{App, Plan, Release, Seed, until};
use xtask::image::Spec;

fn status(run: &ProgramRun) -> Option<u64> {
    run.answer.as_ref().and_then(|answer| answer["statusCode"].as_u64())
}

/// Asserts that the build was pinned once, that the stable tag refers to the build, and that each
/// change has one audit record.
#[track_caller]
fn is_pinned_once(app: &App, digest: &str, what: &str) {
    assert_eq!(app.pins(), [(1, digest.to_owned())], "{what}");
    assert_eq!(app.tag("prod-stable").as_deref(), Some(digest), "{what}");
    assert_eq!(app.audited("Pin Change"), ["- → 1"], "{what}");
    let changes = ["- → Pending", "Pending → Pending", "Pending → InProgress", "InProgress → Completed"];
    assert_eq!(app.audited("Promotion State Change"), changes, "{what}");
    assert_eq!(app.environment()["applied"], 1, "{what}");
}

fn is_completed(app: &App) -> bool {
    app.promotions().iter().all(|promotion| promotion["state"] == "Completed")
}

/// Approves a build while one request fails. Returns whether the fault happened.
fn approved(number: usize, fault: Fault) -> bool {
    let release = Release::pin_1();
    let run = release.approve(Some((number, fault)));
    let what = format!("{number} {fault:?}: {:?}", run.requests);
    let app = &release.app;
    if run.answer.is_some() {
        assert!(matches!(status(&run), Some(200 | 409)), "{what}: {run:?}");
    } else {
        // An approver who got no response opens the page again and approves again.
        let decided = !app.pins().is_empty();
        if !decided {
            assert_eq!(app.promotions()[0]["votes"], json!({}), "{what}");
        }
        let again = release.approve(None);
        assert_eq!(status(&again), Some(if decided { 409 } else { 200 }), "{what}: {again:?}");
    }
    app.ticks_until(&what, is_completed);
    is_pinned_once(app, &release.digest, &what);
    run.hit
}

#[test]
fn tick_finishes_an_approval_killed_at_any_request() {
    everywhere(|_| KILLS.to_vec(), approved);
}

#[test]
fn approval_survives_any_single_aws_fault() {
    everywhere(|_| ANSWERS.to_vec(), approved);
}

/// Returns the saved state of an application to which no build was pushed.
fn unpushed() -> &'static Seed {
    static BEGUN: OnceLock<Seed> = OnceLock::new();
    BEGUN.get_or_init(|| Seed::of(&Plan::new("crash-push").create_with_fakes()))
}

/// Pushes a build while one request fails. Returns whether the fault happened.
fn pushed(number: usize, fault: Fault) -> bool {
    let app = unpushed().copy(&[]);
    let digest = app.push_unheard("main", &Spec::new("1"));
    let event = app.ecr().events().pop().expect("a push event");
    let run = app.invoke(None, "tagger", &event, Some((number, fault)));
    let what = format!("{number} {fault:?}: {:?}", run.requests);
    if run.answer.is_none() {
        app.deliver(&event); // Lambda retries.
    }
    app.ticks_until(&what, App::everybody_is_asked);
    assert_eq!(app.promotions().len(), 1, "{what}");
    assert_eq!(app.audited("Promotion State Change"), ["- → Pending"], "{what}");
    let name = app.build_tag(&digest);
    assert_eq!(app.tag(&name).as_ref(), Some(&digest), "{what}");
    // If the tagger was killed after it sent a mail and before it recorded the mail, Stablepin
    // sends a second mail. Only the link in the second mail works.
    assert!((1..=2).contains(&app.mails("lead").len()), "{what}");
    app.approve(&digest);
    assert_eq!(app.pins(), [(1, digest.clone())], "{what}");
    assert_eq!(app.tags(&digest), ["main", "prod-stable", &name], "{what}");
    run.hit
}

#[test]
fn approver_gets_mail_if_the_tagger_is_killed_at_any_request() {
    everywhere(|_| KILLS.to_vec(), pushed);
}

/// Requests a rollback while one request fails. Returns whether the fault happened.
fn asked_back(number: usize, fault: Fault) -> bool {
    let release = Release::back(&[]);
    let run = release.ask_back("1", Some((number, fault)));
    let what = format!("{number} {fault:?}: {:?}", run.requests);
    let app = &release.app;
    if app.items("ROLLBACK#").is_empty() {
        assert_eq!(status(&release.ask_back("1", None)), Some(202), "{what}");
    }
    app.ticks_until(&what, |_| release.record()["state"] == "Completed");
    assert_eq!(app.pins().pop(), Some((3, release.digest.clone())), "{what}");
    assert_eq!(app.tag("prod-stable").as_ref(), Some(&release.digest), "{what}");
    assert_eq!(app.audited("Pin Change"), ["- → 1", "1 → 2", "2 → 3"], "{what}");
    let changes = app.audited("Rollback State Change");
    assert_eq!(changes.last().map(String::as_str), Some("InProgress → Completed"), "{what}");
    assert_eq!(app.environment()["slot"], Value::Null, "{what}");
    run.hit
}

#[test]
fn tick_finishes_a_rollback_killed_at_any_request() {
    everywhere(|_| KILLS.to_vec(), asked_back);
}

/// The time within which a tick must finish the work of a killed invocation. The lease expires some
/// seconds after the invocation's time limit.
const UNTIL_A_TICK_MAY: Duration = Duration::from_secs(40);

#[test]
fn deployed_promoter_puts_the_tag_after_a_killed_approval() {
    let approve_with = |fault| {
        let app = Plan::new("crash").create();
        let digest = app.push("main", &Spec::new("1"));
        let run = invoke("approval", &decision(&app.link(&digest), "approve", "tried it"), fault);
        (app, digest, run)
    };
    let (app, digest, undisturbed) = approve_with(None);
    assert_eq!(status(&undisturbed), Some(200));
    is_pinned_once(&app, &digest, "undisturbed");
    let tag = undisturbed.requests.iter().position(|request| request == "PutImage").expect("a tag is put");

    let (app, digest, run) = approve_with(Some((tag + 1, Fault::KillBefore)));
    let what = format!("{:?}", run.requests);
    assert!(run.hit, "{what}");
    assert_eq!((app.pins().len(), app.tag("prod-stable")), (1, None), "{what}");
    let deadline = Instant::now() + UNTIL_A_TICK_MAY;
    until("the end of the promotion", || {
        assert!(Instant::now() < deadline, "no tick has finished {:#?}", app.promotions());
        app.tick();
        is_completed(&app).then_some(())
    });
    is_pinned_once(&app, &digest, &what);
}
