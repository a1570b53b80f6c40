//! The access policy of an SNS topic that carries secret links: which roles may subscribe and
//! publish.
//! <https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-language-api-permissions-reference.html>

use serde_json::Value;

use crate::pattern::Pattern;

const KEY: &str = "aws:principalarn";
/// The condition operators that exempt principals from a denial.
const EXEMPTIONS: [&str; 4] = ["arnnotequals", "arnnotlike", "stringnotequals", "stringnotlike"];

/// The roles that a topic's policy must exempt from its denials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRoles {
    /// The ARN of the only role that may subscribe.
    pub subscriber: String,
    /// The ARNs of the only roles that may publish.
    pub publishers: Vec<String>,
}

/// Returns a problem if other principals may subscribe, and a problem if other principals may
/// publish. A statement that this function does not fully understand does not count as a denial.
pub fn open_to_others(policy: Option<&str>, topic_arn: &str, roles: &TopicRoles) -> Vec<String> {
    let document: Value = policy.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let is_open = |action: &str, roles: &[String]| {
        !list(&document["Statement"]).any(|one| denies_others(one, action, topic_arn, roles))
    };
    let subscriber = std::slice::from_ref(&roles.subscriber);
    let subscribers = is_open("sns:Subscribe", subscriber).then(|| {
        format!(
            "{topic_arn} lets others subscribe, who could read links and codes: its policy must deny sns:Subscribe to \
             everybody but {}",
            roles.subscriber
        )
    });
    let publishers = is_open("sns:Publish", &roles.publishers).then(|| {
        format!(
            "{topic_arn} lets others publish, who could send approvers forged mails: its policy must deny sns:Publish \
             to everybody but {}",
            roles.publishers.join(" and ")
        )
    });
    subscribers.into_iter().chain(publishers).collect()
}

fn denies_others(statement: &Value, action: &str, topic_arn: &str, roles: &[String]) -> bool {
    let principal = &statement["Principal"];
    let everybody = principal == "*" || list(&principal["AWS"]).any(|one| one == "*");
    let has = |member: &str, matches: &dyn Fn(&str) -> bool| {
        list(&statement[member]).filter_map(Value::as_str).any(matches)
    };
    statement["Effect"] == "Deny"
        && everybody
        && has("Action", &|pattern| covers(&pattern.to_ascii_lowercase(), &action.to_ascii_lowercase()))
        && has("Resource", &|pattern| covers(pattern, topic_arn))
        && exempts_only(&statement["Condition"], roles)
}

/// Returns whether the condition exempts only these roles. A missing condition exempts no
/// principal.
fn exempts_only(condition: &Value, roles: &[String]) -> bool {
    let Some(operators) = condition.as_object() else { return condition.is_null() };
    operators.iter().all(|(operator, keys)| {
        let operator = operator.to_ascii_lowercase();
        let operator = operator.strip_suffix("ifexists").unwrap_or(&operator);
        let only = |(key, values): (&String, &Value)| {
            key.eq_ignore_ascii_case(KEY)
                && list(values).all(|one| roles.iter().any(|role| one == role.as_str()))
        };
        EXEMPTIONS.contains(&operator) && keys.as_object().is_some_and(|keys| keys.iter().all(only))
    })
}

/// Returns the values of a policy element. A value that is not an array counts as a list of one
/// value.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    let one = (!value.is_array() && !value.is_null()).then_some(value);
    value.as_array().into_iter().flatten().chain(one)
}

fn covers(pattern: &str, text: &str) -> bool {
    Pattern::parse(pattern).is_ok_and(|pattern| pattern.matches(text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TOPIC: &str = "arn:aws:sns:eu-central-1:111122223333:stablepin-production-approvals";
    const ROLE: &str = "arn:aws:iam::111122223333:role/stablepin-production-ApprovalRole-1A2B";

    const TAGGER: &str = "arn:aws:iam::111122223333:role/stablepin-production-TaggerRole-1A2B";
    const PROMOTER: &str = "arn:aws:iam::111122223333:role/stablepin-production-PromoterRole-1A2B";

    fn roles() -> TopicRoles {
        let publishers = vec![TAGGER.to_owned(), PROMOTER.to_owned()];
        TopicRoles { subscriber: ROLE.to_owned(), publishers }
    }

    fn findings(policy: Option<&str>) -> Vec<String> {
        open_to_others(policy, TOPIC, &roles())
    }

    /// Returns the template's policy statement that restricts publishing.
    fn publish_statement() -> Value {
        json!({
            "Effect": "Deny", "Principal": "*", "Action": "sns:Publish", "Resource": TOPIC,
            "Condition": { "ArnNotEquals": { "aws:PrincipalArn": [TAGGER, PROMOTER] } },
        })
    }

    /// Returns the template's policy statement that restricts subscribing.
    fn statement() -> Value {
        json!({
            "Effect": "Deny", "Principal": "*", "Action": "sns:Subscribe", "Resource": TOPIC,
            "Condition": { "ArnNotEquals": { "aws:PrincipalArn": ROLE } },
        })
    }

    fn is_closed(policy: &Value) -> bool {
        !findings(Some(&policy.to_string())).iter().any(|said| said.contains("lets others subscribe"))
    }

    fn is_closed_to_publishers(policy: &Value) -> bool {
        !findings(Some(&policy.to_string())).iter().any(|said| said.contains("lets others publish"))
    }

    /// Returns a policy with the subscribe statement, after replacing one element of the statement.
    fn with(member: &str, value: Value) -> Value {
        let mut one = statement();
        one[member] = value;
        json!({ "Statement": [one] })
    }

    #[test]
    fn policy_that_denies_other_subscribers_closes_the_topic() {
        assert!(is_closed(&json!({ "Version": "2012-10-17", "Statement": statement() })));
        let others = json!({ "Effect": "Allow", "Principal": "*", "Action": "sns:*", "Resource": TOPIC });
        assert!(is_closed(&json!({ "Statement": [others, statement()] })));
        for (member, value) in [
            ("Principal", json!({ "AWS": "*" })),
            ("Principal", json!({ "AWS": ["*"] })),
            ("Action", json!(["SNS:Publish", "SNS:Subscribe"])),
            ("Action", json!("sns:*")),
            ("Resource", json!(["*"])),
            ("Resource", json!("arn:aws:sns:*:111122223333:stablepin-*-approvals")),
            ("Condition", json!({ "ArnNotLike": { "AWS:PrincipalArn": [ROLE] } })),
            ("Condition", json!({ "StringNotEqualsIfExists": { "aws:PrincipalArn": ROLE } })),
            ("Condition", Value::Null),
        ] {
            assert!(is_closed(&with(member, value.clone())), "{member}: {value}");
        }
    }

    #[test]
    fn topic_is_reported_if_other_principals_can_subscribe() {
        let said = &findings(None)[0];
        assert!(
            said.starts_with(&format!("{TOPIC} lets others subscribe")) && said.ends_with(ROLE),
            "{said}"
        );
        for policy in ["", "{}", "not JSON", "[]", r#"{"Statement": []}"#, r#"{"Statement": "Deny"}"#] {
            assert_eq!(findings(Some(policy)).len(), 2, "{policy}");
        }
        let developer = "arn:aws:iam::111122223333:root";
        for (member, value) in [
            ("Effect", json!("Allow")),
            ("Principal", json!({ "AWS": "arn:aws:iam::111122223333:user/nosy" })),
            ("Principal", json!({ "Service": "*" })),
            ("Principal", Value::Null),
            ("Action", json!("sns:Publish")),
            ("Action", json!(["sns:SubscribeAll", "sns:Publis?"])),
            ("Resource", json!(format!("{TOPIC}-2"))),
            ("Resource", json!([])),
            ("Condition", json!({ "ArnNotEquals": { "aws:PrincipalArn": [ROLE, developer] } })),
            (
                "Condition",
                json!({ "ArnNotLike": { "aws:PrincipalArn": "arn:aws:iam::111122223333:role/*" } }),
            ),
            ("Condition", json!({ "ArnEquals": { "aws:PrincipalArn": ROLE } })),
            ("Condition", json!({ "ArnNotEquals": { "aws:SourceArn": ROLE } })),
            ("Condition", json!({ "StringEquals": { "sns:Protocol": "sqs" } })),
            (
                "Condition",
                json!({ "ArnNotEquals": { "aws:PrincipalArn": ROLE }, "StringNotEquals": { "sns:Protocol": "email" } }),
            ),
        ] {
            assert!(!is_closed(&with(member, value.clone())), "{member}: {value}");
        }
    }

    #[test]
    fn policy_that_denies_other_publishers_closes_the_topic() {
        let policy = json!({ "Statement": [statement(), publish_statement()] });
        assert_eq!(findings(Some(&policy.to_string())), [""; 0]);
        for (member, value) in [
            ("Action", json!(["sns:Subscribe", "SNS:Publish"])),
            ("Action", json!("sns:*")),
            ("Condition", json!({ "ArnNotEquals": { "aws:PrincipalArn": TAGGER } })),
            ("Condition", json!({ "ArnNotLike": { "aws:PrincipalArn": [PROMOTER, TAGGER] } })),
            ("Condition", Value::Null),
        ] {
            let mut one = publish_statement();
            one[member] = value.clone();
            assert!(is_closed_to_publishers(&json!({ "Statement": one })), "{member}: {value}");
        }
    }

    #[test]
    fn topic_is_reported_if_other_principals_can_publish() {
        let only_subscribers = json!({ "Statement": statement() }).to_string();
        let said = findings(Some(&only_subscribers));
        let wanted = format!("deny sns:Publish to everybody but {TAGGER} and {PROMOTER}");
        assert!(said.len() == 1 && said[0].ends_with(&wanted), "{said:?}");
        for (member, value) in [
            ("Effect", json!("Allow")),
            ("Principal", json!({ "AWS": "arn:aws:iam::111122223333:user/nosy" })),
            ("Action", json!("sns:PublishBatch")),
            ("Resource", json!(format!("{TOPIC}-2"))),
            ("Condition", json!({ "ArnNotEquals": { "aws:PrincipalArn": [TAGGER, PROMOTER, ROLE] } })),
            (
                "Condition",
                json!({ "ArnNotLike": { "aws:PrincipalArn": "arn:aws:iam::111122223333:role/*" } }),
            ),
            ("Condition", json!({ "StringEquals": { "aws:SourceAccount": "111122223333" } })),
        ] {
            let mut one = publish_statement();
            one[member] = value.clone();
            assert!(
                !is_closed_to_publishers(&json!({ "Statement": [one, statement()] })),
                "{member}: {value}"
            );
        }
    }
}
