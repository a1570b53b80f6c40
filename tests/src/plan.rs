//! An application as it is going to be registered.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::ecr_fake::TagMutability;
use crate::{App, unique};

/// Every name in it is the test's own.
#[derive(Debug, Clone)]
pub struct Plan {
    pub name: String,
    pub repository: String,
    pub cluster: String,
    pub mutability: TagMutability,
    /// Full names, such as `lead-0a1b`.
    pub approvers: Vec<String>,
    pub required: u8,
    pub services: Vec<String>,
    pub stable_tag: String,
    /// What the file says of deployment.
    deploy: String,
    /// And of approval, besides how many are required.
    approval: String,
    sign: bool,
    pub(crate) subscribed: bool,
    suffix: String,
}

impl Plan {
    /// `story` becomes the beginning of the names.
    pub fn new(story: &str) -> Self {
        let suffix = unique();
        let name = format!("{story}-{suffix}");
        Self {
            repository: name.clone(),
            cluster: name.clone(),
            mutability: TagMutability::Mutable,
            approvers: vec![format!("lead-{suffix}")],
            required: 1,
            services: Vec::new(),
            stable_tag: "prod-stable".to_owned(),
            deploy: "deploy = \"never\"".to_owned(),
            approval: String::new(),
            sign: false,
            subscribed: true,
            name,
            suffix,
        }
    }

    /// How the repository treats a tag that is on another image already.
    #[must_use]
    pub fn tags_are(mut self, mutability: TagMutability) -> Self {
        self.mutability = mutability;
        self
    }

    /// These people, of whom so many must approve.
    #[must_use]
    pub fn approvers<const N: usize>(mut self, names: [&str; N], required: u8) -> Self {
        self.approvers = names.iter().map(|name| format!("{name}-{}", self.suffix)).collect();
        self.required = required;
        self
    }

    /// Each approver also decides by requests that the IAM user of their name signs.
    #[must_use]
    pub fn who_sign(mut self) -> Self {
        self.sign = true;
        self
    }

    /// Nobody has subscribed the approvers' addresses.
    #[must_use]
    pub fn unsubscribed(mut self) -> Self {
        self.subscribed = false;
        self
    }

    /// An approver's address, by the full name.
    pub fn mail(&self, name: &str) -> String {
        format!("{name}@example.com")
    }

    /// More of how it is approved: `four_eyes = "on"`.
    #[must_use]
    pub fn approved_with(mut self, keys: &str) -> Self {
        self.approval = format!(", {keys}");
        self
    }

    /// Services of the plan's own cluster.
    #[must_use]
    pub fn services<const N: usize>(mut self, names: [&str; N]) -> Self {
        self.services = names.map(|name| format!("{}/{name}", self.cluster)).to_vec();
        self
    }

    /// What is approved goes to the services, and becomes the pin when it is proven there.
    #[must_use]
    pub fn deployed(mut self, verify: &str) -> Self {
        self.deploy = format!("verify = {{ {verify} }}");
        self
    }

    /// The application file.
    pub fn toml(&self) -> String {
        let mut text = format!(
            "name = \"{}\"\nrepository = \"{}\"\nbuilds = [\"main\", \"main-*\", \"v*\", \"production-2*\"]\n",
            self.name, self.repository
        );
        for name in &self.approvers {
            let _ = write!(text, "\n[[approver]]\nname = \"{name}\"\nmail = \"{}\"\n", self.mail(name));
            if self.sign {
                let _ = writeln!(text, "principals = [\"arn:aws:iam::000000000000:user/{name}\"]");
            }
        }
        let _ = write!(
            text,
            "\n[[environment]]\nname = \"production\"\nstable_tag = \"{}\"\n{}\n\
             services = {}\napproval = {{ required = {}{} }}\n",
            self.stable_tag,
            self.deploy,
            json!(self.services),
            self.required,
            self.approval
        );
        text
    }

    /// Creates the repository and registers the application.
    #[track_caller]
    pub fn create(self) -> App {
        let app = self.with_repository();
        let answer = app.put(&app.plan.toml());
        assert_eq!(answer.status, 201, "{}", answer.text());
        app
    }

    /// Creates the repository, and registers nothing.
    #[track_caller]
    pub fn with_repository(self) -> App {
        let mut app = App::unborn(self);
        let mutability = app.plan.mutability.name();
        let ask: Value = json!({ "repositoryName": app.plan.repository, "imageTagMutability": mutability });
        app.aws.ecr("CreateRepository", &ask).expect("a repository");
        app.open_mailbox();
        app
    }
}
