//! The pages as a person has them: in a real Chromium, which says all that goes wrong there.
//!
//! One Chromium for all stories of a test program, and a private window for each page, so that stories run side by
//! side. What a page may not do is found out when it is closed: [`Page`].
//!
//! The client is our own. Chromium speaks its DevTools protocol over two pipes: JSON, with a zero byte between
//! messages. That needs no crate, no port and no second program, and Chromium ends when we do, however that comes
//! about. `headless_chrome`, which also blocks, brings 110 crates, and drops in silence what its types do not know of
//! a newer Chromium's messages: a console error could be one of them. The others want an asynchronous runtime, those
//! over WebDriver also a ChromeDriver of the same version.

mod axe;
mod chromium;
mod page;
mod served;
mod watch;

#[cfg(test)]
mod tests;

pub use page::{Focus, Page, Width};
