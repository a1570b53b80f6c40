//! Pin numbers: 1, 2, 3 … for each environment, without gaps.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::InvalidName;

/// The number of an environment's pin. The first pin has number 1. In JSON the value is a number.
/// In keys and tags it is text, [padded](Self::padded) with zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct PinNumber(u64);

/// The largest whole number that every JSON parser reads exactly (RFC 8259, section 6).
const MAX: u64 = (1 << 53) - 1;

const EXPECTED: &str = "use a whole number from 1, such as 42";

impl PinNumber {
    pub const FIRST: Self = Self(1);

    pub fn new(number: u64) -> Result<Self, InvalidName> {
        if (1..=MAX).contains(&number) { Ok(Self(number)) } else { Err(invalid(&number.to_string())) }
    }

    /// Parses decimal digits, with or without the leading zeros of [`padded`](Self::padded).
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let digits = (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(number) if digits => Self::new(number).map_err(|_| invalid(text)),
            _ => Err(invalid(text)),
        }
    }

    pub fn get(self) -> u64 {
        self.0
    }

    /// Returns the number of the following pin.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Returns the number with at least six digits, so that the first million pins sort as text:
    /// `000042`.
    pub fn padded(self) -> String {
        format!("{:06}", self.0)
    }
}

fn invalid(found: &str) -> InvalidName {
    InvalidName { what: "pin number", found: found.to_owned(), expected: EXPECTED }
}

impl TryFrom<u64> for PinNumber {
    type Error = InvalidName;
    fn try_from(number: u64) -> Result<Self, InvalidName> {
        Self::new(number)
    }
}

impl From<PinNumber> for u64 {
    fn from(number: PinNumber) -> u64 {
        number.0
    }
}

impl fmt::Display for PinNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pin_numbers_begin_at_one_and_grow_by_one() {
        assert_eq!(PinNumber::FIRST.get(), 1);
        assert_eq!(PinNumber::FIRST.next().next().to_string(), "3");
        assert_eq!(PinNumber::new(42).unwrap().padded(), "000042");
        assert_eq!(PinNumber::new(1_234_567).unwrap().padded(), "1234567");
    }

    #[test]
    fn invalid_pin_numbers_are_refused() {
        for bad in ["", "0", "000000", "+1", "-1", "1.0", " 1", "1e3", "٣", "9007199254740992", "1\n"] {
            assert!(PinNumber::parse(bad).is_err(), "{bad:?}");
        }
        for bad in ["0", "-1", "1.5", "\"1\"", "null"] {
            assert!(serde_json::from_str::<PinNumber>(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn pin_number_round_trips_through_text_and_json(number in 1..=MAX) {
            let pin = PinNumber::new(number).unwrap();
            prop_assert_eq!(PinNumber::parse(&pin.to_string()), Ok(pin));
            prop_assert_eq!(PinNumber::parse(&pin.padded()), Ok(pin));
            prop_assert_eq!(serde_json::to_string(&pin).unwrap(), number.to_string());
            prop_assert_eq!(serde_json::from_str::<PinNumber>(&number.to_string()).unwrap(), pin);
        }
    }
}
