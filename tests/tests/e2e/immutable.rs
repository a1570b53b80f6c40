//! Repositories whose tags cannot move.

use jiff::Timestamp;
use stablepin_tests::Plan;
use stablepin_tests::ecr_double::Mutability;
use xtask::image::Spec;

/// Two builds of one commit within one second would have one name.
#[test]
fn a_build_whose_name_is_taken_gets_another_and_nothing_moves() {
    for plan in [Plan::new("taken-imm").tags_are(Mutability::Immutable), Plan::new("taken")] {
        let app = plan.create_aside();
        let at = Timestamp::now();
        let spec = |version: &str| Spec::new(version).revision("a1b2c3d4e5f60718293a4b5c6d7e8f9001122334");
        let builds = ["1", "2", "3"].map(|version| app.push(&format!("quiet-{version}"), &spec(version)));
        for digest in &builds {
            app.deliver(&app.push_event("main", digest, at));
        }
        let mut names = builds.clone().map(|digest| {
            app.link(&digest);
            let name = app.build(&digest).expect("a build")["build_tag"].as_str().expect("a tag").to_owned();
            assert_eq!(app.tag(&name), Some(digest), "{name} is on its own build");
            name
        });
        assert!(names[0].ends_with("-a1b2c3d4"), "{names:?}");
        assert!(names[1].ends_with(&builds[1]["sha256:".len()..][..8]), "{names:?}");
        names.sort();
        assert!(names.windows(2).all(|two| two[0] != two[1]), "{names:?}");
    }
}

/// The name was free in the table, and somebody had put such a tag.
#[test]
fn a_build_tag_that_somebody_else_has_put_on_another_image_is_left_where_it_is() {
    let app = Plan::new("theirs").tags_are(Mutability::Immutable).create_aside();
    let at = Timestamp::now();
    let name = format!("production-{}-a1b2c3d4", at.strftime("%Y%m%d-%H%M%S"));
    let spec = |version: &str| Spec::new(version).revision("a1b2c3d4e5f60718293a4b5c6d7e8f9001122334");
    let theirs = app.push("quiet-theirs", &spec("theirs"));
    app.push_image(Some(&name), &stablepin_tests::app::image(&spec("theirs")));
    let digest = app.push("quiet-ours", &spec("ours"));
    app.deliver(&app.push_event("main", &digest, at));
    app.link(&digest);
    let ours = app.build(&digest).expect("a build")["build_tag"].as_str().expect("a tag").to_owned();
    assert_ne!(ours, name);
    assert_eq!(app.tag(&name), Some(theirs));
    assert_eq!(app.tag(&ours), Some(digest));
}
