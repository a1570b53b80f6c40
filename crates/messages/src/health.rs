//! The notices about subscriptions: unknown subscribers of secret links, and approvers without a
//! subscription.

use serde_json::json;
use stablepin_rules::name::ApplicationName;

use super::WrittenNotice;
use super::notice::{NoticeSubject, Words};

/// Returns the notice about the approvers of an application. With `None` as application, returns
/// the notice about the topics of secret links. An empty list of findings means that all problems
/// are solved.
pub fn health(application: Option<&ApplicationName>, findings: &[String]) -> WrittenNotice {
    let well = findings.is_empty();
    let words = match application {
        None => Words {
            title: match well {
                true => "the approval topics are closed again",
                false => "the approval topics are open to others",
            },
            event: "approval-subscribers",
            what: match well {
                true => "Every subscriber of the topics with approval links is an approver and gets only \
                         their own mails. \
                         Nobody else may subscribe or publish."
                    .to_owned(),
                false => "The topics with approval links have subscribers that must not get these links, or \
                          let others subscribe or publish. Anybody who reads a link and its code can decide \
                          in the approver's name. Anybody who can publish can send approvers mails that look \
                          like ours."
                    .to_owned(),
            },
            why: String::new(),
            next: match well {
                true => Vec::new(),
                false => vec![
                    "Deny sns:Subscribe in the policy of a topic that lets others subscribe. This does not \
                     end existing subscriptions."
                        .to_owned(),
                    "Deny sns:Publish in the policy of a topic that lets others publish.".to_owned(),
                    "Unsubscribe the wrong subscribers.".to_owned(),
                    "Give each approver a subscription of their own: PUT …/approvers/{name}/subscription.".to_owned(),
                    "Withdraw the open promotions that were mailed meanwhile, and request them again."
                        .to_owned(),
                ],
            },
        },
        Some(_) => Words {
            title: match well {
                true => "every approver is subscribed again",
                false => "approvers are not subscribed",
            },
            event: "approvers-subscribed",
            what: match well {
                true => "Every approver gets mails.".to_owned(),
                false => "Approvers of this application get no mails, so they do not learn that a build \
                          waits."
                    .to_owned(),
            },
            why: String::new(),
            next: match well {
                true => Vec::new(),
                false => vec![
                    "Subscribe them: PUT …/approvers/{name}/subscription, and confirm with the token of SNS's mail."
                        .to_owned(),
                ],
            },
        },
    };
    let place = application.map_or("Stablepin".to_owned(), ToString::to_string);
    let context = match application {
        None => json!({}),
        Some(application) => json!({ "application": application }),
    };
    NoticeSubject { id: format!("health-{place}"), place, context }.write(&words, "Found", findings)
}
