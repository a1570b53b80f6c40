//! Opens pages in a real Chromium, as a person does, and reports every error that Chromium finds.
//!
//! The tests of one program share one Chromium. Each page has a private window, so that tests run
//! in parallel. Closing a [`Page`] fails the test if the page did something forbidden.
//!
//! We wrote the client ourselves. Chromium speaks its DevTools protocol over two pipes: JSON
//! messages with a zero byte between them. The client needs no crate, no port and no second
//! program. Chromium ends when the test program ends, even after a crash.
//!
//! The crate `headless_chrome`, which also blocks, brings 110 crates. If a newer Chromium sends a
//! message of a new type, that crate drops the message silently, even a console error. Other crates
//! need an asynchronous runtime. Crates that use WebDriver also need a ChromeDriver of the same
//! version.

mod axe;
mod chromium;
mod page;
mod served;
mod watch;

#[cfg(test)]
mod tests;

pub use page::{Focus, Page, Width};
