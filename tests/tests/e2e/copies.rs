//! The copy of an approved image to the environment's own repository, against the fake of ECR: the
//! same bytes with all children and referrers, each layer once, and what people read if it fails.

mod meanwhile;
mod target;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use serde_json::{Value, json};
use stablepin_tests::boto3::raw_manifest;
use stablepin_tests::crash::{Fault, ProgramRun};
use stablepin_tests::ecr_fake::{Repository, TagMutability};
use stablepin_tests::faults::{ANSWERS, KILLS, everywhere, some};
use stablepin_tests::{App, Link, Plan, Seed};
use xtask::image::{Blob, Mode, Spec, assemble, digest, index};

use crate::checks::report;
use crate::deploy::promoted;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

const EMPTY: &str = "application/vnd.oci.empty.v1+json";

/// The name of production's own repository.
fn target_name(app: &App) -> String {
    format!("prod/{}", app.plan.repository)
}

/// Creates production's own repository in the application's fake of ECR.
fn target(app: &App) -> Repository {
    app.ecr().creates(&target_name(app), TagMutability::Mutable)
}

/// Returns an application whose production environment has a repository of its own.
fn application(story: &str) -> App {
    let plan = Plan::new(story);
    let own = format!("repository = \"prod/{}\"", plan.repository);
    plan.with(&own).create_with_fakes()
}

/// Returns the descriptor of a blob.
fn entry(blob: &Blob) -> Value {
    json!({ "mediaType": blob.media_type, "digest": blob.digest, "size": blob.bytes.len() })
}

/// Pushes an image index with two platforms, and an SBOM of the image index. Returns the digest of
/// the image index.
fn push_index_with_sbom(app: &App) -> String {
    let platform = |architecture| assemble(&Spec::new(architecture), architecture.as_bytes(), architecture);
    let children = ["amd64", "arm64"].map(|architecture| platform(architecture).expect("an image"));
    let index = index(children.into()).expect("an index");
    let (registry, repository) = (app.registry(), &app.plan.repository);
    let pushed = registry.push_index(repository, Some("main"), &index).expect("a push");
    let (config, sbom) = (Blob::new(EMPTY, b"{}".to_vec()), Blob::new("text/spdx+json", b"an SBOM".to_vec()));
    for blob in [&config, &sbom] {
        registry.put_blob(repository, blob).expect("a blob");
    }
    let subject = json!({
        "mediaType": index.manifest.media_type, "digest": pushed, "size": index.manifest.bytes.len(),
    });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "text/spdx+json",
        "config": entry(&config), "layers": [entry(&sbom)], "subject": subject,
    });
    let manifest = Blob::new(OCI_MANIFEST, manifest.to_string().into_bytes());
    registry.put_manifest(repository, None, &manifest).expect("an SBOM");
    app.hears();
    pushed
}

/// Returns the saved state of an application with an approval request for an image index, and the
/// request's link.
fn asked() -> &'static (Seed, Link) {
    static BEGUN: OnceLock<(Seed, Link)> = OnceLock::new();
    BEGUN.get_or_init(|| {
        let app = application("copy");
        let image = push_index_with_sbom(&app);
        app.ticks_until("the approver is asked", App::everybody_is_asked);
        (Seed::of(&app), app.link(&image))
    })
}

/// Returns a copy of this application in which the build is approved, and the build's digest.
/// Production's own repository does not exist yet.
fn approved() -> (App, String) {
    let (seed, link) = asked();
    let app = seed.copy(&[]);
    let image = approve(&app, link);
    (app, image)
}

fn record(app: &App) -> Value {
    app.promotions().pop().expect("a promotion")
}

/// Approves the newest promotion, which begins the copy. Returns the build's digest.
fn approve(app: &App, link: &Link) -> String {
    let digest = record(app)["digest"].as_str().expect("a digest").to_owned();
    let (status, page) = app.decides(link, "approve");
    assert_eq!(status, 200, "{page}");
    assert_eq!(record(app)["state"], "InProgress");
    digest
}

/// Invokes the promoter with the message of the newest promotion's copy, as its queue delivers the
/// message.
fn copy(app: &App, fault: Option<(usize, Fault)>) -> ProgramRun {
    copy_to(app, "production", &record(app), fault)
}

/// Invokes the promoter with the message of the copy of this promotion, which is one of the
/// environment's.
fn copy_to(app: &App, environment: &str, promotion: &Value, fault: Option<(usize, Fault)>) -> ProgramRun {
    let copy = json!({
        "application": app.plan.name, "environment": environment, "id": promotion["id"],
    });
    let body = json!({ "copy": copy }).to_string();
    let event = json!({ "Records": [{ "eventSource": "aws:sqs", "messageId": "1", "body": body }] });
    app.invoke(None, "promoter", &event, fault)
}

/// Repeats the message of the copy until the promotion has ended.
fn copies_until_it_ends(app: &App) -> Value {
    for _ in 0..12 {
        app.pauses_end();
        copy(app, None);
        app.tick();
        let record = record(app);
        if record["state"] != "InProgress" {
            return record;
        }
    }
    panic!("{:#?}", app.promotions());
}

/// Asserts that the target has the same manifests, referrers and layers, and each layer only once.
#[track_caller]
fn is_copied(app: &App, target: &Repository, image: &str, what: &str) {
    let source = app.web();
    let sorted = |repository: &Repository| repository.digests().into_iter().collect::<BTreeSet<_>>();
    assert_eq!(sorted(target), sorted(source), "{what}");
    for digest in target.digests() {
        assert_eq!(target.manifest(&digest), source.manifest(&digest), "{what}: {digest}");
        assert_eq!(target.referrers(&digest), source.referrers(&digest), "{what}: {digest}");
    }
    assert_eq!(target.referrers(image).len(), 1, "{what}: the SBOM");
    let completed = target.completed_layers();
    let once: BTreeSet<&String> = completed.iter().collect();
    assert_eq!(once.len(), completed.len(), "{what}: a layer was sent twice: {completed:?}");
    for layer in completed {
        assert_eq!(digest(&target.layer(&layer).expect("the layer")), layer, "{what}");
    }
}

#[test]
fn approved_index_is_copied_with_children_and_sbom() {
    let (app, image) = approved();
    let target = target(&app);
    assert_eq!(app.pins(), [], "nothing is copied yet");
    let run = copy(&app, None);
    assert_eq!(run.answer, Some(json!({ "copied": true })), "{:?}", run.requests);
    let ended = copies_until_it_ends(&app);
    assert_eq!(ended["state"], "Completed", "{ended:#}");
    is_copied(&app, &target, &image, "one copy");
    assert_eq!(target.tags(&image), ["prod-stable".to_owned(), app.build_tag(&image)]);
    assert_eq!(app.pins(), [(1, image)]);
    let progress = &ended["copy"]["progress"];
    assert_eq!(progress["layers_done"], progress["layers"], "{ended:#}");
    assert_eq!(progress["bytes_done"], progress["bytes"], "{ended:#}");
}

/// Approves and copies an image index while one request fails. Returns whether the fault happened.
fn copied(number: usize, fault: Fault) -> bool {
    let (app, image) = approved();
    let target = target(&app);
    let run = copy(&app, Some((number, fault)));
    let what = format!("{number} {fault:?}: {:?}", run.requests);
    let ended = copies_until_it_ends(&app);
    assert_eq!(ended["state"], "Completed", "{what}: {ended:#}");
    is_copied(&app, &target, &image, &what);
    assert_eq!(app.pins(), [(1, image)], "{what}");
    run.hit
}

#[test]
fn copy_killed_at_any_request_is_completed() {
    everywhere(|at| some(&KILLS, at), copied);
}

#[test]
fn copy_survives_any_single_fault() {
    everywhere(|at| some(&ANSWERS, at), copied);
}

fn reason(record: &Value) -> String {
    record["reason"].to_string()
}

/// Need 2: "copy success? retry count < 3?", and a try that succeeds.
#[test]
fn copy_success_transient_failure_passes_at_the_third_try() {
    let (app, image) = approved();
    let target = target(&app);
    app.ecr().keeps_failing("UploadLayerPart", 1, 500, "ServerException");
    // On a busy machine, an invocation may reach its time limit during a try.
    let failed_tries = || record(&app)["copy"]["tries"].as_u64();
    for _ in 0..12 {
        if failed_tries() == Some(2) {
            break;
        }
        app.pauses_end();
        copy(&app, None);
    }
    assert_eq!(failed_tries(), Some(2), "{:#}", record(&app));
    app.ecr().is_well();
    assert_eq!(copies_until_it_ends(&app)["state"], "Completed");
    is_copied(&app, &target, &image, "two failed tries");
}

/// Need 2: "copy success? retry count < 3?", and no try that succeeds.
#[test]
fn copy_success_lasting_failure_ends_with_max_retries() {
    let (app, _) = approved();
    let target = target(&app);
    app.ecr().keeps_failing("UploadLayerPart", 1, 500, "ServerException");
    let ended = copies_until_it_ends(&app);
    assert_eq!(ended["state"], "Failed", "{ended:#}");
    assert!(reason(&ended).contains("max retries: the copy to"), "{ended:#}");
    assert!(reason(&ended).contains("failed 3 times"), "{ended:#}");
    assert_eq!((app.pins(), target.tag("prod-stable")), (vec![], None));
}

#[test]
fn copy_to_a_missing_repository_fails() {
    let (app, _) = approved();
    let ended = copies_until_it_ends(&app);
    assert_eq!(ended["state"], "Failed", "{ended:#}");
    assert!(reason(&ended).contains("there is no such repository"), "{ended:#}");
}

#[test]
fn copy_fails_if_the_source_lost_a_layer() {
    let (app, image) = approved();
    target(&app);
    let child = app.web().children(&image).remove(0);
    let manifest: Value = serde_json::from_str(&app.web().manifest(&child).expect("a child")).expect("JSON");
    app.web().loses_blob(manifest["layers"][0]["digest"].as_str().expect("a layer"));
    let ended = copies_until_it_ends(&app);
    assert_eq!(ended["state"], "Failed", "{ended:#}");
    assert!(reason(&ended).contains("the repository does not have it"), "{ended:#}");
    assert_eq!(app.pins(), []);
}

/// The whole way in the deployed stack with real containers: a build that was pushed to the
/// application's repository is copied, runs from production's own repository, and is rolled back
/// to.
#[test]
fn deployed_stack_runs_the_copy_from_productions_repository() {
    let plan = Plan::new("copied-run").services(["web"]).deployed("bake = \"0s\"");
    let own = format!("prod/{}", plan.repository);
    let app = plan.with(&format!("repository = \"{own}\"\nrequires = [\"staging-tests\"]")).create();
    app.aws.ecr("CreateRepository", &json!({ "repositoryName": own })).expect("a repository");
    let old = app.push_runnable("by-hand", &Spec::new("before"));
    let service = app.service("web", &old);

    let mut pinned = Vec::new();
    for version in ["1", "2"] {
        let build = app.push_runnable("main", &Spec::new(version));
        assert_eq!(report(&app, &build, "passed").0, 200);
        let record = promoted(&app, &build);
        assert_eq!(record["state"], "Completed", "{record:#}");
        assert_eq!(record["copy"]["to"], *own);
        service.runs(&build);
        pinned.push(build);
    }
    let image = &service.task_definition()["containerDefinitions"][0]["image"];
    let image = image.as_str().expect("an image");
    assert!(image.ends_with(&format!("/{own}@{}", pinned[1])), "{image}");
    let [copy, source] = [&own, &app.plan.repository].map(|repository| raw_manifest(repository, &pinned[1]));
    assert_eq!(copy.expect("the copy"), source.expect("the source"));
    let stable = app.aws.tag(&own, "prod-stable").expect("ECR answers");
    assert_eq!(stable.as_ref(), Some(&pinned[1]));

    let (status, answer) =
        app.rollback(&json!({ "to": 1, "confirm": "ROLLBACK", "reason": "500s since 14:30" }));
    assert_eq!(status, 202, "{answer}");
    let record = app.rolled_back(answer["id"].as_str().expect("an id"));
    assert_eq!(record["state"], "Completed", "{record:#}");
    service.runs(&pinned[0]);
}

/// The pin is older than production's own repository, which does not have the pin's image.
#[test]
fn failed_release_returns_to_a_pin_of_the_former_repository() {
    let app = Plan::new("copied-back").services(["web"]).deployed("bake = \"0s\"").create();
    let old = app.push_runnable("by-hand", &Spec::new("before"));
    let service = app.service("web", &old);
    let good = app.push_runnable("main", &Spec::new("1"));
    assert_eq!(promoted(&app, &good)["state"], "Completed");
    let proven = service.revision();

    let own = target_name(&app);
    app.aws.ecr("CreateRepository", &json!({ "repositoryName": own })).expect("a repository");
    let setting = "name = \"production\"\n";
    let file = app.plan.toml().replace(setting, &format!("{setting}repository = \"{own}\"\n"));
    assert_eq!(app.put(&file).status, 200);
    let bad = app.push_runnable("main", &Spec::new("2").mode(Mode::Crash));
    let record = promoted(&app, &bad);
    assert_eq!(record["state"], "RolledBack", "{record:#}");
    service.runs(&good);
    assert_eq!(service.revision(), proven, "the revision that takes the image from where it is");
    assert_eq!(app.pins(), [(1, good)]);
}

/// Pushes a build, approves it, and completes its copy. Returns the build's digest.
fn pinned(app: &App, version: &str) -> String {
    let image = app.push("main", &Spec::new(version));
    app.ticks_until("the approver is asked", App::everybody_is_asked);
    approve(app, &app.link(&image));
    assert_eq!(copies_until_it_ends(app)["state"], "Completed");
    image
}
