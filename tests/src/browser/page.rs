//! A page that a test opens and uses.

use std::error::Error;
use std::fs;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use xtask::workspace;

use super::axe;
use super::chromium::{Chromium, chromium};
use super::served::serve;
use super::watch::{DOMAINS, complaints, document};
use crate::{Link, stack, until};

/// The width of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Width {
    Desk,
    Phone,
}

impl Width {
    /// Returns the width in CSS pixels.
    pub fn pixels(self) -> u64 {
        match self {
            Self::Desk => 1280,
            Self::Phone => 375,
        }
    }
}

/// The element that has the keyboard focus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Focus {
    /// The text of the element's label, or the element's own text if it has no label.
    pub name: String,
    /// True if the element has a visible outline of at least 2 pixels.
    pub is_visible: bool,
}

/// A page in a private window. Dropping the page fails the test if the page logged an error,
/// violated its content security policy, or sent a request to another origin.
pub struct Page {
    chromium: &'static Chromium,
    context: String,
    session: String,
    origin: String,
    story: String,
    width: Width,
    runs_scripts: bool,
}

impl Page {
    /// Opens an approval link. The names of the screenshots begin with `story`.
    #[track_caller]
    pub fn open(link: &Link, story: &str, width: Width) -> Self {
        Self::visit(stack().api(), &link.url(), story, width)
    }

    /// Opens an approval link in a browser with scripts disabled.
    #[track_caller]
    pub fn open_without_scripts(link: &Link, story: &str, width: Width) -> Self {
        let mut page = Self::blank(stack().api(), story, width);
        page.runs_scripts = false;
        page.let_scripts_run(false);
        page.go(&link.url());
        page
    }

    /// Opens the page in a Lambda function's HTTP response. Tests use this function for pages that
    /// the deployed stack does not return.
    #[track_caller]
    pub fn answered(answer: &Value, story: &str, width: Width) -> Self {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let status = answer["statusCode"].as_u64().and_then(|status| u16::try_from(status).ok());
        let headers = answer["headers"].as_object().expect("headers");
        let headers = headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        let origin = serve(status.expect("a status"), headers, text(&answer["body"]));
        Self::visit(&origin, &format!("{origin}/page"), story, width)
    }

    /// Opens a URL of the deployed stack.
    #[track_caller]
    pub fn at(url: &str, story: &str, width: Width) -> Self {
        Self::visit(stack().api(), url, story, width)
    }

    #[track_caller]
    pub(super) fn visit(origin: &str, url: &str, story: &str, width: Width) -> Self {
        let page = Self::blank(origin, story, width);
        page.go(url);
        page
    }

    /// Opens an empty page in a private window.
    #[track_caller]
    fn blank(origin: &str, story: &str, width: Width) -> Self {
        let chromium = chromium();
        let ask = |method: &str, parameters: Value, answer: &str| {
            let answered = chromium.call(None, method, &parameters).expect("Chromium opens a page");
            answered[answer].as_str().expect("Chromium returns an id").to_owned()
        };
        let context = ask("Target.createBrowserContext", json!({}), "browserContextId");
        let blank = json!({ "url": "about:blank", "browserContextId": context });
        let target = ask("Target.createTarget", blank, "targetId");
        let session =
            ask("Target.attachToTarget", json!({ "targetId": target, "flatten": true }), "sessionId");
        let (origin, story) = (origin.to_owned(), story.to_owned());
        let page = Self { chromium, context, session, origin, story, width, runs_scripts: true };
        for domain in DOMAINS {
            page.call(&format!("{domain}.enable"), &json!({}));
        }
        let is_phone = width == Width::Phone;
        let screen =
            json!({ "width": width.pixels(), "height": 800, "deviceScaleFactor": 1, "mobile": is_phone });
        page.call("Emulation.setDeviceMetricsOverride", &screen);
        // With this setting, every page behaves as if its window had the keyboard focus, even if
        // several pages are open.
        page.call("Emulation.setFocusEmulationEnabled", &json!({ "enabled": true }));
        page
    }

    #[track_caller]
    fn let_scripts_run(&self, they_do: bool) {
        self.call("Emulation.setScriptExecutionDisabled", &json!({ "value": !they_do }));
    }

    /// Opens another URL in the same window, which keeps its cookies.
    #[track_caller]
    pub fn go(&self, url: &str) {
        let answer = self.call("Page.navigate", &json!({ "url": url }));
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
    }

    /// Returns the HTTP status of the current document.
    #[track_caller]
    pub fn status(&self) -> u64 {
        let events = self.chromium.events(&self.session);
        let documents = events.iter().rev().find_map(document);
        documents.expect("a response for the page").1
    }

    /// Returns the number of documents that the window has loaded. A page that a script updates
    /// counts as one document.
    pub fn loads(&self) -> usize {
        self.chromium.events(&self.session).iter().filter_map(document).count()
    }

    /// Returns whether the page shows this text now.
    pub fn reads(&self, text: &str) -> bool {
        let finds = "text => document.readyState === 'complete' && document.body.innerText.includes(text)";
        self.evaluate(finds, &json!(text)) == Ok(json!(true))
    }

    /// Waits until the page shows this text.
    #[track_caller]
    pub fn says(&self, text: &str) {
        until(&format!("{text:?} on the page"), || self.reads(text).then_some(()));
    }

    /// Waits until the page's list of facts contains this name. Returns the value for the name.
    #[track_caller]
    pub fn fact(&self, name: &str) -> String {
        let finds = "name => [...document.querySelectorAll('dt')].find(dt => dt.innerText.trim() === name)
            ?.nextElementSibling?.innerText.trim()";
        until(&format!("the fact {name:?}"), || {
            self.evaluate(finds, &json!(name)).ok()?.as_str().map(str::to_owned)
        })
    }

    /// Waits until the page has a field with this label. Returns the field's value.
    #[track_caller]
    pub fn field(&self, label: &str) -> String {
        let finds = "label => [...document.querySelectorAll('label')].find(one => one.textContent.trim() === label)?.control?.value";
        until(&format!("the field {label:?}"), || {
            self.evaluate(finds, &json!(label)).ok()?.as_str().map(str::to_owned)
        })
    }

    /// Returns the URL of the page, as the browser's address bar shows it.
    #[track_caller]
    pub fn address(&self) -> String {
        let address = self.evaluate("() => location.href", &Value::Null).expect("a page has an address");
        address.as_str().unwrap_or_default().to_owned()
    }

    /// Types a text into the field with this label.
    #[track_caller]
    pub fn write(&self, label: &str, text: &str) {
        self.click(label);
        self.call("Input.insertText", &json!({ "text": text }));
    }

    /// Clicks the center of the element with this name. First waits until the element exists, is
    /// enabled, and is not covered.
    #[track_caller]
    pub fn click(&self, name: &str) {
        let place = until(&format!("{name:?} is clickable"), || self.place(name));
        for kind in ["mousePressed", "mouseReleased"] {
            let click =
                json!({ "type": kind, "x": place["x"], "y": place["y"], "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", &click);
        }
    }

    /// Returns the center of the element, or `None` if a person cannot click the element.
    pub(super) fn place(&self, name: &str) -> Option<Value> {
        self.evaluate(PLACE, &json!(name)).ok().filter(Value::is_object)
    }

    /// Presses the tab key. Returns the element that then has the focus.
    #[track_caller]
    pub fn tab(&self) -> Focus {
        self.press("Tab", 9, "");
        let focus = self.evaluate(FOCUS, &Value::Null).expect("the page returns its focus");
        Focus {
            name: focus["name"].as_str().unwrap_or_default().to_owned(),
            is_visible: focus["isVisible"] == true,
        }
    }

    /// Presses the enter key. The element that has the focus receives the key.
    #[track_caller]
    pub fn press_enter(&self) {
        self.press("Enter", 13, "\r");
    }

    #[track_caller]
    fn press(&self, key: &str, code: u8, text: &str) {
        for (kind, text) in [("keyDown", text), ("keyUp", "")] {
            let key =
                json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.call("Input.dispatchKeyEvent", &key);
        }
    }

    /// Audits the current page in the light and in the dark color scheme. The page must be
    /// accessible and must fit the width of the window. Saves screenshots for people in
    /// `target/screenshots`.
    #[track_caller]
    pub fn inspect(&self, state: &str) {
        for scheme in ["light", "dark"] {
            let feature = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            self.call("Emulation.setEmulatedMedia", &feature);
            self.screenshot(&format!("{state}-{scheme}")).expect("a screenshot");
            // The audit is a script, so it needs scripts even if the test has disabled them. The
            // page's own scripts still do not run, since Chromium has not loaded them.
            self.let_scripts_run(true);
            let audit = self.run(&axe::audit()).expect("axe looks at the page");
            self.let_scripts_run(self.runs_scripts);
            let violations = axe::violations(&audit);
            assert!(violations.is_empty(), "{}, {state}, {scheme}:\n{}", self.story, violations.join("\n"));
        }
        let needs = self.evaluate("() => document.documentElement.scrollWidth", &Value::Null);
        let needs = needs.ok().and_then(|pixels| pixels.as_u64()).expect("a page has a width");
        assert!(needs <= self.width.pixels(), "{state} is {needs} pixels wide, {:?} is not", self.width);
    }

    /// Writes a screenshot of the whole page to `{story}-{state}-{width}.png`.
    fn screenshot(&self, state: &str) -> Result<(), Box<dyn Error>> {
        let call = |method: &str, parameters| self.chromium.call(Some(&self.session), method, &parameters);
        let size = call("Page.getLayoutMetrics", json!({}))?["cssContentSize"].take();
        let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1 });
        let shot = call("Page.captureScreenshot", json!({ "clip": clip, "captureBeyondViewport": true }))?;
        let png =
            STANDARD.decode(shot["data"].as_str().unwrap_or_default()).map_err(|error| error.to_string())?;
        let folder = workspace::target().join("screenshots");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{}-{state}-{}.png", self.story, self.width.pixels())), png)?;
        Ok(())
    }

    /// Calls a JavaScript function in the page. Fails while Chromium loads another page.
    fn evaluate(&self, function: &str, argument: &Value) -> Result<Value, String> {
        self.run(&format!("({function})({argument})"))
    }

    fn run(&self, script: &str) -> Result<Value, String> {
        let ask = json!({ "expression": script, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.chromium.call(Some(&self.session), "Runtime.evaluate", &ask)?;
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(thrown.to_string()),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    #[track_caller]
    fn call(&self, method: &str, parameters: &Value) -> Value {
        self.chromium.call(Some(&self.session), method, parameters).expect("Chromium does it")
    }

    /// Returns Chromium's complaints about the page so far: errors and forbidden requests.
    fn complaints(&self) -> Vec<String> {
        let run = json!({ "value": false });
        let _ = self.chromium.call(Some(&self.session), "Emulation.setScriptExecutionDisabled", &run);
        // Chromium responds to this call only after it has reported all earlier events of the page.
        let _ = self.evaluate("() => new Promise(requestAnimationFrame)", &Value::Null);
        complaints(&self.chromium.events(&self.session), &self.origin)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let complaints = self.complaints();
        let failed = thread::panicking();
        if failed {
            let _ = self.screenshot("failed");
            let text = self.evaluate("() => document.body.innerText", &Value::Null).unwrap_or_default();
            let text = text.as_str().unwrap_or_default();
            eprintln!("The text of {}:\n{text}\n\nits complaints: {complaints:#?}", self.story);
        }
        let context = json!({ "browserContextId": self.context });
        let _ = self.chromium.call(None, "Target.disposeBrowserContext", &context);
        assert!(failed || complaints.is_empty(), "{}: {complaints:#?}", self.story);
    }
}

/// A JavaScript function that returns the center of the button, link or field with this name.
/// Returns null if a person cannot click the element.
const PLACE: &str = "name => {
    const named = element => element.labels?.length
        ? [...element.labels].some(label => label.innerText.trim() === name)
        : element.innerText.trim() === name;
    const found = [...document.querySelectorAll('a, button, input, select, summary, textarea')].find(named);
    if (!found || found.disabled) return null;
    found.scrollIntoView({ block: 'center', behavior: 'instant' });
    const { x, y, width, height } = found.getBoundingClientRect();
    const middle = { x: x + width / 2, y: y + height / 2 };
    return found.contains(document.elementFromPoint(middle.x, middle.y)) ? middle : null;
}";

const FOCUS: &str = "() => {
    const element = document.activeElement;
    const { outlineStyle, outlineWidth } = getComputedStyle(element);
    return {
        name: (element.labels?.[0] ?? element).innerText.trim(),
        isVisible: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2,
    };
}";
