//! Pauses a call before the call changes anything, until the test lets the call continue.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

/// The longest wait, which is long enough even on two busy cores.
const LIMIT: Duration = Duration::from_secs(60);

#[derive(Default)]
struct PauseState {
    /// The fields of the paused call. `None` before the fake has received the call.
    came: Option<Value>,
    over: bool,
}

/// A pause of the next call of an operation. Dropping the pause lets the call continue.
pub struct Pause(pub(super) PausedCall);

#[derive(Clone, Default)]
pub(super) struct PausedCall(Arc<(Mutex<PauseState>, Condvar)>);

impl PausedCall {
    fn state(&self) -> MutexGuard<'_, PauseState> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Blocks the call until the test lets the call continue, at most for `LIMIT`.
    pub(super) fn wait(&self, members: Value) {
        self.state().came = Some(members);
        self.0.1.notify_all();
        let waits = self.0.1.wait_timeout_while(self.state(), LIMIT, |state| !state.over);
        drop(waits);
    }
}

impl Pause {
    /// Waits until the fake receives the call, and returns the call's fields. The call has not
    /// changed anything yet.
    #[track_caller]
    pub fn comes(&self) -> Value {
        let waits = self.0.0.1.wait_timeout_while(self.0.state(), LIMIT, |state| state.came.is_none());
        let state = waits.unwrap_or_else(PoisonError::into_inner).0;
        state.came.clone().unwrap_or_else(|| panic!("no such call within {} s", LIMIT.as_secs()))
    }

    /// Lets the call continue.
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
