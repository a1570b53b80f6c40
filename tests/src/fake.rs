//! The shared parts of the fakes: JSON 1.1, strict parsing of requests, paged lists, token buckets,
//! and a clock.

pub(crate) mod buckets;
pub(crate) mod clock;
pub(crate) mod input;
pub(crate) mod json;
pub(crate) mod pages;
