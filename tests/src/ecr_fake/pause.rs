//! A call that waits, before it is carried out, until the test has done something.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

/// What takes longer than this on two busy cores is broken.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Default)]
struct State {
    /// The members of the call that waits, or waited.
    came: Option<Value>,
    over: bool,
}

/// The next call of an operation waits for it. It goes on when this is dropped, at the latest.
pub struct Pause(pub(super) PausedCall);

#[derive(Clone, Default)]
pub(super) struct PausedCall(Arc<(Mutex<State>, Condvar)>);

impl PausedCall {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The call's side.
    pub(super) fn wait(&self, members: Value) {
        self.state().came = Some(members);
        self.0.1.notify_all();
        let waits = self.0.1.wait_timeout_while(self.state(), LIMIT, |state| !state.over);
        drop(waits);
    }
}

impl Pause {
    /// Until a call is there; its members. It has not been carried out.
    #[track_caller]
    pub fn comes(&self) -> Value {
        let waits = self.0.0.1.wait_timeout_while(self.0.state(), LIMIT, |state| state.came.is_none());
        let state = waits.unwrap_or_else(PoisonError::into_inner).0;
        state.came.clone().unwrap_or_else(|| panic!("no such call within {} s", LIMIT.as_secs()))
    }

    /// It is carried out now.
    pub fn goes_on(self) {
        drop(self);
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.0.state().over = true;
        self.0.0.1.notify_all();
    }
}
