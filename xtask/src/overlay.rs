//! The local cloud's template: the built template with the resources of `overlay.yaml`.
//!
//! The overlay covers differences between MiniStack and AWS. The template for AWS does not change.

use anyhow::{Result, bail};

/// The first letters of the names of resources that exist only in the local cloud.
const LOCAL: &str = "Local";

/// Adds the overlay's resources whose names begin with `Local`. Each other resource of the overlay
/// replaces the template's resource of the same name. In both texts, two spaces precede a
/// resource's name, as in `template.yaml` and in the output of `sam build`.
pub fn apply(template: &str, overlay: &str) -> Result<String> {
    let mut applied = template.to_owned();
    let mut added = String::new();
    for name in names(overlay) {
        match (resource(&applied, name), resource(overlay, name)) {
            (Some(old), Some(new)) if !name.starts_with(LOCAL) => applied = applied.replacen(old, new, 1),
            (None, Some(new)) if name.starts_with(LOCAL) => added.push_str(new),
            _ => bail!(
                "overlay.yaml has the resource {name}: the template must have it too, unless its name begins \
                 with `{LOCAL}`"
            ),
        }
    }
    Ok(applied.replacen("\nResources:\n", &format!("\nResources:\n{added}"), 1))
}

/// Returns the names of a template's resources, in order.
pub fn names(template: &str) -> impl Iterator<Item = &str> {
    section(template).lines().filter_map(name)
}

/// Returns the lines of a resource, including the line with its name.
pub fn resource<'a>(template: &'a str, wanted: &str) -> Option<&'a str> {
    let mut begin = None;
    let mut at = 0;
    let section = section(template);
    for line in section.split_inclusive('\n') {
        match (begin, name(line)) {
            (Some(begin), Some(_)) => return section.get(begin..at),
            (None, Some(name)) if name == wanted => begin = Some(at),
            _ => {}
        }
        at += line.len();
    }
    begin.and_then(|begin| section.get(begin..))
}

/// Returns the text below `Resources:`.
fn section(template: &str) -> &str {
    let begins_another = |line: &str| line.starts_with(|first: char| first.is_ascii_alphabetic());
    let mut lines = template.split_inclusive('\n');
    let begin: usize = lines.by_ref().take_while(|line| line.trim_end() != "Resources:").map(str::len).sum();
    let rest = template.get(begin..).and_then(|rest| rest.split_once('\n')).map_or("", |(_, rest)| rest);
    let length: usize =
        rest.split_inclusive('\n').take_while(|line| !begins_another(line)).map(str::len).sum();
    rest.get(..length).unwrap_or(rest)
}

fn name(line: &str) -> Option<&str> {
    let name =
        line.strip_prefix("  ").filter(|rest| rest.starts_with(|first: char| first.is_ascii_alphabetic()));
    name.and_then(|name| name.split(':').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = "Parameters:\n  Stage:\n    Type: String\nResources:\n  # One.\n  Topic:\n    Type: AWS::SNS::Topic\n\n  \
                            # Two.\n  Policy:\n    Type: AWS::Lambda::ResourcePolicy\n    Properties: {}\n  \
                            Queue:\n    Type: AWS::SQS::Queue\nOutputs:\n  Url:\n    Value: x\n";

    #[test]
    fn overlay_replaces_resources_of_the_same_name() {
        let overlay = "# Why.\nResources:\n  Policy:\n    Type: AWS::Lambda::Permission\n  Queue:\n    Type: AWS::SNS::Topic\n";
        let applied = apply(TEMPLATE, overlay).unwrap();
        let wanted = TEMPLATE
            .replace("AWS::Lambda::ResourcePolicy\n    Properties: {}", "AWS::Lambda::Permission")
            .replace("AWS::SQS::Queue", "AWS::SNS::Topic");
        assert_eq!(applied, wanted);
        assert_eq!(names(&applied).collect::<Vec<_>>(), ["Topic", "Policy", "Queue"]);
        assert_eq!(apply(TEMPLATE, "Resources:\n").unwrap(), TEMPLATE);
    }

    #[test]
    fn overlay_adds_local_resources() {
        let overlay = "Resources:\n  LocalPolicy:\n    Type: AWS::IAM::Policy\n  Queue: { Type: AWS::SNS::Topic }\n  \
                       LocalQueue: { Type: AWS::SQS::Queue }\n";
        let applied = apply(TEMPLATE, overlay).unwrap();
        let wanted = TEMPLATE
            .replace(
                "Resources:\n",
                "Resources:\n  LocalPolicy:\n    Type: AWS::IAM::Policy\n  LocalQueue: { Type: AWS::SQS::Queue }\n",
            )
            .replace("  Queue:\n    Type: AWS::SQS::Queue\n", "  Queue: { Type: AWS::SNS::Topic }\n");
        assert_eq!(applied, wanted);
        let twice = apply(&applied, overlay).unwrap_err();
        assert!(twice.to_string().contains("the resource LocalPolicy"), "{twice}");
    }

    #[test]
    fn overlay_must_not_replace_a_missing_resource() {
        let unknown = apply(TEMPLATE, "Resources:\n  Stage:\n    Type: String\n").unwrap_err();
        assert!(unknown.to_string().contains("the resource Stage"), "{unknown}");
        assert_eq!((resource(TEMPLATE, "Url"), resource(TEMPLATE, "Poli")), (None, None));
    }

    #[test]
    fn overlay_replaces_only_resources_that_differ_from_aws() {
        let read = |file: &str| std::fs::read_to_string(crate::workspace::root().join(file)).unwrap();
        let (template, overlay) = (read("template.yaml"), read("xtask/overlay.yaml"));
        let applied = apply(&template, &overlay).unwrap();
        for name in names(&overlay) {
            assert_ne!(
                resource(&applied, name),
                resource(&template, name),
                "{name} does not differ from AWS: remove it"
            );
        }
        let of_aws = names(&applied).filter(|name| !name.starts_with(LOCAL));
        assert_eq!(of_aws.collect::<Vec<_>>(), names(&template).collect::<Vec<_>>());
    }

    /// The overlay may add only policies, because everything else that runs in the local cloud must
    /// run on AWS too.
    #[test]
    fn overlay_adds_only_policies() {
        let overlay = std::fs::read_to_string(crate::workspace::root().join("xtask/overlay.yaml")).unwrap();
        for name in names(&overlay).filter(|name| name.starts_with(LOCAL)) {
            let added = resource(&overlay, name).unwrap();
            assert!(added.contains("    Type: AWS::IAM::Policy\n"), "{added}");
        }
    }
}
