//! Tests of the notices about services or tags that are not on the pin.

use insta::assert_snapshot;
use stablepin_rules::application::ServiceName;
use stablepin_rules::image::ImageTag;
use stablepin_rules::live_drift::{Deviation, LiveDrift};
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{DriftReport, NotPut, Notice, Operation, TakenTag, Work};

use super::fixtures::{application, at, digest, id, pushed, with_a_pin};
use crate::notice;

#[test]
fn live_drift_notice_names_digests_and_next_steps() {
    let mut subject = with_a_pin(pushed(application("web", "production"), "main", |_| ()));
    let since = at("2025-07-17T16:20:00Z");
    let report = DriftReport { id: id(), detected_at: since };
    subject.operation = Some(Operation::new(Work::LiveDrift(report), since));
    let web = Deviation {
        task_definition: Some("arn:aws:ecs:eu-west-1:111122223333:task-definition/web:6".to_owned()),
        digest: Some(digest(0xa1)),
        registered_by: Some("arn:aws:sts::111122223333:assumed-role/terraform/ann".to_owned()),
    };
    let gone = Deviation { task_definition: None, digest: None, registered_by: None };
    let services = [("prod/web", web), ("prod/worker", gone)];
    let services = services.map(|(name, deviation)| (ServiceName::parse(name).unwrap(), deviation)).into();
    subject.environment.live_drift =
        Some(LiveDrift { id: id(), since, services, ended_at: None, notified_at: None });
    let written = notice(&subject, Notice::LiveDrift).unwrap();
    assert_eq!(written.mail.subject, "web production: services do not run the pin");
    assert_eq!(written.chat["metadata"]["eventType"], "live-drift");
    assert_snapshot!(written.mail.body, @r#"
    Services of production do not run pin 6, and Stablepin did not change them. The pin is production-20250716-101500-b2b2b2b2 (sha256:b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2).

    Seen at 2025-07-17 16:20 UTC. Stablepin sends no further notice until it ends.

    Services:
    - prod/web runs sha256:a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1 (task definition web:6, registered by arn:aws:sts::111122223333:assumed-role/terraform/ann)
    - prod/worker no longer exists

    What to do:
    - If it was not intended: roll back with to = "stable". The services then run the pin again.
    - If Terraform, CloudFormation or CDK did it, the next apply does it again: docs/infrastructure-as-code.md says how to prevent it.
    - If it was intended: push that build and approve it, so that it becomes the pin.

    Id: 0198184a-0100-7000-8000-000000000001
    "#);
    if let Some(drift) = &mut subject.environment.live_drift {
        drift.ended_at = Some(since);
    }
    assert_eq!(notice(&subject, Notice::LiveDrift), None, "the drift has ended");
}

#[test]
fn tag_conflict_notice_names_tag_image_and_caller() {
    let mut subject = with_a_pin(pushed(application("web", "production"), "main", |_| {}));
    let taken = |by: Option<&str>| TakenTag {
        pin: PinNumber::new(6).unwrap(),
        tag: ImageTag::parse("production-stable-000006").unwrap(),
        why: NotPut::Taken { on: digest(0xc3), by: by.map(str::to_owned) },
    };
    subject.operation.as_mut().unwrap().tag_taken = Some(taken(Some("arn:aws:iam::111122223333:user/anna")));
    let written = notice(&subject, Notice::TagTaken).unwrap();
    assert_snapshot!(format!("Subject: {}\n\n{}", written.mail.subject, written.mail.body), @"
    Subject: web production: a pin's tag is on another image

    Pin 6 of production is set, but ECR did not accept its tag production-stable-000006.

    Why: the tag is on sha256:c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3, and the repository does not let it move. arn:aws:iam::111122223333:user/anna put it there, according to CloudTrail.

    What to do:
    - Deploy by the digest of pin 6, not by production-stable-000006: that is another image.
    - Find out who puts tags of this name. Delete the tag production-stable-000006 in ECR. Stablepin then puts it on the pin.

    Id: 0198184a-0100-7000-8000-000000000001
    ");
    assert_eq!(written.chat["metadata"]["eventType"], "tag-taken");
    subject.operation.as_mut().unwrap().tag_taken = Some(taken(None));
    let written = notice(&subject, Notice::TagTaken).unwrap();
    assert!(written.mail.body.contains("Who put it there is not known."));
    subject.operation.as_mut().unwrap().tag_taken = None;
    assert!(notice(&subject, Notice::TagTaken).is_none());
}
