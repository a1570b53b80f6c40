//! Retention runs: which events begin a run, and which of two runs works on a repository.

use std::thread;

use jiff::SignedDuration;
use serde_json::{Value, json};
use stablepin_tests::ecr_fake::NewImage;
use stablepin_tests::retention::{Retention, days_ago};

const DELETE: &str = "mode = \"delete\"\nkeep = 5";

fn old(count: usize) -> impl Iterator<Item = NewImage> {
    (0..count).map(|n| NewImage::named(format!("old {n}")).pushed_at(days_ago(400)))
}

pub(super) fn night() -> Value {
    json!({ "source": "stablepin.schedule", "detail-type": "Retention", "detail": {} })
}

#[test]
fn nightly_run_uses_the_mode_of_the_application_file() {
    for (settings, deleted) in [("", 0), (DELETE, 1)] {
        let story = Retention::begin("ret-night", settings);
        story.web.put_all(old(4));
        assert_eq!(story.wakes(&night()), json!({ "runs": 1 }));
        let messages = story.messages();
        let [message] = &messages[..] else { panic!("{messages:?}") };
        let run = story.run_of(message);
        run.ends();
        // A fifth of four images is less than one image, but a run may always delete one image.
        assert_eq!((run.number("deleted"), story.web.count()), (deleted, 4 - deleted as usize));
        assert_eq!(run.record()["by"], json!({ "type": "stablepin" }), "{:#}", run.record());
        assert_eq!(
            story.ecr.count("RegisterPullTimeUpdateExclusion"),
            1,
            "retention's own reads must not count as pulls"
        );
    }
}

#[test]
fn repeated_nightly_event_begins_one_run() {
    let story = Retention::begin("ret-twice", DELETE);
    let mut night = night();
    night["time"] = json!("2026-11-21T02:00:00Z");
    for _ in 0..2 {
        assert_eq!(story.wakes(&night), json!({ "runs": 1 }));
    }
    let mut runs = story.app.items("RUN#");
    assert_eq!(runs.len(), 1, "two events of one night begin one run");
    let run = runs.pop().expect("a run of this night");
    assert_eq!(run["record"]["by"], json!({ "type": "stablepin" }), "{run}");
    assert_eq!(run["record"]["purpose"], json!({ "type": "apply", "plan_of": null }), "{run}");
}

#[test]
fn second_run_waits_until_the_repository_is_free() {
    let story = Retention::begin("ret-turns", DELETE);
    story.web.put_all(old(3));
    let [first, second] = [(), ()].map(|()| story.begins(&json!({ "share": 100 })));
    story.messages();
    thread::scope(|scope| {
        let deletes = story.ecr.pauses("BatchDeleteImage");
        let applies = scope.spawn(|| first.ends());
        deletes.comes();
        let before = story.app.everything();
        let answer = second.comes(None).answer.expect("the function was not killed");
        assert_eq!(answer["how"], "another run works on the application's images: tried again later");
        assert_eq!(story.app.everything(), before);
        deletes.goes_on();
        applies.join().expect("the run ends");
    });
    second.ends();
    assert_eq!((first.number("deleted"), second.number("deleted")), (3, 0));
    assert_eq!(second.in_repository()["state"], "Done");
}

#[test]
fn next_message_continues_a_run_that_ran_out_of_time() {
    let story = Retention::begin("ret-short", DELETE);
    story.web.put_all(old(3));
    let before = story.web.layer_bytes();
    let run = story.begins(&json!({ "share": 100 }));
    story.messages();
    // The Lambda function has only three seconds left, so it begins no new work.
    let answer =
        run.comes_for(SignedDuration::from_secs(3), None).answer.expect("the function was not killed");
    assert_eq!(answer["how"], "the rest follows later", "{answer:#}");
    assert_eq!((story.web.count(), story.changes(), story.marked().len()), (3, 0, 0));
    assert_eq!(run.in_repository()["state"], "Applying");
    let messages = story.messages();
    let [message] = &messages[..] else { panic!("{messages:?}") };
    assert_eq!(story.run_of(message).id, run.id);
    run.ends();
    assert_eq!((run.number("deleted"), run.number("freed_bytes")), (3, before));
}

#[test]
fn notice_reports_the_end_of_a_retention_run() {
    let story = Retention::begin("ret-notice", DELETE);
    story.web.put_all(old(2));
    let run = story.runs();
    let notices = story.app.notices();
    let notice = notices.iter().find(|notice| notice.to_string().contains("2 images deleted"));
    assert!(notice.is_some(), "{notices:#?}");
    let states = story.app.audited("Retention Run State Change");
    assert_eq!(states.last().map(String::as_str), Some("InProgress → Completed"), "{states:?}");
    assert!(run.has_ended());
}
