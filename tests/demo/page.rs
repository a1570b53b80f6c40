//! An approval page as a person reads it.

/// A page's heading and the lines below it: paragraphs, and facts as `name: value`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) heading: String,
    pub(crate) lines: Vec<String>,
}

impl Page {
    pub(crate) fn read(html: &str) -> Self {
        let body = html.split_once("<h1>").map_or(html, |(_, body)| body);
        let body = body.split_once("<script>").map_or(body, |(body, _)| body);
        let body = body.replace("</dt>", ": ").replace("</b>", ": ").replace("<span class", " <span class");
        let mut text = String::new();
        for part in body.split('<') {
            let (tag, words) = part.split_once('>').unwrap_or(("", part));
            match tag.split(' ').next().unwrap_or_default() {
                "/h1" | "/h2" | "/p" | "/dd" | "/label" | "/div" | "/li" => text.push('\n'),
                "button" => text.push_str("[ "),
                "/button" => text.push_str(" ] "),
                _ => {}
            }
            text.push_str(words);
        }
        let text = text
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&amp;", "&");
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned);
        Self { heading: lines.next().unwrap_or_default(), lines: lines.collect() }
    }

    /// Returns the value of a fact, or an empty text if the page has no such fact.
    pub(crate) fn fact(&self, name: &str) -> &str {
        self.lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map_or("", str::trim)
    }
}

#[cfg(test)]
mod tests {
    use super::Page;

    #[test]
    fn html_page_is_parsed_into_lines_of_text() {
        let html = "<!DOCTYPE html><head><title>x</title></head><body><main><h1>Approve a &amp; b?</h1><p>As <strong>lead</strong>.</p>\
                    <dl><dt>Digest</dt> <dd><code>sha256:ab</code></dd></dl><div><button name=\"x\">Approve</button><button>Reject</button></div></main></body>";
        let page = Page::read(html);
        assert_eq!(page.heading, "Approve a & b?");
        assert_eq!(page.lines, ["As lead.", "Digest:  sha256:ab", "[ Approve ] [ Reject ]"]);
        assert_eq!(page.fact("Digest"), "sha256:ab");
        assert_eq!(page.fact("Size"), "");
    }
}
