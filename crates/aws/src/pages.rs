//! Reads lists page by page, and detects lists that do not end.

use std::collections::BTreeSet;

use crate::call::{Call, CallError};

/// The state of a list that a client reads page by page. An endless list is an error: if the client
/// stopped early, a partial list would look complete.
#[derive(Debug)]
pub(crate) struct Pages {
    most: usize,
    seen: BTreeSet<String>,
    next: Option<String>,
}

impl Pages {
    pub(crate) fn at_most(most: usize) -> Self {
        Self { most, seen: BTreeSet::new(), next: None }
    }

    /// The token for the next request. `None` for the first request.
    pub(crate) fn token(&self) -> Option<String> {
        self.next.clone()
    }

    /// Returns true if another page follows. `token` is the token in the response. Fails if the
    /// list returns a token twice or has more pages than allowed.
    pub(crate) fn follows(&mut self, call: &Call, token: Option<&str>) -> Result<bool, CallError> {
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(false) };
        if self.seen.len() + 1 >= self.most || !self.seen.insert(token.to_owned()) {
            return Err(call.unusable("the list does not end"));
        }
        self.next = Some(token.to_owned());
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns whether another page follows, or `None` for an endless list.
    fn follows(pages: &mut Pages, token: Option<&str>) -> Option<bool> {
        pages.follows(&Call::new("ListClusters", "list the clusters"), token).ok()
    }

    #[test]
    fn missing_or_empty_token_ends_the_list() {
        let mut pages = Pages::at_most(3);
        assert_eq!(pages.token(), None);
        assert_eq!(follows(&mut pages, Some("b")), Some(true));
        assert_eq!(pages.token().as_deref(), Some("b"));
        assert_eq!(follows(&mut pages, Some("")), Some(false));
        assert_eq!(follows(&mut pages, None), Some(false));
    }

    #[test]
    fn list_with_repeated_token_or_too_many_pages_fails() {
        let mut pages = Pages::at_most(10);
        assert_eq!(follows(&mut pages, Some("b")), Some(true));
        assert_eq!(follows(&mut pages, Some("c")), Some(true));
        assert_eq!(follows(&mut pages, Some("b")), None);
        let mut pages = Pages::at_most(3);
        assert_eq!(follows(&mut pages, Some("b")), Some(true));
        assert_eq!(follows(&mut pages, Some("c")), Some(true), "the third page");
        assert_eq!(follows(&mut pages, Some("d")), None);
    }
}
