//! Tests of the tag `latest`.

use stablepin_rules::application::{Application, Latest};
use stablepin_rules::image::ImageTag;
use stablepin_rules::name::EnvironmentName;
use stablepin_rules::records::PromotionState;

use crate::fixtures::{ONE, asked, pinned, state};
use crate::world::{World, application, digest};

fn latest(setting: Latest) -> Application {
    let mut configured = application(ONE, "");
    configured.latest = setting;
    configured
}

fn latest_tag() -> ImageTag {
    ImageTag::parse("latest").unwrap()
}

#[test]
fn latest_setting_push_puts_the_tag_on_the_newest_image() {
    let mut world = World::new(latest(Latest::Push));
    asked(&mut world, 1, 1);
    assert_eq!(world.tags.get(&latest_tag()), Some(&digest(1)));
    asked(&mut world, 2, 2);
    assert_eq!(world.tags.get(&latest_tag()), Some(&digest(2)));
    // The event of this older push arrives last.
    asked(&mut world, 0, 3);
    assert_eq!(world.tags.get(&latest_tag()), Some(&digest(2)));
}

#[test]
fn latest_setting_pin_puts_the_tag_on_the_pinned_image() {
    let mut world = World::new(latest(Latest::Pin));
    asked(&mut world, 0, 1);
    assert_eq!(world.tags.get(&latest_tag()), None);
    pinned(&mut world, 1, 2);
    assert_eq!(world.tags.get(&latest_tag()), Some(&digest(2)));
}

#[test]
fn promotion_completes_if_the_latest_tag_cannot_be_put() {
    let mut world = World::new(latest(Latest::Pin));
    world.immutable = true;
    let id = pinned(&mut world, 0, 1);
    assert_eq!(state(&world, id), PromotionState::Completed);
    assert_eq!(world.tags.get(&latest_tag()), None);
}

#[test]
fn other_environments_do_not_move_the_latest_tag() {
    for setting in [Latest::Push, Latest::Pin] {
        let mut configured = latest(setting);
        configured.build_environment = EnvironmentName::parse("staging").unwrap();
        let mut world = World::new(configured);
        pinned(&mut world, 0, 1);
        assert_eq!(world.tags.get(&latest_tag()), None, "{setting:?}");
    }
}
