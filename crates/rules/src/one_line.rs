//! Free text from people or AWS that is made safe to display: on one line, in reading order, and
//! with a limited length.

/// The most characters of a person's reason that are stored.
pub const LONGEST_REASON: usize = 500;

/// Returns the text on one line, with at most `most` characters. Replaces each run of white space
/// and invisible characters by one space, because line ends could forge a line of a mail and
/// direction marks could disguise the text.
/// <https://www.unicode.org/reports/tr36/#Bidirectional_Text_Spoofing>
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

/// Makes a text harmless in a chat that interprets Markdown. Replaces the characters of mentions,
/// links and formats in Slack and Teams by their full-width forms, which look alike and have no
/// effect. Escapes do not help, because the sender does not know which chat receives the message.
/// <https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html>,
/// <https://docs.slack.dev/messaging/formatting-message-text/>
pub fn inert(text: &str) -> String {
    let mut before = None;
    let mut after = text.chars().skip(1);
    let mut inert = String::with_capacity(text.len());
    for c in text.chars() {
        let within_word = |next: Option<char>| next.is_some_and(char::is_alphanumeric);
        let next = after.next();
        let active = match c {
            '<' | '>' | '&' | '@' | '#' | '*' | '~' | '`' | '[' | ']' | '|' | '\\' => true,
            // An underscore within a word, as in `SCALE_UP`, formats nothing.
            '_' => !(within_word(before) && within_word(next)),
            // Breaks URLs, so that the chat does not open the page to show a preview.
            ':' => next == Some('/') && after.clone().next() == Some('/'),
            _ => false,
        };
        inert.push(if active { full_width(c) } else { c });
        before = Some(c);
    }
    inert
}

/// Returns the full-width form of a visible ASCII character.
/// <https://www.unicode.org/charts/PDF/UFF00.pdf>
fn full_width(c: char) -> char {
    char::from_u32(u32::from(c) + 0xfee0).unwrap_or(c)
}

/// The most characters of a text from AWS that are stored. ECS's texts are shorter, but one record
/// contains the texts of several services.
pub const LONGEST_TEXT: usize = 4000;

/// The end of a shortened text.
const CUT: &str = "… (cut)";

/// Shortens a text to at most `most` characters, and marks the cut at its end.
pub fn cut(text: &mut String, most: usize) {
    if text.chars().nth(most).is_some() {
        let kept = most.saturating_sub(CUT.chars().count());
        text.truncate(text.char_indices().nth(kept).map_or(0, |(end, _)| end));
        text.push_str(CUT);
    }
}

/// Returns a text from AWS without full stops at its end, shortened to at most `most` characters.
/// The caller continues the sentence after the text.
pub fn clause(text: &str, most: usize) -> String {
    let mut text = text.trim_end_matches('.').to_owned();
    cut(&mut text, most);
    text
}

/// Returns the text, shortened to [`LONGEST_TEXT`] characters.
pub fn bounded(mut text: String) -> String {
    cut(&mut text, LONGEST_TEXT);
    text
}

/// Returns the text with a full stop at its end, unless the text already ends with a punctuation
/// mark.
pub fn ended(text: &str) -> String {
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{text}{end}")
}

/// Returns a person's reason on one line. None if the reason has no visible character.
pub fn reason(text: &str) -> Option<String> {
    Some(one_line(text, LONGEST_REASON)).filter(|line| !line.is_empty())
}

/// Returns whether a character is a control character, a Unicode format character (category Cf), or
/// a line separator.
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
    fn one_line_keeps_plain_text() {
        for plain in
            ["500s since 14:30", "größer als nötig", "日本語のテキスト", "<b>\"it's\"</b> & so on", "🚀"]
        {
            assert_eq!(one_line(plain, 100), plain);
        }
        assert_eq!(reason("  two\r\nlines\tand a tab "), Some("two lines and a tab".to_owned()));
    }

    #[test]
    fn one_line_removes_line_ends_and_direction_marks() {
        assert_eq!(one_line("ok\r\n\r\nhttps://evil.example", 100), "ok https://evil.example");
        assert_eq!(one_line("approve \u{202e}tcejer\u{202c}", 100), "approve tcejer");
        assert_eq!(one_line("a\u{2028}b\u{85}c\u{0}d\u{1b}[31me\u{feff}", 100), "a b c d [31me");
    }

    #[test]
    fn inert_text_has_no_mentions_links_or_formatting() {
        for hostile in [
            "<!channel>",
            "<@U012AB3CD>",
            "@here",
            "<https://evil.example|approve>",
            "[approve](https://evil.example)",
            "*bold* _slanted_ ~gone~ `code` ```block```",
            "# heading",
            "> quoted",
            "&lt;!channel&gt;",
            "a | table",
            "\\*",
            "https://evil.example",
        ] {
            let inert = inert(hostile);
            assert!(
                !inert.contains(['<', '>', '&', '@', '#', '*', '~', '`', '[', ']', '|', '\\']),
                "{inert}"
            );
            assert!(!inert.contains(" _") && !inert.contains("_ "), "{inert}");
            assert!(!inert.contains("://"), "{inert}");
            assert_eq!(inert.chars().count(), hostile.chars().count());
        }
        assert_eq!(inert("<!channel>"), "＜!channel＞");
        assert_eq!(inert("_x_ a_b __"), "＿x＿ a_b ＿＿");
    }

    #[test]
    fn inert_leaves_harmless_text_unchanged() {
        for plain in [
            "SCALE_UP: 1 of 2 (tasks), 50 %",
            "größer als nötig!",
            "prod/web: it's \"up\"; arn:aws:ecs:1",
            "",
        ] {
            assert_eq!(inert(plain), plain);
        }
    }

    #[test]
    fn shortened_line_ends_with_an_ellipsis() {
        assert_eq!(one_line("12345", 5), "12345");
        assert_eq!(one_line("123456", 5), "1234…");
        assert_eq!(one_line("éééééé", 5), "éééé…");
        assert_eq!(reason(&"x".repeat(2000)).unwrap().chars().count(), LONGEST_REASON);
        assert_eq!(reason(" \r\n\u{202e}\u{200b} "), None);
    }

    #[test]
    fn clause_drops_full_stop_and_shortens_long_text() {
        assert_eq!(clause("Tasks failed to start.", 100), "Tasks failed to start");
        assert_eq!(clause("it failed: no capacity", 100), "it failed: no capacity");
        assert_eq!(clause(&"x".repeat(20), 10), format!("xxx{CUT}"));
        assert_eq!((ended("it failed"), ended("why?")), ("it failed.".to_owned(), "why?".to_owned()));
    }

    proptest! {
        #[test]
        fn any_text_becomes_one_visible_line(text in any::<String>(), most in 1..80_usize) {
            let line = one_line(&text, most);
            prop_assert!(line.chars().count() <= most);
            prop_assert!(!line.chars().any(|c| is_hidden(c) || (c.is_whitespace() && c != ' ')));
            prop_assert_eq!(one_line(&line, most), line.clone());
        }
    }
}
