//! Finds the errors and the forbidden requests in a page's events.

use std::collections::HashSet;

use serde_json::Value;

/// The domains of the DevTools protocol that send the events for this module. A page enables these
/// domains before it opens a URL.
pub(super) const DOMAINS: [&str; 6] = ["Page", "Runtime", "Network", "Log", "Audits", "Inspector"];

/// Returns a complaint for each error and for each request to another origin.
pub(super) fn complaints(events: &[Value], origin: &str) -> Vec<String> {
    let documents = refused_documents(events);
    events.iter().filter_map(|event| complaint(event, origin, &documents)).collect()
}

fn complaint(event: &Value, origin: &str, refused: &HashSet<&str>) -> Option<String> {
    let parameters = &event["params"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match event["method"].as_str()? {
        "Runtime.consoleAPICalled" => {
            let kind = parameters["type"].as_str()?;
            let said = parameters["args"].as_array()?.iter().map(|said| match &said["value"] {
                Value::Null => text(&said["description"]),
                value => value.to_string(),
            });
            let said = said.collect::<Vec<_>>().join(" ");
            matches!(kind, "error" | "warning" | "assert").then(|| format!("console.{kind}: {said}"))
        }
        "Runtime.exceptionThrown" => {
            let details = &parameters["exceptionDetails"];
            Some(format!(
                "exception: {} {}",
                text(&details["text"]),
                text(&details["exception"]["description"])
            ))
        }
        "Log.entryAdded" => {
            let entry = &parameters["entry"];
            let is_bad = matches!(entry["level"].as_str(), Some("error" | "warning"));
            // Chromium logs every document with an error status, but a test may open such a
            // document on purpose.
            let is_refusal = entry["source"] == "network" && refused.contains(entry["url"].as_str()?);
            (is_bad && !is_refusal).then(|| {
                format!("{}: {} ({})", text(&entry["source"]), text(&entry["text"]), text(&entry["url"]))
            })
        }
        "Audits.issueAdded" => {
            let issue = &parameters["issue"];
            Some(format!("{}: {}", text(&issue["code"]), issue["details"]))
        }
        "Network.requestWillBeSent" => elsewhere(parameters["request"]["url"].as_str()?, origin),
        "Network.webSocketCreated" => elsewhere(parameters["url"].as_str()?, origin),
        "Page.javascriptDialogOpening" => Some(format!("a dialog: {}", text(&parameters["message"]))),
        "Inspector.targetCrashed" => Some("the page crashed".to_owned()),
        _ => None,
    }
}

/// Returns the URL if it is outside the origin. A `data:` URL contains its content, so it needs no
/// request.
fn elsewhere(url: &str, origin: &str) -> Option<String> {
    let is_own = url.strip_prefix(origin).is_some_and(|path| path.starts_with('/'));
    (!is_own && !url.starts_with("data:")).then(|| format!("a request elsewhere: {url}"))
}

/// Returns the URLs of the documents that the server sent with an error status.
fn refused_documents(events: &[Value]) -> HashSet<&str> {
    let documents = events.iter().filter_map(document);
    documents.filter(|(_, status)| *status >= 400).map(|(url, _)| url).collect()
}

/// Returns the URL and the HTTP status of a document if the event reports a response with a
/// document.
pub(super) fn document(event: &Value) -> Option<(&str, u64)> {
    let parameters = &event["params"];
    let is_document = event["method"] == "Network.responseReceived" && parameters["type"] == "Document";
    let response = is_document.then_some(&parameters["response"])?;
    Some((response["url"].as_str()?, response["status"].as_u64()?))
}
