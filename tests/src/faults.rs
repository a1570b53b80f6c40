//! One fault at each request of a story in turn.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use jiff::Timestamp;

use crate::crash::Fault;
use crate::runs_deep;

/// Cut off: AWS has heard of the request, or not.
pub const KILLS: [Fault; 2] = [Fault::KillBefore, Fault::KillAfter];
/// What AWS may answer once, or not answer.
pub const ANSWERS: [Fault; 4] = [Fault::Throttle, Fault::Fail, Fault::ResetBefore, Fault::ResetAfter];

/// So many runs at a time: programs and the emulator share the machine.
const SIDE_BY_SIDE: usize = 4;

/// Tells the story with these faults at its first request, then at the second, until it has fewer: `story` answers
/// whether it came to that. The other runs go on when one fails: all that fail are shown.
pub fn everywhere(
    faults_at: impl Fn(usize) -> Vec<Fault> + Sync,
    story: impl Fn(usize, Fault) -> bool + Sync,
) {
    let (next, beyond) = (AtomicUsize::new(1), AtomicUsize::new(usize::MAX));
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::SeqCst);
                    if at > beyond.load(Ordering::SeqCst) {
                        return;
                    }
                    for fault in faults_at(at) {
                        if !story(at, fault) {
                            beyond.fetch_min(at, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });
    assert!(beyond.into_inner() > 4, "it asks AWS for something");
}

/// All of them at every request when the suite runs deep; else one at each, another one every hour.
pub fn some(faults: &[Fault], at: usize) -> Vec<Fault> {
    if runs_deep() {
        return faults.to_vec();
    }
    let hours = usize::try_from(Timestamp::now().as_second() / 3600).unwrap_or_default();
    vec![faults[(at + hours) % faults.len()]]
}
