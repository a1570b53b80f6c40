//! The application that a test creates for itself.

use std::thread;

use crate::registry::Registry;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use xtask::aws::{Aws, Response, xml_text};
use xtask::image::{OciImage, OciIndex, Spec};

use crate::isolated::Isolated;
use crate::{Plan, image, stack, until};

pub struct App {
    pub aws: Aws,
    pub plan: Plan,
    /// The ARNs of the subscriptions: the mailbox's first, then those of the approvers' addresses.
    pub(crate) mailbox: Vec<String>,
    /// The application's own table, topic and fake of ECR. `None` if the application is not
    /// isolated.
    pub(crate) isolated: Option<Isolated>,
}

/// Deletes what the test has created, since many tests share one emulator.
impl Drop for App {
    fn drop(&mut self) {
        if thread::panicking() {
            return; // a failed test keeps everything, so that a developer can inspect it
        }
        if let Some(isolated) = &self.isolated {
            return isolated.close(&self.aws);
        }
        let repository = json!({ "repositoryName": self.plan.repository, "force": true });
        let _ = self.aws.ecr("DeleteRepository", &repository);
        self.close_mailbox();
    }
}

impl App {
    /// Returns an application from a plan, without creating anything in AWS.
    pub fn unborn(plan: Plan) -> Self {
        Self { aws: stack().aws(), plan, mailbox: Vec::new(), isolated: None }
    }

    /// Registers the text of an application file under the application's name.
    #[track_caller]
    pub fn put(&self, text: &str) -> Response {
        let url = format!("{}/v1/applications/{}", stack().api(), self.plan.name);
        self.aws
            .call("PUT", &url, Some(text.as_bytes()), Some("application/toml"), true)
            .expect("the API answers")
    }

    /// Sends a signed request to the API, with a path below `/v1/applications/{name}`. Returns the
    /// status and the JSON of the response.
    #[track_caller]
    pub fn api(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.api_as(&self.aws, method, path, body)
    }

    /// Creates an IAM user with the approver's name. The user may send every request to the API.
    /// Returns a client with the user's credentials. The application's plan must contain the
    /// approvers' IAM users: [`Plan::who_sign`].
    #[track_caller]
    pub fn signs_as(&self, approver: &str) -> Aws {
        let api = stack().api().split_once("//").and_then(|(_, host)| host.split('.').next());
        let api = api.expect("the API's address begins with its id");
        crate::iam::user(&self.aws, self.approver(approver), api, &["*/v1/*"]).expect("a user")
    }

    /// Creates a second access key of the approver's IAM user. Returns a client with this key.
    #[track_caller]
    pub fn signed_in(&self, approver: &str) -> Aws {
        let request =
            [("Action", "CreateAccessKey"), ("Version", "2010-05-08"), ("UserName", self.approver(approver))];
        let key = self.aws.query("iam", &request).expect("another key");
        let text = |tag: &str| xml_text(&key, tag).expect("a key is whole");
        self.aws.with_credentials(&text("AccessKeyId"), &text("SecretAccessKey"), None)
    }

    /// Sends a request to the API, with a path below `/v1/applications/{name}`. The credentials of
    /// `signer` sign the request.
    #[track_caller]
    pub fn api_as(&self, signer: &Aws, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let url = format!("{}/v1/applications/{}{path}", stack().api(), self.plan.name);
        let body = body.map(Value::to_string);
        let body = body.as_ref().map(String::as_bytes);
        let answer =
            signer.call(method, &url, body, Some("application/json"), true).expect("the API answers");
        let json = answer.json("api").expect("the API answers JSON");
        (answer.status, json)
    }

    pub fn registry(&self) -> Registry {
        if let Some(isolated) = &self.isolated {
            return isolated.ecr.registry();
        }
        Registry::new(stack().registry(), "AWS", "a token")
    }

    /// Pushes an image under a tag, as a pipeline does. Returns the image's digest.
    #[track_caller]
    pub fn push(&self, tag: &str, spec: &Spec) -> String {
        self.push_image(Some(tag), &image(spec))
    }

    /// Pushes a build at least one second after the push event of the build `other`. Event times
    /// are whole seconds, so the new push event then has a later time.
    #[track_caller]
    pub fn push_after(&self, other: &str, spec: &Spec) -> String {
        let of_other = |one: &Value| one["digest"] == other;
        let promotion = until("the other's promotion", || self.promotions().into_iter().rfind(of_other));
        let at = &promotion["occurrence"]["at"];
        let before: Timestamp = at.as_str().expect("a time").parse().expect("a timestamp");
        // Stablepin orders two pushes within one second by their digests, so this push waits.
        let after = before + SignedDuration::from_secs(1);
        until("the next second", || (Timestamp::now() >= after).then_some(()));
        self.push("main", spec)
    }

    #[track_caller]
    pub fn push_image(&self, tag: Option<&str>, image: &OciImage) -> String {
        let digest = self.push_without_event(tag, image);
        self.deliver_push_event();
        digest
    }

    #[track_caller]
    pub(crate) fn push_without_event(&self, tag: Option<&str>, image: &OciImage) -> String {
        self.registry().push(&self.plan.repository, tag, image).expect("the registry accepts a push")
    }

    #[track_caller]
    pub fn push_index(&self, tag: &str, index: &OciIndex) -> String {
        let taken = self.registry().push_index(&self.plan.repository, Some(tag), index);
        let digest = taken.expect("the registry accepts an index");
        self.deliver_push_event();
        digest
    }

    /// Delivers the push event to the tagger if the application is isolated. Otherwise, the local
    /// cloud delivers the event.
    #[track_caller]
    fn deliver_push_event(&self) {
        if self.isolated.is_some() {
            self.hears();
        }
    }

    /// Returns the digest to which a tag points, read through ECR's API.
    #[track_caller]
    pub fn tag(&self, tag: &str) -> Option<String> {
        if let Some(isolated) = &self.isolated {
            return isolated.web.tag(tag);
        }
        self.aws.tag(&self.plan.repository, tag).expect("ECR answers")
    }

    /// Returns all tags that point to a digest, sorted.
    #[track_caller]
    pub fn tags(&self, digest: &str) -> Vec<String> {
        if let Some(isolated) = &self.isolated {
            return isolated.web.tags(digest);
        }
        self.aws.tags(&self.plan.repository, digest).expect("ECR answers")
    }

    #[track_caller]
    pub fn approver(&self, name: &str) -> &str {
        let is_it = |full: &&String| full.split('-').next() == Some(name);
        self.plan.approvers.iter().find(is_it).expect("an approver of that name")
    }

    /// Pushes a build and approves it as the lead. Returns the build's digest.
    #[track_caller]
    pub fn pin(&self, tag: &str, spec: &Spec) -> String {
        let digest = self.push(tag, spec);
        self.approve(&digest);
        self.settled(&digest);
        digest
    }

    #[track_caller]
    pub fn approve(&self, digest: &str) {
        let link = self.link(digest);
        let (status, page) = if self.isolated.is_some() {
            self.decides(&link, "approve")
        } else {
            let answer = link.approve();
            (answer.status.into(), answer.text())
        };
        assert_eq!(status, 200, "{page}");
        until("the stable tag points to the digest", || self.stable_is(digest).then_some(()));
        // The vote confirmation is the last effect of a decision. After it, no Lambda function
        // changes anything until the test acts again.
        until("the vote confirmation", || {
            let told = self.promotion(link.promotion())["vote_confirmations"]
                .as_array()
                .is_some_and(|told| !told.is_empty());
            if !told {
                self.tick();
            }
            told.then_some(())
        });
    }

    fn stable_is(&self, digest: &str) -> bool {
        let pin = &self.environment()["pin"];
        pin["digest"] == digest && self.environment()["applied"] == pin["number"]
    }

    /// Waits until the promotion has ended. Returns the promotion's final state, and the reason for
    /// this state.
    #[track_caller]
    pub fn ended(&self, promotion: &str) -> (String, String) {
        until("the promotion's end", || {
            let record = self.promotion(promotion);
            let state = record["state"].as_str().unwrap_or_default();
            let ended = !matches!(state, "Pending" | "InProgress");
            ended.then(|| (state.to_owned(), self.reason(&record)))
        })
    }
}
