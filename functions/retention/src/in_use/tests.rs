use super::*;

fn is_send<T: Send>(_: &T) {}

/// A runtime may move the function's work between threads.
#[expect(dead_code, reason = "it need only compile")]
fn it_can_be_moved(ecs: &Ecs, lambda: &Lambda, cache: &mut TaskDefinitions) {
    is_send(&in_use(ecs, lambda, 3, cache));
}
