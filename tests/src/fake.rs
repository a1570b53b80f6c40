//! What the fakes of AWS's services are made of: a server on loopback, JSON 1.1, requests that are read strictly,
//! lists in pages, token buckets, a clock.

pub(crate) mod buckets;
pub(crate) mod clock;
pub(crate) mod input;
pub(crate) mod json;
pub(crate) mod pages;
pub(crate) mod server;
