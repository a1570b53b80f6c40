//! Build tags, and the commits that the build tags name.

use jiff::Timestamp;
use stablepin_tests::{App, Plan};
use xtask::image::Spec;

const COMMIT: &str = "047b82e5c1a94e0f6d3b2a1908f7e6d5c4b3a291";
const OTHER: &str = "9f8e7d6c5b4a39281706f5e4d3c2b1a09f8e7d6c";

/// Returns the commit in the build's record, and the last part of the build tag.
fn named(app: &App, digest: &str) -> (String, String) {
    app.link(digest);
    let build = app.build(digest).expect("a build");
    let tag = build["build_tag"].as_str().expect("a tag").to_owned();
    assert_eq!(app.tag(&tag).as_deref(), Some(digest), "{tag} is on its own build");
    let last = tag.rsplit('-').next().unwrap_or_default().to_owned();
    (build["commit"].as_str().unwrap_or("none").to_owned(), last)
}

#[test]
fn build_tag_ends_with_the_commit_or_else_with_the_digest() {
    let app = Plan::new("names").create_with_fakes();
    let push = |tag: &str, spec: &Spec| app.push(tag, spec);
    let digests = [
        push("main", &Spec::new("label").revision(COMMIT)),
        push("main-a1b2c3d", &Spec::new("both").revision("1234567890abcdef1234567890abcdef12345678")),
        push("main-047b82e", &Spec::new("tag")),
        push(&format!("main-{OTHER}"), &Spec::new("forty")),
        push("v1.2.3", &Spec::new("none")),
    ];
    let names: Vec<_> = digests.iter().map(|digest| named(&app, digest)).collect();
    let by_digest = digests[4]["sha256:".len()..][..8].to_owned();
    let expected = [
        (COMMIT, "047b82e5"),
        ("1234567890abcdef1234567890abcdef12345678", "12345678"),
        ("047b82e", "047b82e"),
        (OTHER, "9f8e7d6c"),
        ("none", by_digest.as_str()),
    ];
    assert_eq!(names, expected.map(|(commit, last)| (commit.to_owned(), last.to_owned())));
}

#[test]
fn build_keeps_its_build_tag_if_it_is_pushed_again() {
    let app = Plan::new("keeps").create_with_fakes();
    let spec = Spec::new("1");
    let digest = app.push("main-047b82e", &spec);
    let first = named(&app, &digest);
    app.push("v2.0.0-a1b2c3d", &spec);
    app.deliver(&app.push_event("v2.0.0-a1b2c3d", &digest, Timestamp::now()));
    assert_eq!(named(&app, &digest), first);
    let ours: Vec<_> = app.tags(&digest).into_iter().filter(|tag| tag.starts_with("production-")).collect();
    assert_eq!(ours.len(), 1, "{ours:?}");
}

#[test]
fn build_tag_ignores_a_hostile_label() {
    let app = Plan::new("label").create_with_fakes();
    let spec = Spec::new("1").revision("deadbeef\r\nBcc: everybody@example.com <script>alert(1)</script>");
    let digest = app.push("main-047b82e", &spec);
    assert_eq!(named(&app, &digest), ("047b82e".to_owned(), "047b82e".to_owned()));
    let mail = app.mails("lead").pop().expect("a mail");
    assert!(!mail.body.contains("Bcc") && !mail.body.contains("script"), "{mail}");
}
