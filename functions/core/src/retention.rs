//! Old images, and what is deleted of them.

pub mod run;
