//! Helpers that create the [`Subject`] of a push, and write its approval mail.

use jiff::Timestamp;
use stablepin_rules::application::Application;
use stablepin_rules::build_tag::BuildTag;
use stablepin_rules::code::Code;
use stablepin_rules::commit::Commit;
use stablepin_rules::effect::Outcome;
use stablepin_rules::image::{ImageDigest, ImageTag, RepositoryName};
use stablepin_rules::name::ApproverName;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{Configuration, Environment, Occurrence, Pin, Promotion, Subject, Work};
use stablepin_rules::transition::{Input, Opening, transition};

use crate::question;

pub(super) const LINK: &str =
    "https://approve.example.com/decide/web/production/0198184a-0100-7000-8000-000000000001?t=SECRET";

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(super) fn digest(n: u8) -> ImageDigest {
    ImageDigest::parse(&format!("sha256:{}", format!("{n:02x}").repeat(32))).unwrap()
}

pub(super) fn id() -> OperationId {
    OperationId::parse("0198184a-0100-7000-8000-000000000001").unwrap()
}

pub(super) fn lead() -> ApproverName {
    ApproverName::parse("lead").unwrap()
}

pub(super) fn application(name: &str, environment: &str) -> Application {
    let text = format!(
        r#"
name = "{name}"
repository = "web"
builds = ["main", "v*"]

[[approver]]
name = "lead"
mail = "lead@example.com"

[[approver]]
name = "second"
mail = "second@example.com"

[[environment]]
name = "{environment}"
deploy = "never"
approval = {{ required = 2 }}
"#
    );
    Application::parse(&text, None).unwrap()
}

/// Returns the [`Subject`] right after a push.
pub(super) fn pushed(application: Application, tag: &str, opening: impl FnOnce(&mut Opening)) -> Subject {
    let name = application.environments[0].name.clone();
    let subject = Subject {
        configuration: Configuration { application, version: 1 },
        name,
        environment: Environment::untouched(),
        build: None,
        operation: None,
    };
    let mut push = Opening {
        id: id(),
        occurrence: Occurrence { at: at("2025-07-17T14:30:52Z"), digest: digest(0xa1) },
        repository: RepositoryName::parse("web").unwrap(),
        pushed_tag: ImageTag::parse(tag).unwrap(),
        commit: Some(Commit::parse("a1b2c3d4e5f60718293a4b5c6d7e8f9012345678").unwrap()),
        media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
        size_bytes: Some(12_345_678),
        platforms: Vec::new(),
        names_taken: 0,
        run: None,
        is_copied: false,
        asked_by: None,
        pushers: Default::default(),
        reason: None,
    };
    opening(&mut push);
    let opened = transition(at("2025-07-17T14:30:54Z"), &subject, &[Input::Opened(Box::new(push))]);
    let valid = Input::Outcome(Outcome::Validated { configuration: 1, result: Ok(()) });
    transition(at("2025-07-17T14:30:54Z"), &opened.unwrap().after, &[valid]).unwrap().after
}

pub(super) fn with_a_pin(mut subject: Subject) -> Subject {
    subject.environment.pin = Some(Pin {
        number: PinNumber::new(6).unwrap(),
        digest: digest(0xb2),
        build_tag: BuildTag::parse("production-20250716-101500-b2b2b2b2").unwrap(),
        commit: None,
        by: OperationId::parse("0198134a-0100-7000-8000-000000000001").unwrap(),
        at: at("2025-07-16T11:00:00Z"),
        size_bytes: Some(12_000_000),
        platforms: Vec::new(),
        revisions: Default::default(),
    });
    subject
}

pub(super) fn code() -> Code {
    Code::parse("K7Q-2MD").unwrap()
}

pub(super) fn mail(subject: &Subject) -> String {
    let mail =
        question(subject, subject.policy().unwrap(), subject.promotion().unwrap(), &lead(), LINK, &code());
    format!("Subject: {}\n\n{}", mail.subject, mail.body)
}

pub(super) fn promotion(subject: &mut Subject) -> &mut Promotion {
    match &mut subject.operation.as_mut().unwrap().work {
        Work::Promotion(promotion) => promotion,
        Work::Rollback(_) | Work::Repair(_) | Work::LiveDrift(_) => {
            panic!("the operation must be a promotion")
        }
    }
}
