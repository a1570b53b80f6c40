//! Checks that the repository's list of task definition fields matches AWS's service model in
//! botocore.

use std::collections::BTreeSet;
use std::process::Command;

use xtask::workspace;

const LISTED: &str = include_str!("../../crates/rules/src/task_definition/compare/members.txt");

/// A Python script that prints the path and the kind of every field: `list`, `map`, `plain`, ….
const WALK: &str = r#"
import botocore.session
model = botocore.session.get_session().get_service_model("ecs")

def walk(shape, path):
    if shape.type_name == "list":
        print(path, "list")
        shape = shape.member
    elif path and shape.type_name in ("structure", "map"):
        print(path, shape.type_name)
    elif path:
        print(path, "plain")
    if shape.type_name == "structure":
        for name, member in shape.members.items():
            walk(member, f"{path}.{name}".strip("."))

asked = model.operation_model("RegisterTaskDefinition").input_shape
walk(asked, "")
answered = model.shape_for("TaskDefinition").members
for name in answered:
    if name not in asked.members:
        print(name, "answered")
"#;

/// Returns whether `members.txt` may list this comparison for a field of this kind.
fn fits(kind: &str, listed: &str) -> bool {
    match kind {
        "structure" => listed == "members",
        "map" => listed == "map",
        "answered" => listed == "of ECS",
        "list" => listed == "in order" || listed.starts_with("by ") || listed.starts_with("set"),
        _ => ["as it is", "host port"].contains(&listed) || listed.contains("else "),
    }
}

#[test]
fn members_txt_lists_every_field_of_a_task_definition() {
    let python = workspace::tool("python");
    if !python.exists() {
        println!("not compared: {} is not there, `cargo xtask setup` installs it", python.display());
        return;
    }
    let walked = Command::new(&python).args(["-c", WALK]).output().expect("Python runs");
    assert!(walked.status.success(), "{}", String::from_utf8_lossy(&walked.stderr));
    let walked = String::from_utf8(walked.stdout).expect("paths");
    let mut missing = BTreeSet::new();
    let mut left: BTreeSet<&str> = LISTED.lines().collect();
    for (path, kind) in walked.lines().filter_map(|line| line.split_once(' ')) {
        let is_its =
            |line: &str| line.strip_prefix(path).and_then(|rest| rest.strip_prefix(": ")).map(str::to_owned);
        let found = LISTED.lines().find_map(|line| is_its(line).map(|how| (line, how)));
        match found {
            Some((line, how)) if fits(kind, &how) => {
                left.remove(line);
            }
            Some((line, _)) => panic!("{line}: the member is a {kind}"),
            None => {
                missing.insert(path);
            }
        }
    }
    let what = "look at ECS's page of each: is a list a set, what does absence mean? Then members.txt, and compare.rs";
    assert!(missing.is_empty(), "ECS has members that are not listed ({what}): {missing:?}");
    assert!(left.is_empty(), "ECS no longer has these members: {left:?}");
    assert!(walked.lines().count() > 150, "{walked}");
}
