//! The claims of the demo. The demo checks each claim, and a wrong claim ends the demo.

use anyhow::Result;
use std::cell::Cell;
use std::fmt::Debug;
use std::time::Duration;
use xtask::process::wait_for;
use xtask::step::note;

/// The time within which a claim must become true. Lambda functions start cold, the container
/// engine pulls images, and other work may share the machine.
pub(crate) const SOON: Duration = Duration::from_secs(90);

/// Counts the claims that were true, and the claims that this machine could not check.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    held: Cell<usize>,
    left_out: Cell<usize>,
}

/// The number of checked claims, and the number of claims that this machine cannot check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) checked: usize,
    pub(crate) left_out: usize,
}

#[derive(Debug, thiserror::Error)]
#[error("a claim is wrong: {claim}\n  expected: {expected}\n  actual:   {actual}")]
pub(crate) struct Wrong {
    claim: String,
    expected: String,
    actual: String,
}

impl Claims {
    pub(crate) fn count(&self) -> Count {
        Count { checked: self.held.get(), left_out: self.left_out.get() }
    }

    /// Prints and counts a claim that this machine cannot check.
    pub(crate) fn leave_out(&self, claim: &str) {
        self.left_out.set(self.left_out.get() + 1);
        note(format!("LEFT OUT, tasks are simulated: {claim}"));
    }

    /// Checks that `actual` equals `expected`. The emulator, the registry or a container returned
    /// `actual`.
    pub(crate) fn equal<A, E>(&self, claim: &str, actual: &A, expected: &E) -> Result<()>
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

    /// Checks that `look` returns the expected value within [`SOON`].
    pub(crate) fn becomes<T: PartialEq + Debug>(
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
    fn wrong_claim_shows_the_expected_and_the_actual_value() {
        let claims = Claims::default();
        claims.equal("one is one", &1, &1).unwrap();
        let error = claims.equal("the pin is 2", &1, &2).unwrap_err();
        assert_eq!(error.to_string(), "a claim is wrong: the pin is 2\n  expected: 2\n  actual:   1");
        assert_eq!(claims.count(), Count { checked: 1, left_out: 0 });
    }

    #[test]
    fn left_out_claim_is_not_counted_as_checked() {
        let claims = Claims::default();
        claims.leave_out("two containers run");
        claims.equal("one is one", &1, &1).unwrap();
        assert_eq!(claims.count(), Count { checked: 1, left_out: 1 });
    }

    #[test]
    fn check_waits_until_a_claim_becomes_true() {
        let claims = Claims::default();
        let mut looks = 0;
        claims
            .becomes("three looks", &3, || {
                looks += 1;
                Ok(looks)
            })
            .unwrap();
        assert_eq!(claims.count().checked, 1);
    }
}
