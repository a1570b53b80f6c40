//! Tests of the ten rules in `docs/architecture/rules.md`, with the real `transition` and
//! `pending_effects`.

#![expect(clippy::unwrap_used, reason = "how a test fails")]

mod any_events;
mod approval;
mod bounds;
mod conditions;
mod contained;
mod copies;
mod deploy;
mod drift;
mod event_times;
mod explore;
mod facts;
mod fixtures;
mod latest;
mod lifecycle;
mod live_drift;
mod pins;
mod process;
mod pushes;
mod races;
mod retries;
mod rollbacks;
mod signers;
mod squatted;
mod votes;
mod world;

use any_events::{Event, check, event, happen};
use fixtures::{ONE, TWO, asked, pinned, rollback_state, state};
