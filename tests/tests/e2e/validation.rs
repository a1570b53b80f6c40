//! The validation of images: if an image has a defect, its promotion fails before the approvers are
//! asked.

use jiff::Timestamp;
use serde_json::{Value, json};
use stablepin_tests::ecr_fake::NewImage;
use stablepin_tests::{App, Plan};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";

/// Delivers the push of a new image, and returns its promotion.
fn pushed(app: &App, tag: &str, digest: &str) -> Value {
    app.deliver(&app.push_event(tag, digest, Timestamp::now()));
    let of_image = |one: &Value| one["digest"] == digest;
    app.promotions().into_iter().rfind(of_image).expect("a promotion")
}

#[track_caller]
fn fails(app: &App, digest: &str, reason: &str) {
    pushed(app, "main", digest);
    // On a busy machine, the invocation may end before it has read a large manifest.
    let of_image = |one: &Value| one["digest"] == digest;
    let promotion = || app.promotions().into_iter().rfind(of_image).expect("a promotion");
    app.ticks_until("the promotion's end", |_| promotion()["state"] != "Pending");
    let promotion = promotion();
    assert_eq!(promotion["state"], "Failed", "{reason}: {promotion:#}");
    let found = app.reason(&promotion);
    assert!(found.starts_with("the image is not valid: ") && found.contains(reason), "{found}");
    assert_eq!(promotion["asked"], json!({}));
}

fn manifest_of(app: &App, digest: &str) -> Value {
    let bytes = app.web().manifest(digest).expect("the image has a manifest");
    serde_json::from_str(&bytes).expect("the manifest is JSON")
}

fn config_of(app: &App, digest: &str) -> String {
    manifest_of(app, digest)["config"]["digest"].as_str().expect("a configuration").to_owned()
}

fn layer_of(app: &App, digest: &str) -> String {
    manifest_of(app, digest)["layers"][0]["digest"].as_str().expect("a layer").to_owned()
}

#[test]
fn nobody_is_asked_about_an_image_above_the_size_limit() {
    let app = Plan::new("too-large").with("validate = { max_size = \"2MB\" }").create_with_fakes();
    let large = app.web().put(NewImage::named("large").layer("large layer", 3_000_000));
    fails(&app, &large, "too large: linux/amd64 has 3.0 MB compressed");
    let small = app.web().put(NewImage::named("small").layer("small layer", 1_000_000));
    assert_eq!(pushed(&app, "main", &small)["state"], "Pending");
    assert_eq!(app.mails("lead").len(), 1);
    let is_notified =
        |app: &App| app.notices().iter().any(|one| one.to_string().contains("nobody was asked"));
    app.ticks_until("the notice", is_notified);
}

#[test]
fn size_limit_applies_to_each_platform_of_an_image_index() {
    let app = Plan::new("large-platform").with("validate = { max_size = \"2MB\" }").create_with_fakes();
    let small = app.web().put(NewImage::named("amd").layer("a", 1_900_000));
    let large = app.web().put(NewImage::named("arm").layer("b", 2_100_000));
    let index = app.web().put(NewImage::index([&small, &large]));
    fails(&app, &index, "too large: linux/arm64 has 2.1 MB compressed");
}

#[test]
fn image_with_a_missing_layer_is_corrupted() {
    let app = Plan::new("lost-layer").create_with_fakes();
    let amd = app.web().put(NewImage::named("amd").layer("a", 10).layer("b", 20));
    let lost = layer_of(&app, &amd);
    let arm = app.web().put(NewImage::named("arm").layer("c", 10));
    let index = app.web().put(NewImage::index([&arm, &amd]));
    app.web().loses_blob(&lost);
    fails(
        &app,
        &amd,
        &format!("corrupted: the registry does not have 1 of the blobs of linux/amd64 ({lost})"),
    );
    fails(&app, &index, &lost);
}

#[test]
fn image_with_an_unreadable_configuration_has_invalid_metadata() {
    let app = Plan::new("wrong-config").create_with_fakes();
    let changed = app.web().put(NewImage::named("changed"));
    app.web().corrupts_blob(&config_of(&app, &changed), b"{}");
    fails(&app, &changed, "invalid metadata: could not download the configuration");
    let noisy = "\u{7}\u{202e}<b>".repeat(200_000);
    let labelled = app.web().put(NewImage::named("labelled").label("notes", &noisy));
    fails(&app, &labelled, "bytes; at most 262144 are read");
}

#[test]
fn hostile_manifests_have_invalid_metadata() {
    let app = Plan::new("hostile-manifest").create_with_fakes();
    let image = app.web().put(NewImage::named("image"));
    let (config, layer) = (config_of(&app, &image), layer_of(&app, &image));
    let described = |digest: &str, kind: &str| json!({ "mediaType": kind, "digest": digest, "size": 1000 });
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": IMAGE,
        "config": described(&config, "application/vnd.oci.image.config.v1+json"),
        "layers": [described(&layer, "application/vnd.oci.image.layer.v1.tar+gzip")],
    });
    manifest["manifests"] = json!([described(&image, IMAGE)]);
    let ambiguous = app.web().put(NewImage::manifest(manifest.to_string(), IMAGE));
    fails(&app, &ambiguous, "could be read in two ways");

    let mut layered = manifest.clone();
    layered.as_object_mut().expect("an object").remove("manifests");
    layered["layers"] = vec![described(&layer, "application/vnd.oci.image.layer.v1.tar+gzip"); 26_500].into();
    assert!(layered.to_string().len() > 4_000_000);
    let layered = app.web().put(NewImage::manifest(layered.to_string(), IMAGE));
    fails(&app, &layered, "has more than 500 layers");

    let mut child = described(&image, IMAGE);
    child["platform"] = json!({ "os": "linux", "architecture": "amd64" });
    let lying = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [child] });
    let lying = app.web().put(NewImage::manifest(lying.to_string(), INDEX));
    fails(&app, &lying, "the index names a wrong size for the manifest");

    let child = app.web().put(NewImage::named("child"));
    let itself = app.web().put(NewImage::index([&child]));
    let own = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [described(&itself, INDEX)] });
    app.web().corrupts_manifest(&itself, &own.to_string());
    fails(&app, &itself, "invalid metadata");

    let nested = (0..10).fold(image.clone(), |child, _| app.web().put(NewImage::index([&child])));
    fails(&app, &nested, "nested more than 4 levels deep");
}

#[test]
fn image_without_a_required_platform_or_label_is_invalid() {
    let wanted = "validate = { platforms = [\"linux/arm64\"], labels = [\"team\"] }";
    let app = Plan::new("wanted").with(wanted).create_with_fakes();
    let amd = app.web().put(NewImage::named("amd").label("team", "web"));
    fails(&app, &amd, "not built for linux/arm64: the image has linux/amd64");
    let unlabelled = app.web().put(NewImage::named("arm"));
    fails(&app, &unlabelled, "the label team is missing or empty on linux/arm64");
    let valid = app.web().put(NewImage::named("another arm").label("team", "web"));
    assert_eq!(pushed(&app, "main", &valid)["state"], "Pending");
}

/// A failed read is not a defect of the image: the promotion waits, and the next tick repeats the
/// read.
#[test]
fn promotion_waits_for_validation_until_ecr_responds() {
    let app = Plan::new("slow-registry").create_with_fakes();
    let image = app.web().put(NewImage::named("image"));
    app.ecr().keeps_failing("BatchCheckLayerAvailability", 1, 503, "ServerException");
    let waiting = pushed(&app, "main", &image);
    assert_eq!((&waiting["state"], &waiting["asked"]), (&json!("Pending"), &json!({})));
    app.ecr().is_well();
    app.pauses_end();
    app.ticks_until("the approver is asked", App::everybody_is_asked);
}

#[test]
fn promotion_fails_if_its_image_is_deleted_before_validation() {
    let app = Plan::new("deleted-meanwhile").with("requires = [\"tests\"]").create_with_fakes();
    let image = app.web().put(NewImage::named("image"));
    app.ecr().keeps_failing("BatchCheckLayerAvailability", 1, 503, "ServerException");
    assert_eq!(pushed(&app, "main", &image)["state"], "Pending");
    app.web().loses(&image);
    app.ecr().is_well();
    app.pauses_end();
    app.ticks_until("the promotion's end", |app| app.promotions()[0]["state"] == "Failed");
    assert!(app.reason(&app.promotions()[0]).contains("not in the registry any more"));
}

#[test]
fn image_with_a_false_layer_size_has_invalid_metadata() {
    let app = Plan::new("false-size").with("validate = { max_size = \"2MB\" }").create_with_fakes();
    let image = app.web().put(NewImage::named("image").layer("large layer", 3_000_000));
    let small = app.web().manifest(&image).expect("a manifest").replace("3000000", "1");
    let small = app.web().put(NewImage::manifest(small, IMAGE));
    fails(&app, &small, "names a wrong size for the blob");
}

/// A container runtime selects an image of an image index by its platform, and ignores the image's
/// annotations.
#[test]
fn image_annotated_as_an_attestation_is_validated() {
    let app = Plan::new("annotated").with("validate = { max_size = \"2MB\" }").create_with_fakes();
    let large = app.web().put(NewImage::named("large arm").layer("large layer", 3_000_000));
    let small = app.web().put(NewImage::named("small").layer("small layer", 1000));
    let index = app.web().put(NewImage::index([&small, &large]));
    let mut hidden: Value =
        serde_json::from_str(&app.web().manifest(&index).expect("a manifest")).expect("JSON");
    hidden["manifests"][1]["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    let hidden = app.web().put(NewImage::manifest(hidden.to_string(), INDEX));
    fails(&app, &hidden, "too large: linux/arm64");
}

/// ECR cannot read the child manifest while the KMS key is disabled, but the image still exists.
#[test]
fn failed_read_of_a_child_manifest_is_no_defect() {
    let app = Plan::new("child-fails").create_with_fakes();
    let image = app.web().put(NewImage::named("image"));
    let index = app.web().put(NewImage::index([&image]));
    app.web().fails_to_read(&image, "KmsError");
    let waiting = pushed(&app, "main", &index);
    assert_eq!((&waiting["state"], &waiting["asked"]), (&json!("Pending"), &json!({})), "{waiting:#}");
    app.web().is_readable(&image);
    app.pauses_end();
    app.ticks_until("the approver is asked", App::everybody_is_asked);
}

#[test]
fn invalid_image_index_does_not_block_its_valid_image() {
    let app = Plan::new("bad-index").with("validate = { labels = [\"team\"] }").create_with_fakes();
    let good = app.web().put(NewImage::named("amd").label("team", "web"));
    let bad = app.web().put(NewImage::named("arm"));
    assert_eq!(pushed(&app, "main-amd64", &good)["state"], "Pending");
    let index = app.web().put(NewImage::index([&good, &bad]));
    fails(&app, &index, "the label team is missing");
    let of_good = |one: &Value| one["digest"] == good.as_str();
    assert_eq!(app.promotions().into_iter().find(of_good).expect("a promotion")["state"], "Pending");

    let later = app.web().put(NewImage::named("another amd").label("team", "web"));
    let index = app.web().put(NewImage::index([&later, &bad]));
    fails(&app, &index, "the label team is missing");
    assert_eq!(pushed(&app, "main-later", &later)["state"], "Pending");
}
