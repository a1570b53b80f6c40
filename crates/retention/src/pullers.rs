//! External accounts that may pull from a repository. Stablepin cannot see what such accounts run.

use std::collections::BTreeSet;

use serde::Deserialize;

use stablepin_rules::application::Waived;
use stablepin_rules::image::RepositoryName;
use stablepin_rules::pattern::Pattern;

/// Returns the external accounts that the policy allows to pull, or `*` for a principal without an
/// account. None if the policy cannot be parsed.
///
/// Conditions are ignored, because Stablepin cannot evaluate them. An AWS service such as Lambda is
/// not external, because the service pulls for Stablepin's own account.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/repository-policies.html>
pub fn pullers(policy: &str, own: &str, repository: &RepositoryName) -> Option<BTreeSet<String>> {
    let document: Document = serde_json::from_str(policy).ok()?;
    let statements = document.statement.into_vec();
    let mut found = BTreeSet::new();
    let lets = |statement: &&Statement| {
        statement.effect != "Deny" && statement.pulls() && statement.is_of(repository)
    };
    for statement in statements.iter().filter(lets) {
        match &statement.principal {
            // `NotPrincipal` allows everyone except the named principals.
            None => drop(found.insert("*".to_owned())),
            Some(Principal::One(name)) => drop(found.insert(account(name).unwrap_or("*").to_owned())),
            Some(Principal::Some(principals)) => {
                for name in principals.aws.iter().flat_map(|names| names.as_slice()) {
                    found.insert(account(name).unwrap_or("*").to_owned());
                }
                if principals.federated.is_some() || principals.canonical_user.is_some() {
                    found.insert("*".to_owned());
                }
            }
        }
    }
    found.remove(own);
    Some(found)
}

/// Returns the accounts without a waiver in the application's file.
pub fn external_accounts(pullers: &BTreeSet<String>, waived: &[Waived]) -> BTreeSet<String> {
    let is_waived = |account: &String| {
        waived.iter().any(|waived| matches!(waived, Waived::Account(waived) if waived.as_str() == account))
    };
    pullers.iter().filter(|one| !is_waived(one)).cloned().collect()
}

/// Reads the account from `arn:aws:iam::111122223333:root` or `111122223333`.
fn account(principal: &str) -> Option<&str> {
    let account = if principal.starts_with("arn:") { principal.split(':').nth(4)? } else { principal };
    (account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit())).then_some(account)
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "Statement")]
    statement: OneOrMore<Statement>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: String,
    principal: Option<Principal>,
    action: Option<OneOrMore<String>>,
    /// The resources. Only a registry policy has resources.
    resource: Option<OneOrMore<String>>,
}

impl Statement {
    /// Returns true if the statement applies to the repository. A statement without resources, or
    /// with resources that cannot be parsed, applies to every repository.
    fn is_of(&self, repository: &RepositoryName) -> bool {
        let names = |resource: &String| {
            let Some((_, name)) = resource.split_once(":repository/") else { return true };
            // The value of a policy variable is unknown here.
            let is_known = !name.contains("${");
            !is_known || Pattern::parse(name).map_or(true, |pattern| pattern.matches(repository.as_str()))
        };
        self.resource.as_ref().is_none_or(|resources| resources.as_slice().iter().any(names))
    }

    /// Returns true if the statement may allow a pull. A statement with `NotAction` always counts.
    fn pulls(&self) -> bool {
        self.action.as_ref().is_none_or(|actions| actions.as_slice().iter().any(|action| pulls(action)))
    }
}

/// Returns true if an action, or a pattern of actions, can read an image's manifest or layers.
fn pulls(action: &str) -> bool {
    let action = action.to_ascii_lowercase();
    let pattern = Pattern::parse(&action);
    let any = ["ecr:batchgetimage", "ecr:getdownloadurlforlayer"];
    pattern.is_err() || pattern.is_ok_and(|pattern| any.iter().any(|one| pattern.matches(one)))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Principal {
    /// The principal `*`.
    One(String),
    Some(Principals),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Principals {
    #[serde(rename = "AWS")]
    aws: Option<OneOrMore<String>>,
    federated: Option<serde::de::IgnoredAny>,
    canonical_user: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore<T> {
    More(Vec<T>),
    One(T),
}

impl<T> OneOrMore<T> {
    fn as_slice(&self) -> &[T] {
        match self {
            Self::More(all) => all,
            Self::One(one) => std::slice::from_ref(one),
        }
    }

    fn into_vec(self) -> Vec<T> {
        match self {
            Self::More(all) => all,
            Self::One(one) => vec![one],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stablepin_rules::application::AccountId;

    fn web() -> RepositoryName {
        RepositoryName::parse("prod/web").unwrap()
    }

    fn of(principal: &str, action: &str) -> String {
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Sid":"a","Effect":"Allow","Principal":{principal},"Action":{action}}}]}}"#
        );
        match pullers(&policy, "111122223333", &web()) {
            Some(found) => found.into_iter().collect::<Vec<_>>().join(" "),
            None => "unknown".to_owned(),
        }
    }

    #[test]
    fn accounts_that_may_pull_are_read_from_the_policy() {
        let pull = r#"["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"]"#;
        assert_eq!(of(r#"{"AWS":"arn:aws:iam::444455556666:root"}"#, pull), "444455556666");
        assert_eq!(
            of(r#"{"AWS":["444455556666","arn:aws:iam::777788889999:role/ci"]}"#, pull),
            "444455556666 777788889999"
        );
        assert_eq!(of(r#"{"AWS":"arn:aws:iam::111122223333:role/own"}"#, pull), "");
        assert_eq!(of(r#""*""#, r#""ecr:*""#), "*");
        assert_eq!(of(r#"{"AWS":"*"}"#, r#""*""#), "*");
        assert_eq!(of(r#"{"AWS":"AIDAEXAMPLE"}"#, r#""ecr:BatchGet*""#), "*");
        assert_eq!(of(r#"{"Federated":"cognito"}"#, r#""ECR:batchgetimage""#), "*");
        assert_eq!(of(r#"{"Service":"lambda.amazonaws.com"}"#, pull), "");
        assert_eq!(of(r#"{"AWS":"444455556666"}"#, r#"["ecr:PutImage","ecr:DescribeImages"]"#), "");
    }

    #[test]
    fn pullers_of_an_invalid_policy_are_unknown() {
        assert_eq!(pullers("", "111122223333", &web()), None);
        assert_eq!(pullers(r#"{"Statement": 7}"#, "111122223333", &web()), None);
        let all_but = r#"{"Statement":{"Effect":"Allow","NotPrincipal":{"AWS":"444455556666"},"NotAction":"ecr:PutImage"}}"#;
        assert_eq!(pullers(all_but, "111122223333", &web()), Some(BTreeSet::from(["*".to_owned()])));
        let denied = r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"ecr:*"}}"#;
        assert_eq!(pullers(denied, "111122223333", &web()), Some(BTreeSet::new()));
    }

    #[test]
    fn registry_policy_applies_only_to_named_repositories() {
        let of = |resource: &str| {
            let policy = format!(
                r#"{{"Statement":[{{"Effect":"Allow","Principal":{{"AWS":"444455556666"}},"Action":"ecr:*","Resource":{resource}}}]}}"#
            );
            !pullers(&policy, "111122223333", &web()).unwrap().is_empty()
        };
        assert!(of(r#""*""#));
        assert!(of(r#"["arn:aws:ecr:eu-west-1:111122223333:repository/prod/*"]"#));
        assert!(!of(r#""arn:aws:ecr:eu-west-1:111122223333:repository/staging/*""#));
        for not_understood in ["staging/${aws:PrincipalTag/team}", ""] {
            let resource = format!(r#""arn:aws:ecr:eu-west-1:111122223333:repository/{not_understood}""#);
            assert!(of(&resource), "{not_understood}");
        }
    }

    #[test]
    fn waived_account_is_not_external() {
        let pullers = BTreeSet::from(["444455556666".to_owned(), "*".to_owned()]);
        let waived = [Waived::Account(AccountId::parse("444455556666").unwrap())];
        assert_eq!(external_accounts(&pullers, &waived), BTreeSet::from(["*".to_owned()]));
    }
}
