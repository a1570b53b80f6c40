//! Parses a CloudFormation template. Short forms such as `!Ref` become their long forms, as in SAM.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use xtask::overlay;
use xtask::workspace::{root, tool};

/// A script that calls SAM's own parser, so that the tests read a template exactly as SAM does.
const READER: &str = "import json, sys\n\
                      from samcli.yamlhelper import yaml_parse\n\
                      json.dump(yaml_parse(sys.stdin.read()), sys.stdout, default=str)";

#[derive(Debug, Clone)]
pub struct Template(Value);

impl Template {
    /// Returns the template for AWS.
    #[track_caller]
    pub fn for_aws() -> Self {
        Self::parse(&read("template.yaml"))
    }

    /// Returns the template for the local cloud.
    #[track_caller]
    pub fn for_local_cloud() -> Self {
        let applied = overlay::apply(&read("template.yaml"), &read("xtask/overlay.yaml"));
        Self::parse(&applied.expect("the overlay fits"))
    }

    #[track_caller]
    pub fn parse(text: &str) -> Self {
        let mut reader = Command::new(tool("python"));
        reader.args(["-c", READER]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut reader = reader.spawn().expect("Python of the tools, which `cargo xtask setup` installs");
        // The pipe closes at the end of this statement, so that the script sees the end of its
        // input.
        reader.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("the script reads it");
        let output = reader.wait_with_output().expect("the script ends");
        assert!(output.status.success(), "SAM cannot read the template");
        Self(serde_json::from_slice(&output.stdout).expect("JSON"))
    }

    /// Returns the properties of a resource.
    #[track_caller]
    pub fn properties(&self, resource: &str) -> &Value {
        let found = &self.0["Resources"][resource]["Properties"];
        assert!(found.is_object(), "no resource {resource}");
        found
    }

    /// Returns the name and the properties of each resource of a type.
    pub fn of_type<'a>(&'a self, wanted: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        let all = self.0["Resources"].as_object().into_iter().flatten();
        all.filter(move |(_, one)| one["Type"] == wanted)
            .map(|(name, one)| (name.as_str(), &one["Properties"]))
    }

    /// Returns the URL that all Lambda functions write into mails and pages.
    pub fn url_of_functions(&self) -> &Value {
        &self.0["Globals"]["Function"]["Environment"]["Variables"]["STABLEPIN_URL"]
    }

    /// Returns the value of an output.
    pub fn output(&self, name: &str) -> &Value {
        &self.0["Outputs"][name]["Value"]
    }

    /// Returns a parameter's declaration.
    pub fn parameter(&self, name: &str) -> &Value {
        &self.0["Parameters"][name]
    }
}

#[track_caller]
fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).expect("a file of the checkout")
}
