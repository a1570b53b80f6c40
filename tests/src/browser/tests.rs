//! Checks that the browser finds every fault of a page. Each bad page does one forbidden thing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::served::serve;
use super::{Focus, Page, Width};

const POLICY: &str = "default-src 'none'; form-action 'self'";

/// Opens a page whose server answers every request with this document.
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

/// Returns the complaint when the page is closed.
#[track_caller]
fn closing(page: Page) -> String {
    found(|| drop(page))
}

#[track_caller]
fn inspecting(page: Page) -> String {
    found(move || {
        let page = page; // the page is dropped at the end of this block
        page.inspect("now");
    })
}

#[track_caller]
fn found(look: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(look)).expect_err("a bad page");
    *panic.downcast::<String>().expect("a text")
}

#[test]
fn good_page_passes_even_with_an_error_status() {
    let page = page(404, "default-src 'none'; img-src data:", "<p>There is nothing here.</p>");
    assert_eq!(page.status(), 404);
    page.inspect("now");
}

#[test]
fn console_error_or_warning_is_reported() {
    let said = closing(page(200, "", "<script>console.error('no', 7)</script>"));
    assert!(said.contains("console.error: \\\"no\\\" 7"), "{said}");
    let said = closing(page(200, "", "<script>console.warn('hm')</script>"));
    assert!(said.contains("console.warning"), "{said}");
}

#[test]
fn uncaught_exception_is_reported() {
    let said = closing(page(200, "", "<script>throw new Error('lost')</script>"));
    assert!(said.contains("Error: lost"), "{said}");
}

#[test]
fn policy_violation_is_reported() {
    let said = closing(page(200, POLICY, "<script>document.title = 'mine'</script>"));
    assert!(said.contains("ContentSecurityPolicyIssue") && said.contains("script-src"), "{said}");
    let said = closing(page(200, POLICY, "<p style='color: red'>Red</p>"));
    assert!(said.contains("style-src"), "{said}");
}

#[test]
fn request_to_another_origin_is_reported() {
    let said = closing(page(200, "", "<img alt='' src='http://example.invalid/spy.png'>"));
    assert!(said.contains("a request elsewhere: http://example.invalid/spy.png"), "{said}");
}

#[test]
fn missing_file_is_reported() {
    let said = closing(page(404, "", "<img alt='' src='/nothing.png'>"));
    assert!(said.contains("nothing.png"), "{said}");
}

#[test]
fn accessibility_violation_is_reported() {
    let said = inspecting(page(200, "", "<p style='color: #ccc; background: #fff'>Pale</p>"));
    assert!(said.contains("color-contrast: "), "{said}");
    let said = inspecting(page(200, "", "<textarea></textarea>"));
    assert!(said.contains("label: ") && said.contains("at textarea"), "{said}");
}

#[test]
fn unreadable_dark_scheme_is_reported() {
    let night = "<style>@media (prefers-color-scheme: dark) { p { color: #222; background: #000 } }</style>";
    let said = inspecting(page(200, "", &format!("{night}<p>Dark</p>")));
    assert!(said.contains("now, dark:\ncolor-contrast: "), "{said}");
}

#[test]
fn page_wider_than_a_phone_is_reported() {
    let said = inspecting(page(200, "", "<p style='width: 500px'>Wide</p>"));
    assert!(said.contains("pixels wide"), "{said}");
}

#[test]
fn page_reports_focus_and_its_visibility() {
    let style = "<style>:focus-visible { outline: 3px solid } .hidden { outline: 0 }</style>";
    let page = page(200, "", &format!("{style}<button>One</button><button class=hidden>Two</button>"));
    assert_eq!(page.tab(), Focus { name: "One".to_owned(), is_visible: true });
    assert_eq!(page.tab(), Focus { name: "Two".to_owned(), is_visible: false });
}

#[test]
fn covered_button_is_not_clicked() {
    let cover = "<style>button { position: fixed; top: 0; left: 0 }</style>\
                 <button>Below</button><button>Above it</button>";
    let page = page(200, "", cover);
    page.click("Above it");
    assert_eq!(page.place("Below"), None);
}
