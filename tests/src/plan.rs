//! A plan of the application that a test creates.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::ecr_fake::TagMutability;
use crate::{App, unique};

/// The plan of an application. The names in the plan are unique, so no other test uses them.
#[derive(Debug, Clone)]
pub struct Plan {
    pub name: String,
    pub repository: String,
    pub cluster: String,
    pub mutability: TagMutability,
    /// Full names of the approvers, such as `lead-0a1b`.
    pub approvers: Vec<String>,
    pub required: u8,
    pub services: Vec<String>,
    pub stable_tag: String,
    /// The environment's deployment settings in the application file.
    deploy: String,
    /// The environment's approval settings, without the number of required approvals.
    approval: String,
    sign: bool,
    pub(crate) subscribed: bool,
    suffix: String,
}

impl Plan {
    /// Returns a plan whose names begin with `story`.
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

    /// Sets the repository's tag mutability.
    #[must_use]
    pub fn tags_are(mut self, mutability: TagMutability) -> Self {
        self.mutability = mutability;
        self
    }

    /// Sets the approvers and the number of required approvals.
    #[must_use]
    pub fn approvers<const N: usize>(mut self, names: [&str; N], required: u8) -> Self {
        self.approvers = names.iter().map(|name| format!("{name}-{}", self.suffix)).collect();
        self.required = required;
        self
    }

    /// Lets each approver also vote by signed requests. The IAM user with the approver's name must
    /// sign these requests.
    #[must_use]
    pub fn who_sign(mut self) -> Self {
        self.sign = true;
        self
    }

    /// Makes the plan create no subscriptions for the approvers' addresses.
    #[must_use]
    pub fn unsubscribed(mut self) -> Self {
        self.subscribed = false;
        self
    }

    /// Returns the address of an approver. `name` is the full name.
    pub fn mail(&self, name: &str) -> String {
        format!("{name}@example.com")
    }

    /// Adds approval settings, such as `four_eyes = "on"`.
    #[must_use]
    pub fn approved_with(mut self, keys: &str) -> Self {
        self.approval = format!(", {keys}");
        self
    }

    /// Sets the environment's services, all in the plan's own cluster.
    #[must_use]
    pub fn services<const N: usize>(mut self, names: [&str; N]) -> Self {
        self.services = names.map(|name| format!("{}/{name}", self.cluster)).to_vec();
        self
    }

    /// Lets the promoter deploy approved builds to the services. A build becomes the pin after the
    /// promoter has verified the deployment.
    #[must_use]
    pub fn deployed(mut self, verify: &str) -> Self {
        self.deploy = format!("verify = {{ {verify} }}");
        self
    }

    /// Adds a setting to the environment, such as `requires = ["staging-tests"]`.
    #[must_use]
    pub fn with(mut self, setting: &str) -> Self {
        self.deploy = format!("{}\n{setting}", self.deploy);
        self
    }

    /// Returns the application file.
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

    /// Creates the repository and the mailbox, and registers the application.
    #[track_caller]
    pub fn create(self) -> App {
        let app = self.with_repository();
        let answer = app.put(&app.plan.toml());
        assert_eq!(answer.status, 201, "{}", answer.text());
        app
    }

    /// Creates the repository and the mailbox without registering the application.
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
