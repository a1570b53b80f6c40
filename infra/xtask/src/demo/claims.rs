//! What the story claims. Each claim is looked at, and a wrong one ends the story.

use crate::process::wait_for;
use crate::step::note;
use anyhow::Result;
use std::cell::Cell;
use std::fmt::Debug;
use std::time::Duration;

/// How long a claim that becomes true may take: functions start cold, containers are pulled, and other
/// work may share the machine.
pub(super) const SOON: Duration = Duration::from_secs(90);

/// Counts what was claimed and found true.
#[derive(Debug, Default)]
pub(super) struct Claims {
    held: Cell<usize>,
}

#[derive(Debug, thiserror::Error)]
#[error("a claim is wrong: {claim}\n  expected: {expected}\n  actual:   {actual}")]
pub(super) struct Wrong {
    claim: String,
    expected: String,
    actual: String,
}

impl Claims {
    pub(super) fn held(&self) -> usize {
        self.held.get()
    }

    /// `actual` is what the emulator, the registry or a container said.
    pub(super) fn equal<A, E>(&self, claim: &str, actual: &A, expected: &E) -> Result<()>
    where
        A: PartialEq<E> + Debug + ?Sized,
        E: Debug + ?Sized,
    {
        if actual != expected {
            return Err(wrong(claim, actual, expected));
        }
        self.hold(claim);
        Ok(())
    }

    /// It is so now, or soon.
    pub(super) fn becomes<T: PartialEq + Debug>(
        &self,
        claim: &str,
        expected: &T,
        mut look: impl FnMut() -> Result<T>,
    ) -> Result<()> {
        let mut last = None;
        let came = wait_for(claim, SOON, || {
            let seen = look()?;
            let is = seen == *expected;
            last = Some(seen);
            Ok(is.then_some(()))
        });
        match (came, last) {
            (Ok(()), _) => self.hold(claim),
            (Err(_), Some(seen)) if seen != *expected => {
                return Err(wrong(&format!("{claim} (within {} s)", SOON.as_secs()), &seen, expected));
            }
            (Err(error), _) => return Err(error.context(claim.to_owned())),
        }
        Ok(())
    }

    fn hold(&self, claim: &str) {
        self.held.set(self.held.get() + 1);
        note(format!("ok: {claim}"));
    }
}

fn wrong(claim: &str, actual: &(impl Debug + ?Sized), expected: &(impl Debug + ?Sized)) -> anyhow::Error {
    Wrong { claim: claim.to_owned(), expected: format!("{expected:?}"), actual: format!("{actual:?}") }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_claim_says_what_was_expected_and_what_is() {
        let claims = Claims::default();
        claims.equal("one is one", &1, &1).unwrap();
        let error = claims.equal("the pin is 2", &1, &2).unwrap_err();
        assert_eq!(error.to_string(), "a claim is wrong: the pin is 2\n  expected: 2\n  actual:   1");
        assert_eq!(claims.held(), 1);
    }

    #[test]
    fn a_claim_may_become_true() {
        let claims = Claims::default();
        let mut looks = 0;
        claims
            .becomes("three looks", &3, || {
                looks += 1;
                Ok(looks)
            })
            .unwrap();
        assert_eq!(claims.held(), 1);
    }
}
