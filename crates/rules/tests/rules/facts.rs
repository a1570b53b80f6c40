//! The facts of a promotion, and their hash in a vote.

use std::collections::BTreeSet;

use insta::assert_snapshot;
use stablepin_rules::application::CheckName;
use stablepin_rules::audit::Actor;
use stablepin_rules::facts::facts;
use stablepin_rules::image::{ImageTag, RepositoryName};
use stablepin_rules::link::Link;
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::pipeline_run::{PipelineRun, RunSource};
use stablepin_rules::records::{
    Check, CheckResult, Checks, Freeze, Hold, HoldReason, Promotion, Subject, Work,
};
use uuid::Uuid;

use crate::world::{World, application, digest, start};
use crate::{ONE, asked, pinned};

/// Returns the records of a promotion in which every fact has a value.
fn subject() -> Subject {
    let mut world = World::new(application(ONE, ""));
    pinned(&mut world, 0, 1);
    let id = asked(&mut world, 60, 2);
    let mut subject = world.subject(Some(id), None);
    let by = Actor::Principal { arn: "arn:aws:iam::111122223333:role/lead".to_owned() };
    promotion(&mut subject).asked_by = Some(by.clone());
    promotion(&mut subject).pushers = BTreeSet::from(["arn:aws:iam::111122223333:role/ci".to_owned()]);
    promotion(&mut subject).build.commit = Some("a1b2c3d4".to_owned());
    promotion(&mut subject).build.size_bytes = Some(12);
    let link = Link::parse("https://ci.example.com/7").unwrap();
    let check = Check {
        result: CheckResult::Passed,
        at: start(),
        link: Some(link.clone()),
        seconds: Some(9),
        by: by.clone(),
    };
    promotion(&mut subject).checks.record(CheckName::parse("tests").unwrap(), check, &Default::default());
    promotion(&mut subject).build.run = Some(PipelineRun::of_link(link, RunSource::Label, None));
    subject.environment.freeze = Some(Freeze { since: start(), reason: "sale".to_owned(), by });
    let reason = HoldReason::Rollback(PinNumber::FIRST);
    let by = OperationId::new(Uuid::from_u128(7));
    subject.environment.hold = Some(Hold { since: start(), reason, by });
    subject
}

fn promotion(subject: &mut Subject) -> &mut Promotion {
    match &mut subject.operation.as_mut().unwrap().work {
        Work::Promotion(promotion) => promotion,
        Work::Rollback(_) | Work::Repair(_) | Work::LiveDrift(_) => panic!("it is a promotion"),
    }
}

/// A change of words in mails or pages must not change the hash. If this snapshot changes, the
/// facts need a new version.
#[test]
fn facts_contain_no_words_of_mails_or_pages() {
    let subject = subject();
    let facts = facts(&subject).unwrap();
    assert_snapshot!(serde_json::to_string(&facts).unwrap(), @r#"{"version":2,"application":"web","environment":"production","build":"production-20261121-100100-02020202","commit":"a1b2c3d4","digest":"sha256:0202020202020202020202020202020202020202020202020202020202020202","size_bytes":12,"repository":"web","pushed_tag":"main","pushed_at":"2026-11-21T10:01:00Z","asked_by":{"type":"principal","arn":"arn:aws:iam::111122223333:role/lead"},"checks":{"tests":{"result":"passed","at":"2026-11-21T10:00:00Z","link":"https://ci.example.com/7","seconds":9,"by":{"type":"principal","arn":"arn:aws:iam::111122223333:role/lead"}}},"run":{"repository":null,"workflow":null,"id":null,"link":"https://ci.example.com/7","started_by":null,"source":"label","named_by":null},"pushers":["arn:aws:iam::111122223333:role/ci"],"replaces":{"type":"pin","number":1,"build":"production-20261121-100000-01010101","since":"2026-11-21T10:00:20Z","size_bytes":null},"freeze":{"since":"2026-11-21T10:00:00Z","reason":"sale","by":{"type":"principal","arn":"arn:aws:iam::111122223333:role/lead"}},"hold":{"since":"2026-11-21T10:00:00Z","reason":{"rollback":1},"by":"00000000-0000-0000-0000-000000000007"}}"#);
    assert_snapshot!(facts.hash(), @"81ea0f09b54dffce4bd0b93e9c5536618514670881cc66aa6b05c74025d3bec6");
}

#[test]
fn change_of_any_fact_changes_the_hash() {
    type Change = fn(&mut Subject);
    let changes: [(&str, Change); 16] = [
        ("application", |one| {
            one.configuration.application.name = ApplicationName::parse("other").unwrap();
        }),
        ("environment", |one| one.name = EnvironmentName::parse("other").unwrap()),
        ("build", |one| {
            let pin = one.environment.pin.as_ref().unwrap().build_tag.clone();
            promotion(one).build.build_tag = pin;
        }),
        ("commit", |one| promotion(one).build.commit = None),
        ("digest", |one| promotion(one).digest = digest(9)),
        ("size_bytes", |one| promotion(one).build.size_bytes = Some(13)),
        ("repository", |one| promotion(one).build.repository = RepositoryName::parse("other").unwrap()),
        ("pushed_tag", |one| promotion(one).pushed_tag = Some(ImageTag::parse("other").unwrap())),
        ("pushed_at", |one| promotion(one).occurrence.at = start()),
        ("asked_by", |one| promotion(one).asked_by = None),
        ("pushers", |one| promotion(one).pushers.clear()),
        ("checks", |one| promotion(one).checks = Checks::default()),
        ("run", |one| promotion(one).build.run = None),
        ("replaces", |one| one.environment.pin.as_mut().unwrap().size_bytes = Some(1)),
        ("freeze", |one| one.environment.freeze.as_mut().unwrap().reason = "holiday".to_owned()),
        ("hold", |one| {
            let pin = PinNumber::new(2).unwrap();
            one.environment.hold.as_mut().unwrap().reason = HoldReason::Rollback(pin);
        }),
    ];
    let before = subject();
    let values = |subject: &Subject| serde_json::to_value(facts(subject).unwrap()).unwrap();
    let mut members: BTreeSet<String> = values(&before).as_object().unwrap().keys().cloned().collect();
    let mut hashes = BTreeSet::from([facts(&before).unwrap().hash()]);
    for (member, change) in changes {
        let mut after = before.clone();
        change(&mut after);
        let (mut expected, changed) = (values(&before), values(&after));
        assert_ne!(expected[member], changed[member]);
        expected[member] = changed[member].clone();
        assert_eq!(expected, changed, "only {member} changes");
        assert!(hashes.insert(facts(&after).unwrap().hash()), "{member} must change the hash");
        members.remove(member);
    }
    assert_eq!(members, BTreeSet::from(["version".to_owned()]), "every value is covered");
}
