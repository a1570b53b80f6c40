//! Names of task definitions, job definitions and images in EventBridge schedules, rules and pipes.

use std::collections::BTreeSet;

use serde_json::Value;

/// A name exactly as an EventBridge schedule, rule or pipe contains it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mention {
    TaskDefinition(String),
    JobDefinition(String),
    Image(String),
}

/// Returns the names in the input of an API call, at any depth. The names are the values of the
/// fields `taskDefinition`, `jobDefinition`, `image` and `imageUri`. Upper and lower case do not
/// matter, because EventBridge Scheduler and the services use different cases.
/// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html>
pub fn mentions(input: &str) -> Result<BTreeSet<Mention>, serde_json::Error> {
    let mut found = BTreeSet::new();
    collect(&serde_json::from_str(input)?, &mut found);
    Ok(found)
}

fn collect(value: &Value, found: &mut BTreeSet<Mention>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(members) => {
            for (name, member) in members {
                if let (Some(mention), Value::String(text)) = (mention_in(name), member) {
                    found.insert(mention(text.clone()));
                }
                collect(member, found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn mention_in(member: &str) -> Option<fn(String) -> Mention> {
    match member.to_ascii_lowercase().as_str() {
        "taskdefinition" => Some(Mention::TaskDefinition),
        "jobdefinition" => Some(Mention::JobDefinition),
        "image" | "imageuri" => Some(Mention::Image),
        _ => None,
    }
}

/// Returns true if AWS replaces a part of the text at run time: a Scheduler attribute
/// (`<aws.scheduler.…>`) or the JSON path of a pipe (`$.body.image`).
/// <https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html>
/// <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-event-target.html>
pub fn is_dynamic(text: &str) -> bool {
    text.starts_with('$') || text.contains('<')
}

/// The parsed name of a task definition (ECS) or a job definition (AWS Batch).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DefinitionName<'a> {
    Revision {
        name: &'a str,
        revision: u64,
    },
    /// A name without a revision. ECS or AWS Batch uses the newest active revision.
    Newest {
        name: &'a str,
    },
    /// A definition in another account or region. ECS and AWS Batch cannot start this definition
    /// here.
    Elsewhere,
}

/// The region and account of the EventBridge schedule, rule or pipe that contains a name.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub region: &'a str,
    /// The account id, with 12 digits.
    pub account: &'a str,
}

impl Place<'_> {
    /// Parses `web`, `web:3` or the ARN of such a task definition. None if the text is not the name
    /// of a task definition.
    /// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html>
    pub fn task_definition<'a>(&self, text: &'a str) -> Option<DefinitionName<'a>> {
        self.definition(text, "ecs", "task-definition/")
    }

    /// Parses `web`, `web:3` or the ARN of such a job definition. None if the text is not the name
    /// of a job definition.
    /// <https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html>
    pub fn job_definition<'a>(&self, text: &'a str) -> Option<DefinitionName<'a>> {
        self.definition(text, "batch", "job-definition/")
    }

    fn definition<'a>(&self, text: &'a str, service: &str, kind: &str) -> Option<DefinitionName<'a>> {
        let (name, is_here) = match text.strip_prefix("arn:") {
            None => (text, true),
            Some(arn) => {
                // The parts are partition, service, region, account and resource. The partition is
                // skipped, because each region belongs to one partition.
                let mut parts = arn.splitn(5, ':').skip(1);
                let (of, region, account) = (parts.next()?, parts.next()?, parts.next()?);
                let name = parts.next()?.strip_prefix(kind)?;
                if of != service {
                    return None;
                }
                (name, region == self.region && account == self.account)
            }
        };
        let (name, revision) = match name.split_once(':') {
            Some((name, revision)) => (name, Some(revision.parse().ok()?)),
            None => (name, None),
        };
        let character = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if !(1..=255).contains(&name.len()) || !name.bytes().all(character) {
            return None;
        }
        Some(match revision {
            _ if !is_here => DefinitionName::Elsewhere,
            Some(revision) => DefinitionName::Revision { name, revision },
            None => DefinitionName::Newest { name },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'_> = Place { region: "eu-west-1", account: "111122223333" };

    #[test]
    fn parser_accepts_each_form_of_a_definition_name() {
        let revision = |name, revision| Some(DefinitionName::Revision { name, revision });
        let newest = |name| Some(DefinitionName::Newest { name });
        let arn = "arn:aws:ecs:eu-west-1:111122223333:task-definition";
        for (text, expected) in [
            ("web".to_owned(), newest("web")),
            ("web:3".to_owned(), revision("web", 3)),
            (format!("{arn}/web"), newest("web")),
            (format!("{arn}/web:3"), revision("web", 3)),
            ("arn:aws-cn:ecs:eu-west-1:111122223333:task-definition/web:3".to_owned(), revision("web", 3)),
            (
                "arn:aws:ecs:eu-west-1:444455556666:task-definition/web:3".to_owned(),
                Some(DefinitionName::Elsewhere),
            ),
            (
                "arn:aws:ecs:us-east-1:111122223333:task-definition/web".to_owned(),
                Some(DefinitionName::Elsewhere),
            ),
            (format!("{arn}/web:new"), None),
            (format!("{arn}/"), None),
            (format!("{arn}/web:99999999999999999999"), None),
            ("arn:aws:batch:eu-west-1:111122223333:job-definition/web:3".to_owned(), None),
            ("arn:aws:ecs:eu-west-1".to_owned(), None),
            ("$.body.definition".to_owned(), None),
            ("web:<aws.scheduler.execution-id>".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(HERE.task_definition(&text), expected, "{text}");
        }
        let job = "arn:aws:batch:eu-west-1:111122223333:job-definition/nightly:7";
        assert_eq!(HERE.job_definition(job), revision("nightly", 7));
        assert_eq!(HERE.job_definition("nightly"), newest("nightly"));
        assert_eq!(HERE.job_definition(&format!("{arn}/web:3")), None);
    }

    #[test]
    fn names_are_found_at_any_depth_in_upper_or_lower_case() {
        let task = |text: &str| Mention::TaskDefinition(text.to_owned());
        let job = |text: &str| Mention::JobDefinition(text.to_owned());
        let image = |text: &str| Mention::Image(text.to_owned());
        for (input, expected) in [
            (r#"{"Cluster":"prod","TaskDefinition":"web:3"}"#, vec![task("web:3")]),
            (r#"{"taskDefinition":"web"}"#, vec![task("web")]),
            (
                r#"{"JobDefinition":"nightly:1","EksPropertiesOverride":{"PodProperties":{"Containers":[{"Image":"h/web:1"}]}}}"#,
                vec![job("nightly:1"), image("h/web:1")],
            ),
            (r#"{"FunctionName":"f","ImageUri":"h/web:2"}"#, vec![image("h/web:2")]),
            (
                r#"[{"containerDefinitions":[{"image":"h/a"},{"image":"h/b"}]}]"#,
                vec![image("h/a"), image("h/b")],
            ),
            (r#"{"DesiredCount":0,"TaskDefinition":null,"image":7}"#, vec![]),
            ("\"TaskDefinition\"", vec![]),
        ] {
            assert_eq!(mentions(input).unwrap().into_iter().collect::<Vec<_>>(), expected, "{input}");
        }
        assert!(mentions("{TaskDefinition: web}").is_err());
        assert!(mentions("").is_err());
    }

    #[test]
    fn name_with_a_run_time_part_is_dynamic() {
        assert!(is_dynamic("$.body.definition"));
        assert!(is_dynamic("h/web:<aws.scheduler.execution-id>"));
        assert!(!is_dynamic("h/web:v1"));
    }
}
