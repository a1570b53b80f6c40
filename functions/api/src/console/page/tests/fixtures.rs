//! Helpers that create environments in any state, and render their pages.

use std::collections::BTreeMap;

use stablepin_http::Response;
use stablepin_rules::application::Application as File;
use stablepin_rules::audit::Actor;
use stablepin_rules::build_tag::BuildTag;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{
    Build, Configuration, Current, Environment as Record, Freeze, Hold, HoldReason, Occurrence, Operation,
    Pin, Promotion, PromotionState, RolloutFailure, Subject, Verdict, Vote, Work,
};

use crate::AllowedResources;
use crate::console::page::{
    Application, Environment, Found, LiveRow, Pending, Shown, Visit, application, overview,
};

pub(super) use stablepin_fixtures::at;

pub(super) fn visit() -> Visit {
    Visit { now: at("2026-11-21T15:00:00Z"), until: at("2026-11-21T15:40:00Z") }
}

pub(super) fn settings() -> AllowedResources {
    AllowedResources::new("eu-central-1".to_owned(), "https://api.example.com".to_owned(), "", "").unwrap()
}

pub(super) fn id(number: u32) -> OperationId {
    OperationId::parse(&format!("0198184a-0100-7000-8000-{number:012}")).unwrap()
}

pub(super) fn digest(number: u32) -> ImageDigest {
    ImageDigest::parse(&format!("sha256:{number:064}")).unwrap()
}

pub(super) fn build_tag(number: u32) -> BuildTag {
    serde_json::from_value(serde_json::json!(format!("production-20261121-1430{number:02}-a1b2c3d4")))
        .unwrap()
}

/// Returns the environments `production`, `production-1`, … of an application. `environments` is
/// the number of environments.
pub(super) fn subjects(name: &str, environments: usize) -> Vec<Subject> {
    let mut file = format!(
        "name = \"{name}\"\nrepository = \"web\"\nbuilds = [\"main\"]\n\
         [[approver]]\nname = \"lead\"\nmail = \"lead@example.com\"\n"
    );
    for number in 0..environments {
        let name = if number == 0 { "production".to_owned() } else { format!("production-{number}") };
        file += &format!("[[environment]]\nname = \"{name}\"\nservices = [\"prod/{name}\"]\n");
    }
    let application = File::parse(&file, None).unwrap();
    let names: Vec<_> = application.environments.iter().map(|policy| policy.name.clone()).collect();
    let configuration = Configuration { application, version: 1 };
    let of = |name| Subject {
        configuration: configuration.clone(),
        name,
        environment: Record::untouched(),
        build: None,
        operation: None,
    };
    names.into_iter().map(of).collect()
}

pub(super) fn pin(number: u32) -> Pin {
    Pin {
        number: PinNumber::new(number.into()).unwrap(),
        digest: digest(number),
        build_tag: build_tag(number),
        commit: None,
        by: id(number),
        at: at("2026-11-21T14:40:00Z"),
        size_bytes: None,
        platforms: Vec::new(),
        revisions: BTreeMap::new(),
    }
}

/// Returns an environment that runs pin 7 and has its stable tag on pin 7.
pub(super) fn healthy(mut subject: Subject) -> Environment {
    let record = &mut subject.environment;
    record.pin = Some(pin(7));
    record.applied = Some(pin(7).number);
    record.current = Some(Current { digest: digest(7), by: id(7), tagged: true });
    let live = LiveRow {
        service: subject.policy().unwrap().services[0].clone(),
        found: Found::Tasks(BTreeMap::from([(Some(digest(7)), 2)])),
    };
    Environment { subject, pending: Pending::default(), live: vec![live], pins: vec![pin(7), pin(6), pin(5)] }
}

pub(super) fn healthy_environment() -> Environment {
    healthy(subjects("web", 1).remove(0))
}

pub(super) fn frozen(mut environment: Environment, reason: &str) -> Environment {
    let by = Actor::Principal { arn: "arn:aws:iam::111122223333:user/lead".to_owned() };
    let freeze = Freeze { since: at("2026-11-21T09:00:00Z"), reason: reason.to_owned(), by };
    environment.subject.environment.freeze = Some(freeze);
    environment
}

pub(super) fn held(mut environment: Environment, reason: &str) -> Environment {
    let failure = RolloutFailure::Reported(reason.to_owned());
    let reason = HoldReason::ReleaseFailed(failure);
    let hold = Hold { since: at("2026-11-21T09:15:00Z"), reason, by: id(3) };
    environment.subject.environment.hold = Some(hold);
    environment
}

pub(super) fn promotion(number: u32, state: PromotionState) -> Promotion {
    let opened_at = at("2026-11-21T14:31:00Z");
    let build = Build {
        digest: digest(number),
        repository: RepositoryName::parse("web").unwrap(),
        build_tag: build_tag(number),
        tagged: true,
        names_taken: 0,
        run: None,
        commit: None,
        pushed_tag: ImageTag::parse("main").unwrap(),
        pushed_at: opened_at,
        media_type: String::new(),
        size_bytes: None,
        platforms: Vec::new(),
        version: 1,
    };
    let subject = stablepin_fixtures::pushed(
        stablepin_fixtures::application("web", "production", 1),
        stablepin_fixtures::opening("main"),
    );
    let mut promotion = subject.promotion().unwrap().clone();
    (promotion.id, promotion.digest, promotion.build, promotion.state) =
        (id(number), digest(number), build, state);
    promotion.occurrence = Occurrence { at: opened_at, digest: digest(number) };
    (promotion.opened_at, promotion.expires_at) = (opened_at, at("2026-11-24T14:31:00Z"));
    (promotion.pushed_tag, promotion.validated, promotion.ready_at) = (None, None, None);
    promotion
}

pub(super) fn voted(mut promotion: Promotion, verdict: Verdict, reason: &str) -> Promotion {
    let approver = stablepin_rules::name::ApproverName::parse("lead").unwrap();
    let actor = Actor::Link { approver: approver.clone() };
    let vote = Vote { verdict, reason: Some(reason.to_owned()), at: promotion.opened_at, actor, facts: None };
    promotion.votes.insert(approver, vote);
    promotion
}

pub(super) fn of_production(promotion: Promotion) -> (EnvironmentName, Operation) {
    let name = EnvironmentName::parse("production").unwrap();
    (name, Operation::new(Work::Promotion(promotion), visit().now))
}

pub(super) fn shows(environments: &[Environment], history: &[(EnvironmentName, Operation)]) -> Response {
    let name = ApplicationName::parse("web").unwrap();
    let shown = Application { name: &name, environments, history, older: false, ignored: &[] };
    application(visit(), &settings(), &shown)
}

pub(super) fn lists(environment: Environment) -> Response {
    let name = environment.subject.application().clone();
    overview(visit(), &[Shown { name, environments: Some(vec![environment]) }], false)
}

pub(super) fn body(response: &Response) -> &str {
    std::str::from_utf8(response.body.as_ref().unwrap().as_ref()).unwrap()
}

/// Returns the page's status, its title, and the content of `<main>`, with one element on each
/// line.
pub(super) fn shown(response: &Response) -> String {
    let (head, rest) = body(response).split_once("<main>").unwrap();
    let main = rest.split_once("</main>").unwrap().0.to_owned();
    let title = head.split_once("<title>").unwrap().1.split_once("</title>").unwrap().0;
    let elements =
        ["<p", "<h1", "<h2", "<h3", "<dl", "<dt", "<section", "<article", "<ol", "<li ", "<nav", "<details"];
    let main = elements.iter().fold(main, |main, element| main.replace(element, &format!("\n{element}")));
    format!("{} {title}{main}", response.status_code)
}

/// Returns the lines of the page that contain one of these words.
pub(super) fn said(response: &Response, words: &[&str]) -> String {
    let shown = shown(response);
    let lines = shown.lines().filter(|line| words.iter().any(|word| line.contains(word)));
    lines.collect::<Vec<_>>().join("\n")
}
