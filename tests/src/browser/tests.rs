//! Checks that a page of the browser reports each kind of error. Each bad page contains one error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::served::serve;
use super::{Focus, Page, Width};

const POLICY: &str = "default-src 'none'; form-action 'self'";

/// Opens a page with this document. The server sends the document in response to every request.
fn page(status: u16, policy: &'static str, main: &str) -> Page {
    let html = format!(
        "<!doctype html><html lang=en><meta name=viewport content='width=device-width'><title>A page</title>\
         <link rel=icon href=data:,><main><h1>Hello</h1>{main}</main></html>"
    );
    let headers = [("content-type", "text/html"), ("content-security-policy", policy)];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let origin = serve(status, headers.to_vec(), html);
    let page = Page::visit(&origin, &format!("{origin}/page"), "a-page", Width::Phone);
    page.says("Hello");
    page
}

/// Closes a bad page, which panics. Returns the text of the panic.
#[track_caller]
fn closing(page: Page) -> String {
    found(|| drop(page))
}

#[track_caller]
fn inspecting(page: Page) -> String {
    found(move || {
        let page = page; // so that this block drops the page
        page.inspect("now");
    })
}

#[track_caller]
fn found(look: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(look)).expect_err("a bad page");
    *panic.downcast::<String>().expect("a text")
}

#[test]
fn inspection_accepts_a_good_page_with_status_404() {
    let page = page(404, "default-src 'none'; img-src data:", "<p>There is nothing here.</p>");
    assert_eq!(page.status(), 404);
    page.inspect("now");
}

#[test]
fn page_reports_console_errors_and_warnings() {
    let said = closing(page(200, "", "<script>console.error('no', 7)</script>"));
    assert!(said.contains("console.error: \\\"no\\\" 7"), "{said}");
    let said = closing(page(200, "", "<script>console.warn('hm')</script>"));
    assert!(said.contains("console.warning"), "{said}");
}

#[test]
fn page_reports_uncaught_exceptions() {
    let said = closing(page(200, "", "<script>throw new Error('lost')</script>"));
    assert!(said.contains("Error: lost"), "{said}");
}

#[test]
fn page_reports_content_security_policy_violations() {
    let said = closing(page(200, POLICY, "<script>document.title = 'mine'</script>"));
    assert!(said.contains("ContentSecurityPolicyIssue") && said.contains("script-src"), "{said}");
    let said = closing(page(200, POLICY, "<p style='color: red'>Red</p>"));
    assert!(said.contains("style-src"), "{said}");
}

#[test]
fn page_reports_requests_to_other_origins() {
    let said = closing(page(200, "", "<img alt='' src='http://example.invalid/spy.png'>"));
    assert!(said.contains("a request elsewhere: http://example.invalid/spy.png"), "{said}");
}

#[test]
fn page_reports_missing_files() {
    let said = closing(page(404, "", "<img alt='' src='/nothing.png'>"));
    assert!(said.contains("nothing.png"), "{said}");
}

#[test]
fn inspection_reports_accessibility_violations() {
    let said = inspecting(page(200, "", "<p style='color: #ccc; background: #fff'>Pale</p>"));
    assert!(said.contains("color-contrast: "), "{said}");
    let said = inspecting(page(200, "", "<textarea></textarea>"));
    assert!(said.contains("label: ") && said.contains("at textarea"), "{said}");
}

#[test]
fn inspection_reports_low_contrast_in_the_dark_color_scheme() {
    let night = "<style>@media (prefers-color-scheme: dark) { p { color: #222; background: #000 } }</style>";
    let said = inspecting(page(200, "", &format!("{night}<p>Dark</p>")));
    assert!(said.contains("now, dark:\ncolor-contrast: "), "{said}");
}

#[test]
fn inspection_reports_a_page_that_is_wider_than_its_window() {
    let said = inspecting(page(200, "", "<p style='width: 500px'>Wide</p>"));
    assert!(said.contains("pixels wide"), "{said}");
}

#[test]
fn pressing_tab_reports_whether_the_focus_is_visible() {
    let style = "<style>:focus-visible { outline: 3px solid } .hidden { outline: 0 }</style>";
    let page = page(200, "", &format!("{style}<button>One</button><button class=hidden>Two</button>"));
    assert_eq!(page.tab(), Focus { name: "One".to_owned(), is_visible: true });
    assert_eq!(page.tab(), Focus { name: "Two".to_owned(), is_visible: false });
}

#[test]
fn browser_does_not_click_covered_buttons() {
    let cover = "<style>button { position: fixed; top: 0; left: 0 }</style>\
                 <button>Below</button><button>Above it</button>";
    let page = page(200, "", cover);
    page.click("Above it");
    assert_eq!(page.place("Below"), None);
}
