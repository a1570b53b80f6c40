//! The main path of a build: push, approval and pin. Afterwards a later build replaces the pin.

use stablepin_tests::Plan;
use xtask::image::Spec;

/// Covers the main path. Stablepin mails the approver about a pushed build, and one approval pins
/// and tags the build.
#[test]
fn approved_build_becomes_the_first_pin() {
    let app = Plan::new("push").create();
    let digest = app.push("main", &Spec::new("1").revision("a1b2c3d4e5f60718293a4b5c6d7e8f9001122334"));

    let link = app.link(&digest);
    let mail = app.mails("lead").pop().expect("a mail");
    let build_tag = app.build(&digest).expect("a build")["build_tag"].as_str().expect("a tag").to_owned();
    assert!(build_tag.starts_with("production-2") && build_tag.ends_with("-a1b2c3d4"), "{build_tag}");
    assert!(mail.subject.contains(&build_tag), "{}", mail.subject);
    assert_eq!(app.tag(&build_tag), Some(digest.clone()), "the build tag is on the build");
    assert_eq!(app.tag("prod-stable"), None, "nothing is pinned before an approval");

    let page = link.get();
    assert_eq!(page.status, 200);
    for shown in [&app.plan.name, &digest, &build_tag, &link.token] {
        assert!(page.text().contains(shown.as_str()), "the page shows {shown}");
    }

    let answer = link.approve();
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("It is pin 1"), "{}", answer.text());
    assert_eq!(app.tag("prod-stable"), Some(digest.clone()));
    assert_eq!(app.tags(&digest), ["main", "prod-stable", &build_tag].map(str::to_owned).sorted());
    assert_eq!(app.pins(), [(1, digest.clone())]);
    let promotion = app.promotion(link.promotion());
    assert_eq!((&promotion["state"], &promotion["pin"]), (&"Completed".into(), &1.into()));

    for again in [link.get(), link.approve(), link.reject("too late")] {
        assert_eq!(again.status, 409);
        assert!(again.text().contains("You approved it on"), "{}", again.text());
    }
    assert_eq!(app.pins(), [(1, digest)], "a used link decides nothing");
}

/// Rule 5: mail scanners, previews and approvers may open an approval link any number of times.
#[test]
fn hundred_views_of_an_approval_page_change_nothing() {
    let app = Plan::new("looks").create();
    let build = app.push("main", &Spec::new("1"));
    let link = app.link(&build);
    app.settled(&build);
    let before = app.everything();
    for _ in 0..100 {
        assert_eq!(link.get().status, 200);
    }
    for _ in 0..10 {
        let head = link.head();
        assert_eq!((head.status, head.body.len()), (200, 0));
    }
    // A mail scanner may add these parameters to a link. The parameters of a GET request must not
    // count as a vote.
    for more in
        ["&decision=approve", "&decision=reject&reason=x", &format!("&code={}&decision=approve", link.code)]
    {
        let url = format!("{}{more}", link.url());
        let answer = app.aws.call("GET", &url, None, None, false).expect("the page answers");
        assert_eq!(answer.status, 200, "{more}");
    }
    assert_eq!(app.everything(), before, "the table has not changed");
    assert!(link.get().text().contains("Approve"), "the link still works");
}

/// Rules 3 and 4: pin numbers have no gaps, the stable tag always refers to the newest pin, and
/// Stablepin never pins an earlier push after a later push.
#[test]
fn superseded_build_cannot_be_pinned() {
    let app = Plan::new("next").create();
    let first = app.pin("main", &Spec::new("1"));
    let skipped = app.push("main", &Spec::new("2"));
    let skipped_link = app.link(&skipped);
    let second = app.push_after(&skipped, &Spec::new("3"));

    app.approve(&second);
    assert_eq!(app.tag("prod-stable"), Some(second.clone()));
    assert_eq!(app.pins(), [(1, first), (2, second.clone())]);

    let answer = skipped_link.approve();
    assert!(matches!(answer.status, 409 | 410), "{}", answer.status);
    assert!(answer.text().contains("later build"), "{}", answer.text());
    let (state, reason) = app.ended(skipped_link.promotion());
    assert_eq!((state.as_str(), reason.as_str()), ("Cancelled", "superseded: a later build became pin 2"));
    assert_eq!(app.tag("prod-stable"), Some(second), "the stable tag did not move");
    assert_eq!(app.pins().len(), 2);
    assert_eq!(app.audited("Pin Change"), ["- → 1", "1 → 2"]);
}

trait Sorted {
    fn sorted(self) -> Self;
}

impl<const N: usize> Sorted for [String; N] {
    fn sorted(mut self) -> Self {
        self.sort();
        self
    }
}
