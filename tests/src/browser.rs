//! Opens pages in a real Chromium, as a person does, and reports everything that goes wrong there.
//!
//! The stories of a test program share one Chromium. Each page has a private window, so that
//! stories run in parallel. Closing a page fails the story if the page did something forbidden:
//! [`Page`].
//!
//! The client is our own. Chromium speaks its DevTools protocol over two pipes: JSON messages with
//! a zero byte between them. The client needs no crate, no port and no second program. Chromium
//! ends when the test program ends, even after a crash.
//!
//! The crate `headless_chrome`, which also blocks, brings 110 crates. It silently drops messages of
//! a newer Chromium whose types it does not know, and a console error could be one of them. Other
//! crates need an asynchronous runtime. Those that use WebDriver also need a ChromeDriver of the
//! same version.

mod axe;
mod chromium;
mod page;
mod served;
mod watch;

#[cfg(test)]
mod tests;

pub use page::{Focus, Page, Width};
