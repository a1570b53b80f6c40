//! The code that a mail prints and its link does not have: a robot that follows links cannot type it.

use std::fmt;

/// Digits and letters that nobody takes for another: Crockford's base 32.
/// <https://www.crockford.com/base32.html>
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// How many letters a code has: 30 bits, of which five may be tried.
const LENGTH: usize = 6;

/// How many wrong codes a link takes. The last of them burns it.
pub const MOST_WRONG_CODES: u8 = 5;

/// Has no Debug: it decides, together with its link.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(String);

impl Code {
    /// From random bytes, of which five bits each are used.
    pub fn new(random: [u8; LENGTH]) -> Self {
        Self(random.map(|byte| char::from(LETTERS[usize::from(byte % 32)])).iter().collect())
    }

    /// As people type it: in either case, divided as they like, with an O for the 0 and an I or L for the 1.
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

    /// As it is hashed: six letters, nothing between.
    pub fn letters(&self) -> &str {
        &self.0
    }
}

/// As it is mailed: `K7Q-2MD`.
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
    fn people_type_it_as_they_read_it() {
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
        fn every_code_reads_back(random: [u8; LENGTH]) {
            let code = Code::new(random);
            prop_assert!(Code::parse(&code.to_string()) == Some(code.clone()));
            prop_assert!(Code::parse(&code.to_string().to_lowercase()) == Some(code));
        }

        #[test]
        fn no_text_is_too_much(text in any::<String>()) {
            if let Some(code) = Code::parse(&text) {
                prop_assert_eq!(code.letters().len(), LENGTH);
            }
        }
    }
}
