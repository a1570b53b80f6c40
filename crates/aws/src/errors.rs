//! Formats errors, with their causes, for logs and for people. Only the outermost code formats
//! errors.

use std::error::Error;

/// Returns an error and its causes, on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
