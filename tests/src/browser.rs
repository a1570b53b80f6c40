//! Opens pages in a real Chromium, as a person does, and reports every error that Chromium finds.
//!
//! All tests of one test program share one Chromium process. Each page has a private window, so
//! that tests can run in parallel. Closing a [`Page`] fails the test if Chromium has reported an
//! error or a forbidden request of the page.
//!
//! The client of the DevTools protocol is part of this package. Chromium exchanges JSON messages
//! with the client over two pipes, with a zero byte after each message. The client needs no crate,
//! no port and no second program. Chromium ends when the test program ends, even after a crash.
//!
//! We do not use the crate `headless_chrome`: it depends on 110 crates, and silently drops messages
//! of types that it does not know, even console errors. Other crates need an asynchronous runtime.
//! Crates that use WebDriver also need a ChromeDriver of the same version as Chromium.

mod axe;
mod chromium;
mod page;
mod served;
mod watch;

#[cfg(test)]
mod tests;

pub use page::{Focus, Page, Width};
