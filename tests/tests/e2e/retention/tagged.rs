//! Recently tagged images: a new tag by a person protects an old image as a new push would.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use stablepin_tests::ecr_fake::NewImage;
use stablepin_tests::retention::{Retention, Run, days_ago};

use super::turns::night;

const DELETE: &str = "mode = \"delete\"\nkeep = 5\ndays = 90";

fn old(name: &str) -> NewImage {
    NewImage::named(name).pushed_at(days_ago(400))
}

/// Begins a test with five newer tagged images, which is the number that retention always keeps.
#[track_caller]
fn begin(story: &str) -> Retention {
    let story = Retention::begin(story, DELETE);
    story.web.put_all((0..5).map(|n| NewImage::named(format!("newer {n}")).tag(format!("n{n}"))));
    story
}

/// Delivers the nightly event. Returns the retention run of that night after the end of the run.
#[track_caller]
fn passes(story: &Retention) -> Run<'_> {
    assert_eq!(story.wakes(&night()), json!({ "runs": 1 }));
    let messages = story.messages();
    let [message] = &messages[..] else { panic!("{messages:?}") };
    let run = story.run_of(message);
    assert_eq!(run.ends()["state"], "Done", "{:#}", run.record());
    run
}

#[test]
fn new_tag_protects_an_old_image_for_the_configured_days() {
    let story = begin("ret-tagged");
    let [hotfix, forgotten] = ["hotfix", "forgotten"].map(|name| story.web.put(old(name)));
    story.web.is_tagged("hotfix-1", &hotfix);
    story.app.hears();
    let run = passes(&story);
    assert_eq!((story.web.exists(&hotfix), story.web.exists(&forgotten)), (true, false));
    assert_eq!(run.rule(&hotfix), "young");
    let why = run.plan()[&hotfix]["why"].as_str().unwrap_or_default().to_owned();
    let (begins, ends) = ("somebody put the tag hotfix-1 on it ", ": less than 90 days ago");
    assert!(why.starts_with(begins) && why.ends_with(ends), "{why}");

    let note = format!("TAGGED#{}#hotfix-1", story.web.name());
    for (days, stays) in [(89, true), (91, false)] {
        let at = Timestamp::now() - SignedDuration::from_hours(24 * days);
        story.app.rewrite(&note, "tagged_at", &at.to_string());
        passes(&story);
        assert_eq!(story.web.exists(&hotfix), stays, "tagged {days} days ago");
    }
    assert_eq!(story.web.count(), 5);
}

/// A tag shows which image a person needs. After a person moves the tag to another image, the tag
/// protects only the image to which it now refers.
#[test]
fn moved_tag_does_not_protect_its_previous_image() {
    let story = begin("ret-moved-on");
    let [first, second] = ["first", "second"].map(|name| story.web.put(old(name)));
    for digest in [&first, &second] {
        story.web.is_tagged("hotfix-1", digest);
        story.app.hears();
    }
    let run = passes(&story);
    assert_eq!((story.web.exists(&first), run.rule(&second)), (false, "young".to_owned()));
    assert!(story.web.exists(&second));
}

/// Two kinds of tags protect no image: a tag that a person added 91 days ago, even if its event
/// arrives now, and a tag that Stablepin added.
#[test]
fn old_tags_and_stablepins_own_tags_protect_no_image() {
    let story = begin("ret-tagged-late");
    let [late, ours] = ["late", "ours"].map(|name| story.web.put(old(name)));
    let at = Timestamp::now() - SignedDuration::from_hours(24 * 91);
    story.web.is_tagged("hotfix-1", &late);
    story.ecr.events();
    story.app.deliver(&story.app.push_event("hotfix-1", &late, at));
    story.is_ours("backup-of-ours", &ours);
    story.web.is_tagged("backup-of-ours", &ours);
    story.app.hears();
    let run = story.runs();
    assert_eq!((run.number("deleted"), story.web.count()), (2, 5), "{:#}", run.record());
}
