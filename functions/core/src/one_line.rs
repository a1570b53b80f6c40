//! Words that people or AWS wrote freely, made harmless to show: one line, in reading order, not too long.

/// What a reason may have at most, in characters.
pub const LONGEST_REASON: usize = 500;

/// On one line, at most `most` characters. What is no visible character is a space: line ends, so that a text
/// cannot forge a line of a mail; marks that turn the direction of reading, so that it cannot be shown as what it
/// is not (<https://www.unicode.org/reports/tr36/#Bidirectional_Text_Spoofing>).
pub fn one_line(text: &str, most: usize) -> String {
    let visible: String = text.chars().map(|c| if is_hidden(c) { ' ' } else { c }).collect();
    let line = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(most) {
        None => line,
        Some(_) => {
            let kept: String = line.chars().take(most.saturating_sub(1)).collect();
            format!("{}…", kept.trim_end())
        }
    }
}

/// A person's reason; none when nothing is left of it.
pub fn reason(text: &str) -> Option<String> {
    Some(one_line(text, LONGEST_REASON)).filter(|line| !line.is_empty())
}

/// Control characters, and Unicode's format characters (general category Cf) with its separators of lines.
/// <https://www.unicode.org/Public/UNIDATA/extracted/DerivedGeneralCategory.txt>
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{600}'..='\u{605}'
                | '\u{61c}'
                | '\u{6dd}'
                | '\u{70f}'
                | '\u{890}'..='\u{891}'
                | '\u{8e2}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{110bd}'
                | '\u{110cd}'
                | '\u{13430}'..='\u{1343f}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0001}'
                | '\u{e0020}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_write_stays_as_it_is() {
        for plain in
            ["500s since 14:30", "größer als nötig", "日本語のテキスト", "<b>\"it's\"</b> & so on", "🚀"]
        {
            assert_eq!(one_line(plain, 100), plain);
        }
        assert_eq!(reason("  two\r\nlines\tand a tab "), Some("two lines and a tab".to_owned()));
    }

    #[test]
    fn a_text_cannot_forge_a_line_or_be_read_backwards() {
        assert_eq!(one_line("ok\r\n\r\nhttps://evil.example", 100), "ok https://evil.example");
        assert_eq!(one_line("approve \u{202e}tcejer\u{202c}", 100), "approve tcejer");
        assert_eq!(one_line("a\u{2028}b\u{85}c\u{0}d\u{1b}[31me\u{feff}", 100), "a b c d [31me");
    }

    #[test]
    fn what_is_too_long_is_cut_and_says_so() {
        assert_eq!(one_line("12345", 5), "12345");
        assert_eq!(one_line("123456", 5), "1234…");
        assert_eq!(one_line("éééééé", 5), "éééé…");
        assert_eq!(reason(&"x".repeat(2000)).unwrap().chars().count(), LONGEST_REASON);
        assert_eq!(reason(" \r\n\u{202e}\u{200b} "), None);
    }

    proptest! {
        #[test]
        fn whatever_it_was_it_is_one_visible_line(text in any::<String>(), most in 1..80_usize) {
            let line = one_line(&text, most);
            prop_assert!(line.chars().count() <= most);
            prop_assert!(!line.chars().any(|c| is_hidden(c) || (c.is_whitespace() && c != ' ')));
            prop_assert_eq!(one_line(&line, most), line.clone());
        }
    }
}
