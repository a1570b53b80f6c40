//! Ids that sort by time.

use jiff::Timestamp;
use uuid::Uuid;

/// Creates a new id that sorts by this time.
pub fn uuid_v7(at: Timestamp) -> Uuid {
    uuid_v7_at(at, None)
}

pub(super) fn uuid_v7_at(at: Timestamp, place: Option<u8>) -> Uuid {
    let mut random = [0; 10];
    getrandom::fill(&mut random).expect("the operating system gives random bytes");
    // In the id, these bits follow directly after the time, so they decide the order of ids with
    // the same time.
    // <https://www.rfc-editor.org/rfc/rfc9562#section-6.2>
    if let Some(place) = place {
        [random[0], random[1]] = [0, place];
    }
    let millis = u64::try_from(at.as_millisecond()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}
