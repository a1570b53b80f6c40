//! The approval code, which the mail shows below its link. The link does not contain the code, so a
//! robot that follows the link cannot enter the code.

use std::fmt;

/// The digits and letters of Crockford's base 32, which omits I, L, O and U. I, L and O look like
/// digits.
/// <https://www.crockford.com/base32.html>
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The number of letters in a code. Six letters are 30 random bits, and a link allows five wrong
/// codes.
const LENGTH: usize = 6;

/// The number of wrong codes after which a link does not accept a vote any more.
pub const MOST_WRONG_CODES: u8 = 5;

/// An approval code. A vote needs the code and the link from the same mail. `Code` does not
/// implement `Debug`, so that no log shows a code.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(String);

impl Code {
    /// Creates a code from random bytes. Uses five bits of each byte.
    pub fn new(random: [u8; LENGTH]) -> Self {
        Self(random.map(|byte| char::from(LETTERS[usize::from(byte % 32)])).iter().collect())
    }

    /// Parses a code as people type it: in upper or lower case, with spaces and hyphens anywhere,
    /// with O for 0, and with I or L for 1.
    pub fn parse(text: &str) -> Option<Self> {
        let read = |c: char| match c.to_ascii_uppercase() {
            'O' => Some('0'),
            'I' | 'L' => Some('1'),
            c => LETTERS.contains(&u8::try_from(c).ok()?).then_some(c),
        };
        let letters: Option<String> =
            text.chars().filter(|c| !c.is_whitespace() && *c != '-').map(read).collect();
        letters.filter(|letters| letters.len() == LENGTH).map(Self)
    }

    /// Returns the six letters without a separator, for hashing.
    pub fn letters(&self) -> &str {
        &self.0
    }
}

/// Shows the code as the mail does: `K7Q-2MD`.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (left, right) = self.0.split_at(LENGTH / 2);
        write!(f, "{left}-{right}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn code_parser_accepts_common_spellings() {
        let code = Code::new([19, 7, 23, 2, 20, 32]);
        assert_eq!(code.to_string(), "K7Q-2M0");
        for typed in ["K7Q-2M0", "k7q2m0", " k7q 2mo ", "K7Q\u{a0}2MO", "k-7-q-2-m-o"] {
            assert!(Code::parse(typed) == Some(code.clone()), "{typed}");
        }
        for wrong in ["", "K7Q-2M", "K7Q-2M0Z", "K7Q-2MU", "K7Q-2M!", "\u{41a}7Q-2M0"] {
            assert!(Code::parse(wrong).is_none(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_code_round_trips_through_its_text(random: [u8; LENGTH]) {
            let code = Code::new(random);
            prop_assert!(Code::parse(&code.to_string()) == Some(code.clone()));
            prop_assert!(Code::parse(&code.to_string().to_lowercase()) == Some(code));
        }

        #[test]
        fn any_parsed_code_has_six_letters(text in any::<String>()) {
            if let Some(code) = Code::parse(&text) {
                prop_assert_eq!(code.letters().len(), LENGTH);
            }
        }
    }
}
