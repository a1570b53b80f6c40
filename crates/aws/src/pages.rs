//! Lists in pages that must come to an end.

use std::collections::BTreeSet;

/// The state of a list that is read page by page. A partial list looks like a complete one, so an
/// endless list is an error and is never cut off.
#[derive(Debug)]
pub(crate) struct Pages {
    most: usize,
    seen: BTreeSet<String>,
    next: Option<String>,
}

/// The list returned to an earlier page, or has more pages than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Endless;

impl Pages {
    pub(crate) fn at_most(most: usize) -> Self {
        Self { most, seen: BTreeSet::new(), next: None }
    }

    /// The token for the next request. `None` for the first request.
    pub(crate) fn token(&self) -> Option<String> {
        self.next.clone()
    }

    /// Whether another page follows. `token` is the token in the answer.
    pub(crate) fn follows(&mut self, token: Option<&str>) -> Result<bool, Endless> {
        let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(false) };
        if self.seen.len() + 1 >= self.most || !self.seen.insert(token.to_owned()) {
            return Err(Endless);
        }
        self.next = Some(token.to_owned());
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_ends_without_a_token() {
        let mut pages = Pages::at_most(3);
        assert_eq!(pages.token(), None);
        assert_eq!(pages.follows(Some("b")), Ok(true));
        assert_eq!(pages.token().as_deref(), Some("b"));
        assert_eq!(pages.follows(Some("")), Ok(false));
        assert_eq!(pages.follows(None), Ok(false));
    }

    #[test]
    fn repeating_or_too_long_list_is_endless() {
        let mut pages = Pages::at_most(10);
        assert_eq!(pages.follows(Some("b")), Ok(true));
        assert_eq!(pages.follows(Some("c")), Ok(true));
        assert_eq!(pages.follows(Some("b")), Err(Endless));
        let mut pages = Pages::at_most(3);
        assert_eq!(pages.follows(Some("b")), Ok(true));
        assert_eq!(pages.follows(Some("c")), Ok(true), "the third page");
        assert_eq!(pages.follows(Some("d")), Err(Endless));
    }
}
