//! Copies to a repository that already has tags, signatures, archived images or layers, or that has
//! another encryption key.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stablepin_tests::crash::{Fault, ProgramRun, promotion};
use stablepin_tests::ecr_fake::{Encryption, NewImage, StorageStatus, TagMutability};
use stablepin_tests::{App, Plan};
use xtask::image::{Blob, Spec, assemble};

use super::{
    OCI_MANIFEST, application, approve, approved, copies_until_it_ends, copy, entry, is_copied, pinned,
    reason, target, target_name,
};

/// Requests another promotion of the image, and approves it.
fn ask_again(app: &App, image: &str) {
    let again = promotion(&app.plan.name, &json!({ "digest": image }));
    let answer = app.invoke(None, "approval", &again, None).answer.expect("the function was not killed");
    assert_eq!(answer["statusCode"], 202, "{answer:#}");
    app.ticks_until("the approver is asked", App::everybody_is_asked);
    approve(app, &app.link(image));
}

#[test]
fn second_copy_sends_nothing_again() {
    let (app, image) = approved();
    let target = target(&app);
    copies_until_it_ends(&app);
    app.ecr().forgets_calls();
    // The environment's repository has the image already, because another environment copied it.
    ask_again(&app, &image);
    let ended = copies_until_it_ends(&app);
    assert_eq!(ended["state"], "Completed", "{ended:#}");
    assert_eq!(app.ecr().count("InitiateLayerUpload"), 0);
    is_copied(&app, &target, &image, "a second copy");
}

/// Need 2: "registry update success?"
#[test]
fn registry_update_success_tag_of_another_image_ends_the_copy() {
    for mutability in [TagMutability::Immutable, TagMutability::Mutable] {
        let (app, image) = approved();
        let target = app.ecr().creates(&target_name(&app), mutability);
        let other = target.put(NewImage::named("other").tag(app.build_tag(&image)));
        let ended = copies_until_it_ends(&app);
        assert_eq!(ended["state"], "Failed", "{ended:#}");
        assert!(reason(&ended).contains("registry error"), "{ended:#}");
        assert!(reason(&ended).contains("is on another image, and must not move"), "{ended:#}");
        assert_eq!(target.tag(&app.build_tag(&image)), Some(other));
        assert_eq!(app.pins(), []);
    }
}

/// Returns the tag with which Cosign marks the signature of an image.
fn signature_tag(image: &str) -> String {
    format!("{}.sig", image.replace(':', "-"))
}

/// Pushes a signature as Cosign does: an image without a file system, with a tag of its own.
fn push_signature(app: &App, image: &str, text: &str) -> String {
    let (registry, repository) = (app.registry(), &app.plan.repository);
    let simple = "application/vnd.dev.cosign.simplesigning.v1+json";
    let config = "application/vnd.oci.image.config.v1+json";
    let (config, signature) = (Blob::new(config, b"{}".to_vec()), Blob::new(simple, text.into()));
    for blob in [&config, &signature] {
        registry.put_blob(repository, blob).expect("a blob");
    }
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": entry(&config), "layers": [entry(&signature)],
    });
    let manifest = Blob::new(OCI_MANIFEST, manifest.to_string().into_bytes());
    registry.put_manifest(repository, Some(&signature_tag(image)), &manifest).expect("a signature")
}

#[test]
fn signature_with_a_tag_is_copied_with_its_tag() {
    let (app, image) = approved();
    let target = target(&app);
    let signature = push_signature(&app, &image, "signed");
    assert_eq!(copies_until_it_ends(&app)["state"], "Completed");
    assert_eq!(target.tag(&signature_tag(&image)), Some(signature));
    is_copied(&app, &target, &image, "with a signature");
}

#[test]
fn signature_in_the_target_keeps_its_tag() {
    let (app, image) = approved();
    let target = target(&app);
    push_signature(&app, &image, "signed by the pipeline");
    let own = target.put(NewImage::named("signed by production").tag(signature_tag(&image)));
    assert_eq!(copies_until_it_ends(&app)["state"], "Completed");
    assert_eq!(target.tag(&signature_tag(&image)), Some(own));
}

/// Anybody who may push can put the tag of a signature on any image.
#[test]
fn runnable_image_with_the_tag_of_a_signature_is_not_copied() {
    let (app, image) = approved();
    let target = target(&app);
    let hostile = assemble(&Spec::new("hostile"), b"hostile", "amd64").expect("an image");
    let tag = signature_tag(&image);
    let hostile = app.registry().push(&app.plan.repository, Some(&tag), &hostile).expect("a push");
    assert_eq!(copies_until_it_ends(&app)["state"], "Completed");
    assert_eq!((target.exists(&hostile), target.tag(&tag)), (false, None));
}

#[test]
fn archived_copy_is_put_again() {
    let (app, image) = approved();
    let target = target(&app);
    copies_until_it_ends(&app);
    target.is_archived(&image);
    ask_again(&app, &image);
    let ended = copies_until_it_ends(&app);
    assert_eq!(ended["state"], "Completed", "{ended:#}");
    assert_eq!(target.status(&image), Some(StorageStatus::Active));
}

/// Tags of the application's own repository must not move, and tags of production's repository may.
#[test]
fn sweep_restores_the_stable_tag_in_productions_repository() {
    let plan = Plan::new("copy-sweep").tags_are(TagMutability::Immutable);
    let own = format!("repository = \"prod/{}\"", plan.repository);
    let app = plan.with(&own).create_with_fakes();
    let target = target(&app);
    let image = app.push("v1.0.0", &Spec::new("1"));
    app.ticks_until("the approver is asked", App::everybody_is_asked);
    approve(&app, &app.link(&image));
    assert_eq!(copies_until_it_ends(&app)["state"], "Completed");
    target.is_untagged("prod-stable");
    app.sweep_with_fakes(None);
    assert_eq!(target.tag("prod-stable"), Some(image));
}

/// Returns the statuses of the requests that tried to mount a layer.
fn mounts(app: &App) -> Vec<u16> {
    let calls = app.ecr().calls();
    calls.iter().filter(|call| call.operation == "POST uploads").map(|call| call.status).collect()
}

#[test]
fn layers_are_mounted_where_the_account_allows_it() {
    let (app, image) = approved();
    let target = target(&app);
    app.ecr().mounts_blobs();
    app.ecr().forgets_calls();
    assert_eq!(copies_until_it_ends(&app)["state"], "Completed");
    assert_eq!(app.ecr().count("InitiateLayerUpload"), 0, "no byte was sent");
    let statuses: BTreeSet<u16> = mounts(&app).into_iter().collect();
    assert_eq!(statuses, BTreeSet::from([201]));
    is_copied(&app, &target, &image, "mounted");
}

#[test]
fn layers_are_sent_if_the_encryption_keys_differ() {
    let (app, image) = approved();
    let target = target(&app);
    app.ecr().mounts_blobs();
    target.is_encrypted_with(Encryption::Kms("arn:aws:kms:us-east-1:000000000000:key/1".to_owned()));
    app.ecr().forgets_calls();
    assert_eq!(copies_until_it_ends(&app)["state"], "Completed");
    assert_eq!(mounts(&app), [202], "one try is enough");
    is_copied(&app, &target, &image, "sent");
}

/// Some parts of a layer have arrived when the invocation is killed.
#[test]
fn layer_in_parts_is_sent_anew_after_a_kill_between_two_parts() {
    let parts = |run: &ProgramRun| -> Vec<usize> {
        let requests = run.requests.iter().enumerate();
        requests.filter(|(_, name)| name.contains("UploadLayerPart")).map(|(at, _)| at + 1).collect()
    };
    let mut middle = 0;
    for is_killed in [false, true] {
        let (app, image) = approved();
        let target = target(&app);
        app.ecr().has_layer_parts_of(1, 20);
        app.ecr().forgets_calls();
        let run = copy(&app, is_killed.then_some((middle, Fault::KillAfter)));
        let sent = parts(&run);
        middle = sent[sent.len() / 2];
        assert!(sent.len() > 2 * app.ecr().count("InitiateLayerUpload"), "{:?}", run.requests);
        assert_eq!(run.hit, is_killed, "{:?}", run.requests);
        assert_eq!(copies_until_it_ends(&app)["state"], "Completed");
        is_copied(&app, &target, &image, "in parts");
    }
}

/// The stable tag may move, and no other tag may.
#[test]
fn stable_tag_moves_in_a_target_with_immutable_tags_except_it() {
    let app = application("copy-except");
    let except = TagMutability::ImmutableExcept(vec!["prod-stable".to_owned()]);
    let target = app.ecr().creates(&target_name(&app), except);
    for version in ["1", "2"] {
        let image = pinned(&app, version);
        assert_eq!(target.tag("prod-stable").as_ref(), Some(&image));
        assert_eq!(target.tag(&app.build_tag(&image)), Some(image));
    }
}

/// A tag that must not move cannot say which pin is the newest. The pin still counts.
#[test]
fn pin_is_written_if_no_tag_of_the_target_may_move() {
    let app = application("copy-immutable");
    let target = app.ecr().creates(&target_name(&app), TagMutability::Immutable);
    let images = ["1", "2"].map(|version| pinned(&app, version));
    let [first, second] = images.clone();
    assert_eq!(app.pins(), [(1, first), (2, second)]);
    assert_eq!(images.map(|image| target.tag(&app.build_tag(&image)).is_some()), [true, true]);
}

/// Registries need not store such a layer, but this one stores it.
#[test]
fn stored_layer_that_must_not_be_distributed_is_copied() {
    let app = application("copy-foreign");
    let target = target(&app);
    let mut image = assemble(&Spec::new("1"), b"licensed", "amd64").expect("an image");
    let mut manifest: Value = serde_json::from_slice(&image.manifest.bytes).expect("JSON");
    let layer = &mut manifest["layers"][0];
    layer["mediaType"] = json!("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
    let layer = layer["digest"].as_str().expect("a digest").to_owned();
    image.manifest = Blob::new(OCI_MANIFEST, manifest.to_string().into_bytes());
    app.push_image(Some("main"), &image);
    app.hears();
    app.ticks_until("the approver is asked", App::everybody_is_asked);
    approve(&app, &app.link(image.digest()));
    assert_eq!(copies_until_it_ends(&app)["state"], "Completed");
    assert!(target.layer(&layer).is_some());
}
