//! Repeats a test once for each of its AWS requests, with a fault at that request.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use jiff::Timestamp;

use crate::crash::Fault;
use crate::runs_deep;

/// The faults that kill the program before or after AWS carries out the request.
pub const KILLS: [Fault; 2] = [Fault::KillBefore, Fault::KillAfter];
/// The faults that AWS or the network may cause at a single request.
pub const ANSWERS: [Fault; 4] = [Fault::Throttle, Fault::Fail, Fault::ResetBefore, Fault::ResetAfter];

/// The number of parallel runs. It is small, since the programs and the emulator share the machine.
const SIDE_BY_SIDE: usize = 4;

/// Runs a test with a fault at its first request, then at its second request, and so on, until the
/// test ends before the fault. `story` runs the test once and returns whether the test reached the
/// fault. If a run fails, the other runs continue, so that the output shows all failures.
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
    assert!(beyond.into_inner() > 4, "the test sends requests to AWS");
}

/// Returns all faults if `--deep` is set. Otherwise returns one fault, which depends on the number
/// of the request and on the hour.
pub fn some(faults: &[Fault], at: usize) -> Vec<Fault> {
    if runs_deep() {
        return faults.to_vec();
    }
    let hours = usize::try_from(Timestamp::now().as_second() / 3600).unwrap_or_default();
    vec![faults[(at + hours) % faults.len()]]
}
