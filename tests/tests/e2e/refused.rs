//! Final refusals by AWS. The operation ends within two attempts. Its reason says what the
//! operation changed, and quotes the refusal.
//!
//! Stablepin retries every error that is not a refusal, whatever its HTTP status.

use serde_json::Value;
use stablepin_tests::crash::{Fault, ProgramRun};
use stablepin_tests::ecs_fake::DeploymentOutcome;
use stablepin_tests::release::SERVICES;
use stablepin_tests::{Plan, Release};
use xtask::image::Spec;

/// The response of ECS to a caller that may not pass a task role.
///
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html>
const NO_PASS_ROLE: (u16, &str, &str) = (
    400,
    "AccessDeniedException",
    "User: arn:aws:sts::000000000000:assumed-role/stablepin-promoter/f is not authorized to perform: iam:PassRole on \
     resource: arn:aws:iam::000000000000:role/prod-task-web because no identity-based policy allows the iam:PassRole \
     action",
);
const TOO_LONG: (u16, &str, &str) =
    (400, "ClientException", "Actual length: 'Actual length exceeds the max allowed length: 65536'");
const NO_UPDATE: (u16, &str, &str) = (
    403,
    "AccessDeniedException",
    "User: f is not authorized to perform: ecs:UpdateService on resource: web",
);
const NO_PARAMETER: (u16, &str, &str) =
    (400, "InvalidParameterException", "The container web did not have a container port 80 defined.");

const REFUSALS: [(&str, (u16, &str, &str)); 4] = [
    ("RegisterTaskDefinition", NO_PASS_ROLE),
    ("RegisterTaskDefinition", TOO_LONG),
    ("UpdateService", NO_UPDATE),
    ("UpdateService", NO_PARAMETER),
];

/// Returns the titles of the notices that people received, and the whole text of all notices.
fn sent_notices(release: &Release) -> (Vec<String>, String) {
    let notices = release.app.notices();
    let title = |notice: &Value| notice["content"]["title"].as_str().unwrap_or_default().to_owned();
    let short = |title: String| title.rsplit(": ").next().unwrap_or_default().to_owned();
    let words = notices.iter().map(|notice| notice["content"].to_string()).collect::<Vec<_>>().join("\n");
    (notices.iter().map(title).map(short).collect(), words)
}

/// Asserts that the service still runs the image `before`, and that the next build can begin: there
/// is no hold, and the slot is free.
#[track_caller]
fn is_untouched(release: &Release, before: &str, pins: usize) {
    release.runs("web", before);
    assert_eq!(release.service("web").service_deployments().len(), 1, "no deployment but the first");
    let environment = release.app.environment();
    assert!(environment["hold"].is_null(), "{environment:#}");
    assert!(environment["slot"].is_null(), "{environment:#}");
    assert_eq!(release.app.pins().len(), pins);
}

#[test]
fn release_refused_by_ecs_changes_nothing() {
    for (call, refusal) in REFUSALS {
        let release = Release::next(&["web"]).with(&["web"]);
        release.ecs.keeps_refusing(call, "", refusal);
        release.begin();
        let record = release.looks();
        assert_eq!(record["state"], "Failed", "{call} {refusal:?}: {record:#}");
        let said = release.app.reason(&record);
        assert!(said.starts_with("Stablepin changed nothing: "), "{said}");
        assert!(said.contains(refusal.1) && said.contains(refusal.2.trim_end_matches('.')), "{said}");
        assert_eq!(said.contains("PassRoleArns"), refusal == NO_PASS_ROLE, "{said}");
        is_untouched(&release, &release.before, 1);
        release.looks();
        let (titles, words) = sent_notices(&release);
        assert_eq!(titles, ["release failed"]);
        assert!(words.contains("Stablepin changed nothing"), "{words}");
        assert!(words.contains("Correct what is named"), "{words}");
        assert!(!words.contains("is held") && !words.contains("rolling"), "{words}");
        assert!(release.has_ended());
    }
}

/// AWS sends these errors with a 4xx status, although the same request may succeed later.
#[test]
fn release_retries_errors_that_are_not_refusals() {
    for (call, refusal) in [
        ("RegisterTaskDefinition", (400, "ThrottlingException", "Rate exceeded")),
        (
            "RegisterTaskDefinition",
            (403, "ExpiredTokenException", "The security token included in the request is expired"),
        ),
        (
            "RegisterTaskDefinition",
            (
                400,
                "ClientException",
                "Too many concurrent attempts to create a new revision of the specified family.",
            ),
        ),
        ("UpdateService", (400, "ServiceUnavailable", "Service is unavailable. Try again later.")),
        ("UpdateService", (400, "RequestExpired", "Request has expired.")),
        ("UpdateService", (409, "ConflictException", "The service is being updated.")),
        ("UpdateService", (400, "LimitExceededException", "The limit for the resource was exceeded.")),
    ] {
        let release = Release::next(&["web"]).with(&["web"]);
        release.ecs.keeps_refusing(call, "", refusal);
        release.begin();
        for _ in 0..2 {
            let record = release.looks();
            assert_eq!(record["state"], "InProgress", "{call} {refusal:?}: {record:#}");
        }
        release.ecs.takes_all_again();
        let record = release.ends();
        assert_eq!(record["state"], "Completed", "{call} {refusal:?}: {record:#}");
        release.runs("web", &release.digest);
    }
}

#[test]
fn updated_services_roll_back_if_ecs_refuses_another_update() {
    let release = Release::next(&SERVICES).with(&SERVICES);
    release.ecs.keeps_refusing("UpdateService", "worker", NO_UPDATE);
    let record = release.runs_its_course();
    assert_eq!(record["state"], "RolledBack", "{record:#}");
    assert!(release.app.reason(&record).contains(NO_UPDATE.2), "{record:#}");
    SERVICES.iter().for_each(|service| release.runs(service, &release.before));
    assert_eq!(release.app.environment()["hold"]["by"], record["id"]);
    assert_eq!(release.service("worker").service_deployments().len(), 1, "the worker was never updated");
}

#[test]
fn reason_of_a_failed_rollback_quotes_the_refusal_by_ecs() {
    let release = Release::next(&["web"]);
    release
        .new_service("web")
        .circuit_breaker(false)
        .create()
        .will(DeploymentOutcome::CrashesUntilTheBreaker);
    release.begin();
    release.settle();
    release.ecs.keeps_refusing("UpdateService", "", NO_UPDATE);
    release.looks();
    let record = release.looks();
    assert_eq!(record["state"], "Failed", "{record:#}");
    let said = release.app.reason(&record);
    assert!(said.contains("Rolling back failed") && said.contains(NO_UPDATE.2), "{said}");
    assert_eq!(
        release.app.environment()["hold"]["by"],
        record["id"],
        "the environment is held, since a failed build runs"
    );
}

fn answered(run: &ProgramRun) -> (u64, Value) {
    let answer = run.answer.as_ref().expect("the function was not killed");
    let body = serde_json::from_str(answer["body"].as_str().unwrap_or_default()).unwrap_or_default();
    (answer["statusCode"].as_u64().unwrap_or_default(), body)
}

#[test]
fn response_to_a_refused_rollback_quotes_the_refusal_by_ecs() {
    for (call, refusal) in REFUSALS {
        let release = Release::back(&["web"]).with(&["web"]);
        release.ecs.keeps_refusing(call, "", refusal);
        let (status, body) = answered(&release.ask_back("1", None));
        assert_eq!(
            (status, &body["type"]),
            (409, &"urn:stablepin:problem:rollback-failed".into()),
            "{body:#}"
        );
        let detail = body["detail"].as_str().unwrap_or_default();
        assert!(
            detail.contains("Stablepin changed nothing") && detail.contains(refusal.2.trim_end_matches('.')),
            "{body:#}"
        );
        assert_eq!(detail.contains("PassRoleArns"), refusal == NO_PASS_ROLE, "{body:#}");
        let record = release.record();
        assert_eq!(record["state"], "Failed", "{record:#}");
        assert!(release.app.reason(&record).contains(refusal.2.trim_end_matches('.')), "{record:#}");
        is_untouched(&release, &release.before, 2);
        release.looks();
        let (titles, words) = sent_notices(&release);
        assert_eq!(titles, ["rollback failed"]);
        assert!(words.contains("Stablepin changed nothing"), "{words}");
    }
}

#[test]
fn notice_quotes_the_refusal_that_ends_a_running_rollback() {
    let release = Release::back(&["web"]).with(&["web"]);
    let requests = {
        let other = Release::back(&["web"]).with(&["web"]);
        other.ask_back("1", None).requests
    };
    let register =
        requests.iter().position(|request| request == "RegisterTaskDefinition").expect("a registration") + 1;
    let run = release.ask_back("1", Some((register, Fault::KillBefore)));
    assert!(run.hit, "{:?}", run.requests);
    release.ecs.keeps_refusing("RegisterTaskDefinition", "", NO_PASS_ROLE);
    let record = release.looks();
    assert!(release.app.reason(&record).contains(NO_PASS_ROLE.2), "{record:#}");
    // The killed invocation may have changed the service, and Stablepin cannot find that out. So
    // the rollback is incomplete instead of failed.
    assert_eq!(record["state"], "Incomplete", "{record:#}");
    let (titles, words) = sent_notices(&release);
    assert_eq!(titles, ["rollback not proven"]);
    assert!(words.contains("PassRoleArns"), "{words}");
}

/// ECS updates the service, but the connection breaks before the response. ECS then refuses the
/// repeated request.
#[test]
fn release_completes_if_ecs_refuses_only_the_repeated_update() {
    let requests = {
        let other = Release::next(&["web"]).with(&["web"]);
        other.approve(None);
        other.tick(None).requests
    };
    let update = requests.iter().position(|request| request == "UpdateService").expect("an update") + 1;
    let release = Release::next(&["web"]).with(&["web"]);
    release.approve(None);
    // The promoter's first change to ECS registers a revision. Its second change updates the
    // service.
    release.ecs.after_change(2, |ecs| ecs.keeps_refusing("UpdateService", "", NO_UPDATE));
    let run = release.tick(Some((update, Fault::ResetAfter)));
    assert!(run.hit, "{:?}", run.requests);
    let record = release.ends();
    assert_eq!(record["state"], "Completed", "ECS had made the update: {record:#}");
    release.runs("web", &release.digest);
}

/// The promotion fails before an approver gets a mail, because the mail must name the build tag.
#[test]
fn promotion_fails_if_ecr_refuses_the_build_tag() {
    let app = Plan::new("untaggable").create_with_fakes();
    app.ecr().keeps_failing("PutImage", 1, 400, "AccessDeniedException");
    let digest = app.push("main", &Spec::new("1"));
    app.ticks_until("the end of the promotion", |app| {
        app.promotions().iter().any(|one| one["state"] == "Failed")
    });
    let promotion = app.promotions().pop().expect("a promotion");
    assert_eq!(promotion["digest"], digest.as_str());
    let said = app.reason(&promotion);
    assert!(said.starts_with("Stablepin changed nothing: could not put the tag"), "{said}");
    assert!(said.contains("AccessDenied"), "{said}");
    app.tick();
    let notices = app.notices();
    assert_eq!(notices.len(), 1, "{notices:#?}");
    assert!(notices[0].to_string().contains("Stablepin changed nothing"), "{notices:#?}");
    assert!(app.environment()["hold"].is_null());
    app.ecr().is_well();
    let next = app.push("main", &Spec::new("2"));
    app.link(&next);
}

/// The build remains the pin. Once ECR permits, Stablepin puts the stable tag within a day or with
/// the next pin.
#[test]
fn build_is_pinned_even_if_ecr_refuses_the_stable_tag() {
    let app = Plan::new("unstable").create_with_fakes();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    app.ecr().keeps_failing("PutImage", 1, 400, "AccessDeniedException");
    let (status, page) = app.decides(&link, "approve");
    assert_eq!(status, 200, "{page}");
    app.ticks_until("the end of the promotion", |app| {
        app.promotions().iter().any(|one| one["state"] == "Completed")
    });
    let promotion = app.promotions().pop().expect("a promotion");
    let said = app.reason(&promotion);
    assert!(said.contains("ECR did not accept the tag") && said.contains(" of pin 1: "), "{said}");
    assert!(said.contains("AccessDenied"), "{said}");
    assert_eq!((app.pins(), app.tag(&app.plan.stable_tag)), (vec![(1, digest)], None));
    app.tick();
    let notices = app.notices();
    assert_eq!(notices.len(), 1, "{notices:#?}");
    assert!(notices[0].to_string().contains("Correct what the refusal names"), "{notices:#?}");
    app.ecr().is_well();
    let next = app.pin("main", &Spec::new("2"));
    assert_eq!(app.tag(&app.plan.stable_tag), Some(next));
    assert!(app.environment()["tag_taken"].is_null());
}
