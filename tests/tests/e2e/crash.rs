//! Rule 2: cut off anywhere, and the next tick finishes it; nobody repairs by hand. Rule 6: whatever AWS answers.
//!
//! The function's real program runs, its requests to AWS are numbered, and at each of them in turn something goes
//! wrong, until a run has fewer requests than that.

use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};
use stablepin_tests::crash::{Fault, Run, decision, invoke, rollback};
use stablepin_tests::{App, Link, Plan, until};
use xtask::image::Spec;

/// A lease outlives the invocation that took it by some seconds.
const UNTIL_A_TICK_MAY: Duration = Duration::from_secs(40);

/// What one of the runs was about.
struct Case {
    app: App,
    digest: String,
    link: Option<Link>,
    what: String,
    run: Run,
}

/// Runs `story` undisturbed, then with each fault at each of its requests, side by side.
fn everywhere(faults: &[Fault], story: impl Fn(Option<(usize, Fault)>) -> Case + Sync) -> Vec<Case> {
    let undisturbed = story(None);
    let count = undisturbed.run.requests.len();
    assert!(count > 0);
    let cases = (1..=count + 1).flat_map(|number| faults.iter().map(move |fault| Some((number, *fault))));
    let story = &story;
    let mut all: Vec<Case> = thread::scope(|scope| {
        let runs: Vec<_> = cases.map(|case| scope.spawn(move || story(case))).collect();
        runs.into_iter().map(|run| run.join().expect("a run")).collect()
    });
    let (beyond, within): (Vec<&Case>, Vec<&Case>) =
        all.iter().partition(|case| case.what.starts_with(&format!("{} ", count + 1)));
    assert!(beyond.iter().any(|case| !case.run.hit), "{:?}", undisturbed.run.requests);
    for case in within {
        assert!(case.run.hit, "{}: {:?}", case.what, case.run.requests);
    }
    all.push(undisturbed);
    all
}

fn named(fault: Option<(usize, Fault)>) -> String {
    fault.map_or("undisturbed".to_owned(), |(number, fault)| format!("{number} {fault:?}"))
}

fn approved(fault: Option<(usize, Fault)>) -> Case {
    let app = Plan::new("crash").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    let run = invoke("approval", &decision(&link, "approve", "tried it"), fault);
    Case { app, digest, link: Some(link), what: named(fault), run }
}

/// Ticks until all of them have ended.
fn finish(cases: &[Case], has_ended: impl Fn(&Case) -> bool) {
    let deadline = Instant::now() + UNTIL_A_TICK_MAY;
    until("all of them have ended", || {
        cases[0].app.tick();
        let open: Vec<_> = cases.iter().filter(|case| !has_ended(case)).collect();
        if Instant::now() > deadline {
            let told =
                |case: &&Case| format!("{}: {:?}, {:?}", case.what, case.run.requests, case.app.promotions());
            panic!("no tick has finished {:#?}", open.iter().map(told).collect::<Vec<_>>());
        }
        open.is_empty().then_some(())
    });
}

fn status(run: &Run) -> Option<u64> {
    run.answer.as_ref().and_then(|answer| answer["statusCode"].as_u64())
}

/// Pinned once, tagged, audited once for each change.
fn is_pinned_once(case: &Case) {
    let Case { app, digest, what, run, .. } = case;
    let told = || format!("{what}: {:?}", run.requests);
    assert_eq!(app.pins(), [(1, digest.clone())], "{}", told());
    assert_eq!(app.tag("prod-stable").as_ref(), Some(digest), "{}", told());
    assert_eq!(app.audited("Pin Change"), ["- → 1"], "{}", told());
    let changes = ["- → Pending", "Pending → Pending", "Pending → InProgress", "InProgress → Completed"];
    assert_eq!(app.audited("Promotion State Change"), changes, "{}", told());
    assert_eq!(app.environment()["applied"], 1, "{}", told());
}

fn is_completed(case: &Case) -> bool {
    case.app.promotions().iter().all(|promotion| promotion["state"] == "Completed")
}

#[test]
fn a_decision_that_is_killed_at_any_request_is_finished_by_a_tick() {
    let cases = everywhere(&[Fault::KillBefore, Fault::KillAfter], approved);
    let mut cut_off = 0;
    for case in &cases {
        // Whoever was told nothing looks again, and clicks again if nothing was decided.
        let link = case.link.as_ref().expect("a link");
        if case.app.pins().is_empty() {
            assert_eq!(case.app.promotions()[0]["votes"], Value::Object(Default::default()), "{}", case.what);
            assert_eq!(link.approve().status, 200, "{}", case.what);
        } else {
            cut_off += usize::from(case.app.tag("prod-stable").is_none());
            assert_eq!(link.approve().status, 409, "{}", case.what);
        }
    }
    assert!(cut_off > 0, "some were killed between the pin's transaction and its tag");
    finish(&cases, is_completed);
    cases.iter().for_each(is_pinned_once);
}

#[test]
fn a_decision_gets_through_whatever_aws_answers_once() {
    let faults = [Fault::Throttle, Fault::Fail, Fault::ResetBefore, Fault::ResetAfter];
    let cases = everywhere(&faults, approved);
    for case in &cases {
        assert!(matches!(status(&case.run), Some(200 | 409)), "{}: {:?}", case.what, case.run);
    }
    finish(&cases, is_completed);
    cases.iter().for_each(is_pinned_once);
}

fn pushed(fault: Option<(usize, Fault)>) -> Case {
    let app = Plan::new("crash-push").create();
    let digest = app.push("quiet", &Spec::new("1"));
    let event = app.push_event("main", &digest, Timestamp::now());
    let run = invoke("tagger", &event, fault);
    if run.answer.is_none() {
        app.deliver(&event); // Lambda tries again
    }
    Case { app, digest, link: None, what: named(fault), run }
}

#[test]
fn a_push_that_is_cut_off_at_any_request_still_asks_its_approver() {
    let cases = everywhere(&[Fault::KillBefore, Fault::KillAfter], pushed);
    finish(&cases, |case| {
        let promotions = case.app.promotions();
        promotions
            .iter()
            .all(|promotion| promotion["asked"].as_object().is_some_and(|asked| asked.len() == 1))
    });
    for Case { app, digest, what, .. } in &cases {
        assert_eq!(app.promotions().len(), 1, "{what}");
        assert_eq!(app.audited("Promotion State Change"), ["- → Pending"], "{what}");
        let name = app.build(digest).expect("a build")["build_tag"].as_str().expect("a tag").to_owned();
        assert_eq!(app.tag(&name).as_ref(), Some(digest), "{what}");
        // A mail that was sent and not noted is sent again; its link is the one that counts.
        assert!((1..=2).contains(&app.mails("lead").len()), "{what}");
        app.approve(digest);
        assert_eq!(app.pins(), [(1, digest.clone())], "{what}");
    }
}

fn asked_back(fault: Option<(usize, Fault)>) -> Case {
    let app = Plan::new("crash-back").create();
    let digest = app.pin("main", &Spec::new("1"));
    app.pin("main", &Spec::new("2"));
    let run = invoke("rollback", &rollback(&app.plan.name, &back_to_1()), fault);
    Case { app, digest, link: None, what: named(fault), run }
}

fn back_to_1() -> Value {
    json!({ "to": 1, "confirm": "ROLLBACK", "reason": "500s" })
}

#[test]
fn a_rollback_that_is_killed_at_any_request_is_finished_by_a_tick_or_was_never_begun() {
    let cases = everywhere(&[Fault::KillBefore, Fault::KillAfter], asked_back);
    for case in cases.iter().filter(|case| case.app.items("ROLLBACK#").is_empty()) {
        assert_eq!(case.app.rollback(&back_to_1()).0, 202, "{}", case.what);
    }
    finish(&cases, |case| {
        let operation = case.app.items("ROLLBACK#").pop().unwrap_or_default();
        operation["record"]["operation"]["work"]["Rollback"]["state"] == "Completed"
    });
    for Case { app, digest, what, run, .. } in &cases {
        let told = || format!("{what}: {:?}", run.requests);
        assert_eq!(app.pins().pop(), Some((3, digest.clone())), "{}", told());
        assert_eq!(app.tag("prod-stable").as_ref(), Some(digest), "{}", told());
        assert_eq!(app.audited("Pin Change"), ["- → 1", "1 → 2", "2 → 3"], "{}", told());
        assert_eq!(
            app.audited("Rollback State Change").last().map(String::as_str),
            Some("InProgress → Completed")
        );
        assert_eq!(app.environment()["slot"], Value::Null, "{}", told());
    }
}
