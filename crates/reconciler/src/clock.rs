//! The time, asked for at the edge and handed to the rules.

use jiff::Timestamp;

/// Now, in whole milliseconds: what the records keep.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}
