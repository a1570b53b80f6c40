//! Tests that the page of an unknown link reveals nothing, and that the pages escape every value
//! and allow no foreign script.

use insta::assert_snapshot;
use stablepin_http::page::source;
use stablepin_rules::records::{PromotionState, Verdict};
use stablepin_rules::refusal::Refusal;

use super::fixtures::{
    PLACE, after, asking, asks, body, decided, ended, held, lead, said, second, shown, token,
};
use crate::page::{
    Field, FormProblem, LIVE, PageAddress, PageState, internal_error, no_such_method, question, refused,
    state_page,
};

/// A text for a commit, tag or reason. Its markup tries to change the page.
const HOSTILE: &str = "</p><script>alert(\"1\")</script> 'x' &amp;\r\n\u{202e}evorppa";

#[test]
fn page_of_an_unknown_link_reveals_nothing() {
    assert_snapshot!(shown(&refused(&Refusal::UnknownLink)), @r#"
    404 This link is not known · Stablepin
    <p class="brand">Stablepin</p>
    <h1>This link is not known</h1>
    <p>This link is not known.</p>
    <p>Open the complete link from the newest mail.</p>
    "#);
}

#[test]
fn decision_page_explains_wrong_methods_and_errors() {
    assert_snapshot!(shown(&no_such_method()), @r#"
    405 Method not allowed · Stablepin
    <p class="brand">Stablepin</p>
    <h1>Method not allowed</h1>
    <p>This page accepts GET and POST only.</p>
    "#);
    assert_snapshot!(shown(&internal_error("JKJaXmPLvHcESHA=")), @r#"
    500 That did not work · Stablepin
    <p class="brand">Stablepin</p>
    <h1>That did not work</h1>
    <p>Something went wrong on our side. If you have just decided, your decision may be lost: open the link in the mail again to see.</p>
    <p>If it happens again, quote <code>JKJaXmPLvHcESHA=</code>.</p>
    "#);
}

#[test]
fn decision_page_escapes_hostile_values() {
    let longest = format!("_{}", "x.-".repeat(42));
    let subject = after(&asking(1, &longest), Verdict::Reject, Some(&HOSTILE.repeat(20)));
    let subject = held(subject, &HOSTILE.repeat(20));
    let reason = subject.promotion().unwrap().reason.as_ref().unwrap().to_string();
    let refusal = Refusal::NotPending { state: PromotionState::Cancelled, reason };
    let hostile = PageAddress { path: HOSTILE, secret: HOSTILE };
    let wrong =
        FormProblem { status: 400, message: HOSTILE.to_owned(), field: Field::Reason, reason: HOSTILE };
    let pages = [
        question(&subject, &token(&subject), hostile, Some(&wrong)),
        state_page(&subject, PageAddress { path: PLACE.path, ..hostile }, &PageState::now(&subject, &lead())),
        ended(&subject, &second(), &refusal),
        refused(&Refusal::NeverPinned { to: HOSTILE.to_owned() }),
        internal_error(HOSTILE),
    ];
    for page in &pages {
        let text = body(page).replace(&format!("<script>{LIVE}</script>"), "");
        assert!(!text.contains("<script"), "{text}");
        assert_eq!(text.matches("<p").count(), text.matches("</p>").count(), "{text}");
    }
    for page in [&pages[1], &pages[2], &pages[3]] {
        let text = body(page);
        assert!(!text.contains('\u{202e}'), "no mark may reverse the text: {text}");
    }
    let told = said(&ended(&asking(1, "main"), &second(), &Refusal::NeverPinned { to: HOSTILE.to_owned() }));
    assert_snapshot!(told.lines().nth(2).unwrap(), @r#"<p id="told" role="status">&lt;/p&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; 'x' &amp;amp; evorppa was never pinned in this environment, so it was never verified here: promote it instead.</p>"#);
}

#[test]
fn decision_pages_forbid_caching_framing_and_foreign_scripts() {
    let subject = asking(1, "main");
    let after = after(&subject, Verdict::Approve, None);
    let pages = [asks(&subject), decided(&after), refused(&Refusal::UnknownLink), internal_error("1")];
    for page in &pages {
        let header = |name: &str| page.headers[name].to_str().unwrap();
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!(header("x-frame-options"), "DENY");
        assert_eq!(header("referrer-policy"), "no-referrer");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("x-robots-tag"), "noindex");
        assert!(header("strict-transport-security").starts_with("max-age="));
        let text = body(page);
        assert!(text.len() < 20_000, "{} bytes", text.len());
        // The content security policy allows exactly the style and the script of the page.
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
        for (element, directive) in [("style", "style-src"), ("script", "script-src")] {
            for part in text.split(&format!("<{element}>")).skip(1) {
                let (inner, _) = part.split_once(&format!("</{element}>")).unwrap();
                assert!(policy.contains(&format!("{directive} '{}'", source(inner))), "{element}");
            }
        }
        for inline in [" style=", " onclick=", " onload=", "javascript:"] {
            assert!(!text.contains(inline), "{inline}");
        }
    }
    assert_eq!(body(&pages[0]).matches("SECRET").count(), 1, "the secret is only in the form");
}
