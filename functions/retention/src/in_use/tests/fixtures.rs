//! A fake AWS account, and helpers to read which images the account uses.

use std::cell::RefCell;
use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::json;
use stablepin_aws::ecs::Ecs;
use stablepin_aws::lambda::Lambda;
use stablepin_aws::session::{Session, Settings};
use stablepin_rules::application::Source;
use stablepin_rules::image::ImageDigest;
use stablepin_tests::ecs_fake::EcsFake;
use stablepin_tests::server::{Answered, Server};
use stablepin_tests::sources_fake::{ACCOUNT, SourcesFake};

use crate::in_use::{Account, InUseError, Sources, TaskDefinitions, Used, in_use};

const REPOSITORY: &str = "000000000000.dkr.ecr.us-east-1.amazonaws.com/web";

pub(super) fn digest(digit: u8) -> ImageDigest {
    ImageDigest::parse(&format!("sha256:{}", digit.to_string().repeat(64))).unwrap()
}

pub(super) fn image(digit: u8) -> String {
    format!("{REPOSITORY}@{}", digest(digit))
}

pub(super) fn tagged(tag: &str) -> String {
    format!("{REPOSITORY}:{tag}")
}

/// Starts a fake Lambda API. Each entry of `answers` has a text, an HTTP status and a body. The
/// fake responds with the first entry whose text is in the request's path.
fn lambda_answering(answers: &'static [(&'static str, u16, &'static str)]) -> Server {
    Server::start_aws(move |request| {
        let answer = answers.iter().find(|(part, ..)| request.target.contains(part));
        let (_, status, body) = answer.unwrap_or(&("", 501, "{}"));
        Answered::new(*status, &[("content-type", "application/json")], *body)
    })
}

const NO_FUNCTIONS: &[(&str, u16, &str)] = &[("/functions", 200, "{\"Functions\":[]}")];

pub(super) struct AccountFake {
    pub(super) ecs: EcsFake,
    pub(super) sources: SourcesFake,
    pub(super) waived: BTreeSet<Source>,
    pub(super) lambda: &'static [(&'static str, u16, &'static str)],
    pub(super) cache: RefCell<TaskDefinitions>,
}

impl AccountFake {
    pub(super) fn new() -> Self {
        let ecs = EcsFake::start();
        ecs.by_hand();
        let (sources, waived) = (SourcesFake::start(), BTreeSet::new());
        Self { ecs, sources, waived, lambda: NO_FUNCTIONS, cache: RefCell::default() }
    }

    /// Reads the images in use, for a run that begins now.
    pub(super) async fn read(&self) -> Result<Vec<Used>, InUseError> {
        let now = Timestamp::now();
        self.read_for(now, now).await
    }

    pub(super) async fn read_for(&self, since: Timestamp, now: Timestamp) -> Result<Vec<Used>, InUseError> {
        let lambda = lambda_answering(self.lambda);
        let settings = Settings::read(|name| {
            let value = match name {
                "AWS_REGION" => "us-east-1".to_owned(),
                "AWS_ACCESS_KEY_ID" => "AKIAEXAMPLE".to_owned(),
                "AWS_SECRET_ACCESS_KEY" => "secret".to_owned(),
                "AWS_ENDPOINT_URL" => self.sources.url(),
                "AWS_ENDPOINT_URL_ECS" => self.ecs.url(),
                "AWS_ENDPOINT_URL_LAMBDA" => lambda.url(),
                _ => return None,
            };
            Some(value)
        });
        let mut settings = settings.unwrap();
        settings.patient_attempts = 1;
        let session = Session::new(settings);
        let mut cache = self.cache.take();
        let account = Account {
            ecs: &Ecs::patient(&session),
            lambda: &Lambda::new(&session),
            sources: &Sources::new(&session, ACCOUNT.to_owned()),
            waived: &self.waived,
        };
        let found = in_use(account, 3, since, now, &mut cache).await;
        self.cache.replace(cache);
        found
    }
}

pub(super) fn used(by: &str, image: &str, digest: Option<ImageDigest>) -> Used {
    Used { by: by.to_owned(), image: Some(image.to_owned()), digest }
}

pub(super) fn by_of<'a>(used: &'a [Used], digest: &ImageDigest) -> Vec<&'a str> {
    used.iter().filter(|one| one.digest.as_ref() == Some(digest)).map(|one| one.by.as_str()).collect()
}

/// Replaces the ids of tasks and revisions, which differ in each test run.
pub(super) fn without_ids(used: Vec<Used>) -> Vec<Used> {
    let named = |by: String| {
        let mut words: Vec<&str> = by.split(' ').collect();
        match words[..] {
            ["task", id, "of", ..] if id != "definition" => words[1] = "…",
            ["service", "revision", ..] => words[2] = "…",
            _ => {}
        }
        words.join(" ")
    };
    used.into_iter().map(|one| Used { by: named(one.by), ..one }).collect()
}

pub(super) fn registers(ecs: &EcsFake, family: &str, digit: u8) -> String {
    let containers = json!([{ "name": "web", "image": image(digit), "memory": 64 }]);
    ecs.registers(&json!({ "family": family, "containerDefinitions": containers }))
}
