//! Rules 4 and 6: push events that arrive twice, out of order, or at the same time.

use std::thread;

use jiff::{SignedDuration, Timestamp};
use stablepin_tests::{App, Plan};
use xtask::image::Spec;

/// Pushes an image under a tag that matches no `builds` pattern. Each test delivers its own events.
fn quiet(app: &App, version: &str) -> String {
    app.push(&format!("quiet-{version}"), &Spec::new(version))
}

#[test]
fn repeated_push_event_opens_one_promotion() {
    let app = Plan::new("five").create_with_fakes();
    let digest = quiet(&app, "1");
    let event = app.push_event("main", &digest, Timestamp::now());
    for _ in 0..5 {
        app.deliver(&event);
    }
    assert_eq!((app.promotions().len(), app.mails("lead").len()), (1, 1));
    app.approve(&digest);
    for _ in 0..5 {
        app.deliver(&event);
    }
    assert_eq!((app.promotions().len(), app.mails("lead").len(), app.pins().len()), (1, 1, 1));
}

#[test]
fn simultaneous_copies_of_an_event_open_one_promotion() {
    let app = Plan::new("ten").create_with_fakes();
    let digest = quiet(&app, "1");
    let event = app.push_event("main", &digest, Timestamp::now());
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| app.deliver(&event));
        }
    });
    app.link(&digest);
    assert_eq!((app.promotions().len(), app.mails("lead").len()), (1, 1));
    assert_eq!(app.audited("Promotion State Change"), ["- → Pending"]);
}

#[test]
fn tag_moved_back_to_a_build_opens_a_new_promotion() {
    let app = Plan::new("back").create_with_fakes();
    let (a, b) = (quiet(&app, "a"), quiet(&app, "b"));
    let start = Timestamp::now() - SignedDuration::from_secs(60);
    let moves = [&a, &b, &a];
    for (second, digest) in (0..).zip(moves) {
        app.deliver(&app.push_event("main", digest, start + SignedDuration::from_secs(second)));
    }
    let asked: Vec<_> = app.promotions().iter().map(|promotion| promotion["digest"].clone()).collect();
    assert_eq!(asked, moves.map(|digest| digest.as_str()));
    let name = |promotion: usize| app.promotions()[promotion]["build"]["build_tag"].clone();
    assert_eq!(name(0), name(2), "a known build keeps its build tag");

    // The newest promotion supersedes the other two promotions, so the test approves the newest
    // promotion.
    app.approve(&a);
    assert_eq!(app.pins(), [(1, a)]);
}

#[test]
fn older_push_is_superseded_even_if_its_event_arrives_late() {
    let app = Plan::new("order").create_with_fakes();
    let (old, new) = (quiet(&app, "old"), quiet(&app, "new"));
    let now = Timestamp::now();
    app.deliver(&app.push_event("main", &new, now));
    app.deliver(&app.push_event("main", &old, now - SignedDuration::from_secs(300)));
    let old_link = app.link(&old);
    app.approve(&new);
    assert!(matches!(app.decides(&old_link, "approve").0, 409 | 410));
    assert_eq!(app.pins(), [(1, new)], "the older push stays older although its event arrived later");
}

#[test]
fn two_tags_on_one_digest_open_one_promotion() {
    let app = Plan::new("two-tags").create_with_fakes();
    let digest = quiet(&app, "1");
    let at = Timestamp::now();
    app.deliver(&app.push_event("main", &digest, at));
    app.deliver(&app.push_event("v1.0.0", &digest, at));
    app.deliver(&app.push_event("main-1234abc", &digest, at + SignedDuration::from_secs(1)));
    assert_eq!((app.promotions().len(), app.mails("lead").len()), (1, 1));
}

/// The event's time identifies the push even if that time is in the future. Stablepin orders such a
/// push by its time of arrival.
#[test]
fn push_with_a_future_time_does_not_block_the_next_push() {
    let app = Plan::new("future").create_with_fakes();
    let (future, next) = (quiet(&app, "future"), quiet(&app, "next"));
    let event = app.push_event("main", &future, "2099-01-01T00:00:00Z".parse().expect("a time"));
    app.deliver(&event);
    app.approve(&future);
    let place = app.promotions()[0]["occurrence"]["at"].clone();
    app.deliver(&event);
    assert_eq!(
        (app.promotions().len(), app.mails("lead").len()),
        (1, 1),
        "a repeated event is the same push"
    );
    assert_eq!(app.promotions()[0]["occurrence"]["at"], place);
    let at: Timestamp = place.as_str().expect("a time").parse().expect("a time");
    assert!(at <= Timestamp::now() + SignedDuration::from_mins(5), "{at}");
    let name = app.build_tag(&future);
    assert!(!name.contains("2099"), "{name}");

    app.deliver(&app.push_event("main", &next, at + SignedDuration::from_secs(1)));
    app.approve(&next);
    assert_eq!(app.pins(), [(1, future), (2, next)]);
}
