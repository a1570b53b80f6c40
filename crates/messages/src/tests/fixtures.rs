//! Helpers that create the [`Subject`] of a push, and write its approval mail.

use stablepin_rules::application::Application;
use stablepin_rules::build_tag::BuildTag;
use stablepin_rules::code::Code;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{Pin, Promotion, Subject, Work};
use stablepin_rules::transition::Opening;

use crate::question;

pub(super) const LINK: &str =
    "https://approve.example.com/decide/web/production/0198184a-0100-7000-8000-000000000001?t=SECRET";

pub(super) use stablepin_fixtures::{at, digest, id, lead};

pub(super) fn application(name: &str, environment: &str) -> Application {
    stablepin_fixtures::application(name, environment, 2)
}

/// Returns the [`Subject`] right after a push. `change` changes the push.
pub(super) fn pushed(application: Application, tag: &str, change: impl FnOnce(&mut Opening)) -> Subject {
    let mut opening = stablepin_fixtures::opening(tag);
    change(&mut opening);
    stablepin_fixtures::pushed(application, opening)
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
