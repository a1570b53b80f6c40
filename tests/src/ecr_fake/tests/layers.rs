use jiff::SignedDuration;
use serde_json::{Value, json};
use xtask::aws::Response;

use super::super::{EcrFake, NewImage};
use super::{ask, built, client, fake, kind, texts};

fn url(ecr: &EcrFake, digest: &str) -> String {
    let answer = ask(ecr, "GetDownloadUrlForLayer", json!({ "layerDigest": digest }));
    assert_eq!(answer["layerDigest"], digest);
    answer["downloadUrl"].as_str().expect("an address").to_owned()
}

fn get(ecr: &EcrFake, url: &str) -> Response {
    client(ecr).call("GET", url, None, None, false).expect("an answer")
}

#[test]
fn signed_url_returns_its_layer_until_the_url_expires() {
    let (ecr, _) = fake();
    let image = built("1");
    ecr.registry().push("web", Some("main"), &image).expect("a push");
    let url = url(&ecr, &image.config.digest);
    let answer = get(&ecr, &url);
    assert_eq!((answer.status, answer.body), (200, image.config.bytes.clone()));
    let other = url.replace(&image.config.digest, &image.layers[0].digest);
    assert_eq!(get(&ecr, &other).status, 401, "a signature is valid for one layer");
    ecr.time_passes(SignedDuration::from_hours(1));
    assert_eq!(get(&ecr, &url).status, 401, "a signature expires");
}

#[test]
fn layer_without_active_image_is_inaccessible() {
    let (ecr, web) = fake();
    let image = built("1");
    let ask_for = |digest: &str| kind(&ecr, "GetDownloadUrlForLayer", json!({ "layerDigest": digest }));
    assert_eq!(ask_for(&image.config.digest), "LayersNotFoundException");
    ecr.registry().put_blob("web", &image.config).expect("a blob");
    assert_eq!(ask_for(&image.config.digest), "LayerInaccessibleException");
    ecr.registry().push("web", None, &image).expect("a push");
    url(&ecr, &image.config.digest);
    web.is_archived(image.digest());
    assert_eq!(ask_for(&image.config.digest), "LayerInaccessibleException");
}

#[test]
fn availability_check_accepts_1_to_100_layers() {
    let (ecr, web) = fake();
    let image = built("1");
    ecr.registry().push("web", None, &image).expect("a push");
    let check = |digests: Value| ask(&ecr, "BatchCheckLayerAvailability", json!({ "layerDigests": digests }));
    let missing = format!("sha256:{}", "0".repeat(64));
    let answer = check(json!([image.config.digest, missing, "sha256:abc", ""]));
    assert_eq!(texts(&answer["layers"], "layerAvailability"), ["AVAILABLE", "UNAVAILABLE"]);
    assert_eq!(answer["layers"][0]["layerSize"], image.config.bytes.len());
    assert_eq!(texts(&answer["failures"], "failureCode"), ["InvalidLayerDigest", "MissingLayerDigest"]);
    web.is_archived(image.digest());
    assert_eq!(check(json!([image.config.digest]))["layers"][0]["layerAvailability"], "ARCHIVED");
    for count in [0, 101] {
        let members = json!({ "layerDigests": vec![&missing; count] });
        assert_eq!(kind(&ecr, "BatchCheckLayerAvailability", members), "InvalidParameterException");
    }
}

#[test]
fn client_can_download_the_configuration_of_an_added_image() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one").label("org.opencontainers.image.revision", "a1b2c3d"));
    let manifest: Value =
        serde_json::from_str(&web.manifest(&digest).expect("the image exists")).expect("JSON");
    let config = manifest["config"]["digest"].as_str().expect("a digest");
    let config: Value = serde_json::from_slice(&get(&ecr, &url(&ecr, config)).body).expect("JSON");
    assert_eq!(config["config"]["Labels"]["org.opencontainers.image.revision"], "a1b2c3d");
    assert_eq!((&config["os"], &config["architecture"]), (&json!("linux"), &json!("amd64")));
}
