//! Polls until an asynchronous change happens, with a deadline.

use std::thread;
use std::time::{Duration, Instant};

/// The longest time that `until` waits. Every expected change comes sooner, even on two busy cores.
const LIMIT: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(150);

/// Calls `look` until it returns a value. Fails the test after `LIMIT`.
#[track_caller]
pub fn until<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(LIMIT, what, look)
}

#[track_caller]
pub fn within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "not within {} s: {what}", limit.as_secs());
        thread::sleep(LOOK);
    }
}
