//! The current time. Only the outermost code reads the clock, and passes the time to the rules.

use jiff::Timestamp;

/// Returns the current time in whole milliseconds, since the records store times in milliseconds.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
