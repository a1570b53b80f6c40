//! Retries of failing effects.

use stablepin_rules::effect::Outcome;
use stablepin_rules::pending_effects::pending_effects;
use stablepin_rules::transition::Input;
use uuid::Uuid;

use crate::fixtures::ONE;
use crate::world::{World, application};

#[test]
fn failing_effect_is_retried_with_backoff() {
    let mut world = World::new(application(ONE, ""));
    let id = world.push(0, 1).unwrap();
    let mut pauses = Vec::new();
    for _ in 0..6 {
        let problem = Outcome::Problem("throttled".to_owned());
        world.observe(Some(id), None, &[Input::Outcome(problem)]).unwrap();
        let wake = world.operations[&id].wake_at.unwrap();
        pauses.push((wake - world.now).get_seconds() / 60);
        // A tick before `wake_at` starts no effect.
        world.tick(id);
        assert_eq!(pending_effects(world.now, &world.subject(Some(id), None), Uuid::nil()), []);
        world.now = wake;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 16]);
    world.settle();
    assert_eq!(world.operations[&id].problem, None);
}
