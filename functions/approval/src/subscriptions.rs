//! The routes of an approver's subscription to the mails with links: `PUT
//! …/approvers/{approver}/subscription`, its confirmation, and its status. Each address is
//! subscribed once, even if several applications name the address.

use serde::Deserialize;
use stablepin_api_types::SubscriptionAnswer;
use stablepin_aws::call::CallError;
use stablepin_aws::dynamodb::Table;
use stablepin_aws::sns::Subscribed;
use stablepin_http::{Problem, Request, Response, json as answer};
use stablepin_reconciler::Topics;
use stablepin_rules::application::{Application, Approver, MailAddress};
use stablepin_rules::name::{ApplicationName, ApproverName};
use stablepin_rules::shell::shell_quoted;
use stablepin_rules::subscription_status::{Subscription, SubscriptionStatus, filter, wrong};

use crate::signed::internal_error;

/// The most filter policies of one topic.
/// <https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html>
const MOST_FILTERS: usize = 200;

/// Returns the ARN and the defect of the approver's first bad subscription, or `None` if all
/// subscriptions are good.
async fn first_defect(topics: &Topics, own: &[&Subscription]) -> Result<Option<(String, String)>, CallError> {
    for one in own {
        let Some(arn) = &one.arn else { continue };
        let Some(attributes) = topics.sns.attributes_of(arn).await? else { continue };
        if let Some(what) = wrong(one, &attributes) {
            return Ok(Some((arn.clone(), what)));
        }
    }
    Ok(None)
}

fn with_room<'a>(topics: &'a [String], subscriptions: &[Subscription]) -> Option<&'a String> {
    let taken = |topic: &str| subscriptions.iter().filter(|one| one.topic == topic).count();
    topics.iter().find(|topic| taken(topic) < MOST_FILTERS)
}

pub(crate) async fn read(table: &Table, topics: &Topics, request: &Request) -> Result<Response, Problem> {
    let approver = approver(table, request).await?;
    let found = topics.subscriptions().await.map_err(|error| failed(request, &error))?;
    Ok(status_response(&approver, &found))
}

/// Subscribes the approver. For an unconfirmed subscription, SNS mails the confirmation link again.
/// A confirmed subscription is not changed.
pub(crate) async fn put(table: &Table, topics: &Topics, request: &Request) -> Result<Response, Problem> {
    let approver = approver(table, request).await?;
    let found = topics.subscriptions().await.map_err(|error| failed(request, &error))?;
    let own: Vec<_> = found.iter().filter(|one| one.is_of(&approver.mail)).collect();
    if SubscriptionStatus::of(&approver.mail, &found) == SubscriptionStatus::Confirmed {
        return match first_defect(topics, &own).await.map_err(|error| failed(request, &error))? {
            None => Ok(status_response(&approver, &found)),
            Some((arn, what)) => Err(exposed(&approver, &arn, &what)),
        };
    }
    let topic = own.first().map(|one| &one.topic).or_else(|| with_room(&topics.arns, &found));
    let topic = topic.ok_or_else(|| full(topics))?;
    match topics.sns.subscribe(topic, &approver.mail).await.map_err(|error| failed(request, &error))? {
        Subscribed::Requested => {}
        Subscribed::TopicFull => {
            let detail = format!("{topic} accepts no more filter policies");
            return Err(Problem::new(409, "topics-full", "The topic is full", detail));
        }
        Subscribed::Differently => {
            let detail = format!(
                "{} is subscribed to {topic} already, without this filter, and has not confirmed it: SNS \
                 deletes the subscription after two days, or unsubscribe it by hand",
                approver.mail
            );
            return Err(not_as_it_should_be(detail));
        }
    }
    let found = topics.subscriptions().await.map_err(|error| failed(request, &error))?;
    Ok(status_response(&approver, &found))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfirmationBody {
    token: String,
}

/// Confirms a subscription with the token from SNS's mail, or with the whole link from that mail.
pub(crate) async fn confirm(table: &Table, topics: &Topics, request: &Request) -> Result<Response, Problem> {
    let approver = approver(table, request).await?;
    // The problem does not repeat the body, since the token is a secret.
    let body: ConfirmationBody = serde_json::from_str(&request.body).map_err(|_| {
        Problem::bad_request(r#"send the token of the mail from SNS: {"token": "2336412f37…"}"#)
    })?;
    let token = token(&body.token);
    for topic in &topics.arns {
        if topics.sns.confirm(topic, token).await.map_err(|error| failed(request, &error))? {
            let found = topics.subscriptions().await.map_err(|error| failed(request, &error))?;
            return Ok(status_response(&approver, &found));
        }
    }
    Err(Problem::new(
        409,
        "token-refused",
        "SNS does not accept this token",
        format!(
            "it was used, is older than 3 days, or is incomplete: PUT …/approvers/{}/subscription makes SNS \
             mail another",
            approver.name
        ),
    ))
}

/// Returns the token from a confirmation link, or the text itself if the text is not a link.
///
/// `https://sns.eu-central-1.amazonaws.com/confirmation.html?TopicArn=…&Token=…&Endpoint=…` is an
/// example of a link.
fn token(text: &str) -> &str {
    let parts = text.trim().split(['?', '&']);
    parts.filter_map(|part| part.strip_prefix("Token=")).next().unwrap_or(text.trim())
}

async fn approver(table: &Table, request: &Request) -> Result<Approver, Problem> {
    request.signed_by()?;
    let application = request.parsed("application", ApplicationName::parse)?;
    let name = request.parsed("approver", ApproverName::parse)?;
    let stored = table.application(&application).await.map_err(|error| internal_error(request, &error))?;
    let stored = stored.ok_or_else(|| Problem::not_found("application of that name"))?;
    let parsed = Application::parse(&stored.text, None).ok();
    let found = parsed.as_ref().and_then(|parsed| parsed.approver(&name)).cloned();
    found.ok_or_else(|| Problem::not_found(&format!("approver {name} in {application}'s configuration")))
}

fn status_response(approver: &Approver, found: &[Subscription]) -> Response {
    let state = SubscriptionStatus::of(&approver.mail, found);
    let own = found.iter().find(|one| one.is_of(&approver.mail));
    let next = match state {
        SubscriptionStatus::Confirmed => None,
        SubscriptionStatus::Pending => Some(
            "SNS has mailed a confirmation. Do not click its link, which anybody could undo: send its token to …/subscription/confirmation",
        ),
        SubscriptionStatus::Missing => Some("PUT …/subscription"),
    };
    let status = if state == SubscriptionStatus::Pending { 202 } else { 200 };
    let body = SubscriptionAnswer {
        approver: approver.name.clone(),
        mail: approver.mail.clone(),
        state,
        topic: own.map(|one| one.topic.clone()),
        next: next.map(str::to_owned),
    };
    answer(status, &body)
}

/// Returns the problem that asks an administrator to correct a subscription. The Lambda function's
/// role must not change subscriptions, since IAM cannot limit such a permission to one topic.
fn exposed(approver: &Approver, arn: &str, what: &str) -> Problem {
    not_as_it_should_be(format!("{what}. {}", remedies(arn, &approver.mail)))
}

fn not_as_it_should_be(detail: String) -> Problem {
    Problem::new(409, "subscription-exposed", "The subscription is not secure", detail)
}

/// Returns two shell commands to correct a subscription, each on its own line.
fn remedies(arn: &str, mail: &MailAddress) -> String {
    let (arn, filter) = (shell_quoted(arn), shell_quoted(&filter(mail)));
    format!(
        "End it, and send this request again:\naws sns unsubscribe --subscription-arn {arn}\nOr correct its filter:\n\
         aws sns set-subscription-attributes --subscription-arn {arn} --attribute-name FilterPolicy --attribute-value {filter}"
    )
}

fn full(topics: &Topics) -> Problem {
    Problem::new(
        409,
        "topics-full",
        "The topics are full",
        format!(
            "SNS allows {MOST_FILTERS} filter policies a topic, and all of {} have as many: name one more \
             in the stack's parameter MoreApprovalsTopicArns",
            topics.arns.len()
        ),
    )
}

fn failed(request: &Request, error: &CallError) -> Problem {
    let chain = stablepin_reconciler::errors::chain(error);
    tracing::error!(request.id = request.id, "SNS: {chain}");
    Problem::internal(&request.id, "SNS did not answer, or refused the request")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Runs the commands in a real shell, where a shell function with the name `aws` prints its
    /// arguments.
    #[test]
    fn remedy_commands_quote_hostile_arns() {
        let mail = MailAddress::parse("o'brien+%s@example.com").unwrap();
        for arn in [
            "arn:aws:sns:eu-central-1:111122223333:links:1a2b",
            "a'b",
            "$(id)",
            "`id`",
            "a b; id",
            "x\\",
            "\"|id",
        ] {
            let commands: String = remedies(arn, &mail)
                .lines()
                .filter(|line| line.starts_with("aws "))
                .map(|line| format!("{line}\n"))
                .collect();
            let script = format!("aws() {{ for word; do printf '%s\\0' \"$word\"; done; }}\n{commands}");
            let shell = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert!(shell.status.success() && shell.stderr.is_empty(), "{shell:?}");
            let text = String::from_utf8(shell.stdout).unwrap();
            let words: Vec<&str> = text.split_terminator('\0').collect();
            let policy = filter(&mail);
            let expected = [
                &["sns", "unsubscribe", "--subscription-arn", arn][..],
                &["sns", "set-subscription-attributes", "--subscription-arn", arn][..],
                &["--attribute-name", "FilterPolicy", "--attribute-value", policy.as_str()][..],
            ];
            assert_eq!(words, expected.concat());
        }
    }

    #[test]
    fn token_is_read_from_a_confirmation_link() {
        let link = "https://sns.eu-central-1.amazonaws.com/confirmation.html?TopicArn=arn:aws:sns:eu-central-1:111122223333:a&Token=2336412f37&Endpoint=lead@example.com";
        assert_eq!(token(link), "2336412f37");
        assert_eq!(token(" 2336412f37\n"), "2336412f37");
        assert_eq!(token(&link.replace("TopicArn", "x")), "2336412f37");
    }

    #[test]
    fn subscription_uses_the_first_topic_with_room() {
        let subscribed = |topic: &str, count: usize| {
            let one = |n: usize| Subscription {
                topic: topic.to_owned(),
                arn: None,
                protocol: "email".to_owned(),
                endpoint: format!("{n}@example.com"),
            };
            (0..count).map(one).collect::<Vec<_>>()
        };
        let arns = vec!["a".to_owned(), "b".to_owned()];
        let room = |a: usize, b: usize| {
            let all = [subscribed("a", a), subscribed("b", b)].concat();
            with_room(&arns, &all).cloned()
        };
        assert_eq!(room(199, 0).as_deref(), Some("a"));
        assert_eq!(room(200, 199).as_deref(), Some("b"));
        assert_eq!(room(200, 200), None);
    }
}
