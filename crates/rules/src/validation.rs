//! The validation of an image, before Stablepin asks an approver about the image. The ECR client
//! reads the image's manifests, layers and configurations. The functions here compare them with the
//! environment's `validate` settings.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use crate::application::{LabelName, Platform, Validate};
use crate::image::ImageDigest;
use crate::words::size;

/// The images of a build, one for each platform, or the defect that prevents reading them.
pub type Inspection = Result<Vec<InspectedImage>, InvalidImage>;

/// The image of one platform, as the registry stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InspectedImage {
    /// The digest of the platform's own manifest.
    pub digest: ImageDigest,
    /// The platform's operating system, architecture, and sometimes a variant, such as
    /// `linux/arm64/v8`.
    pub platform: String,
    /// The compressed size of the configuration and all layers, in bytes. A repeated layer counts
    /// once.
    pub size_bytes: u64,
    /// The blobs that the manifest names but that the registry does not have.
    pub missing: Vec<ImageDigest>,
    /// The labels in the image's configuration, or the reason why the configuration is not valid.
    pub labels: Result<BTreeMap<String, String>, String>,
}

/// The first defect of an image. A promotion with such an image fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvalidImage {
    pub defect: Defect,
    /// The expected and the found value, in words for people.
    words: String,
}

/// The kind of a defect. Validation looks for the kinds in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Defect {
    /// The image does not exist.
    Gone,
    TooLarge,
    /// Layers or manifests are missing.
    Corrupted,
    /// A manifest or a configuration is not valid.
    Metadata,
    /// The image is not built for a required platform.
    Platform,
    /// A required label is missing or empty.
    Label,
}

/// The most missing blobs or found platforms that a failure names.
const MOST_NAMED: usize = 5;

/// Judges an inspected image by the settings. Returns the platforms of a valid image.
pub fn judge(settings: &Validate, inspection: &Inspection) -> Result<Vec<String>, InvalidImage> {
    let images = inspection.as_ref().map_err(Clone::clone)?;
    validate(settings, images)?;
    Ok(platforms(images))
}

/// The most platforms of a build. No real image has more.
const MOST_PLATFORMS: usize = 20;

/// Returns the distinct platforms of the images. Omits texts that do not look like a platform,
/// because the pusher chose these texts.
pub fn platforms(images: &[InspectedImage]) -> Vec<String> {
    let is_plain = |text: &str| {
        text.len() <= 40 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b))
    };
    let mut platforms: Vec<String> = Vec::new();
    for image in images.iter().filter(|image| is_plain(&image.platform)) {
        if platforms.len() < MOST_PLATFORMS && !platforms.contains(&image.platform) {
            platforms.push(image.platform.clone());
        }
    }
    platforms
}

/// Compares the images with the settings, in the order of the promotion workflow: size, layers,
/// metadata, platforms, labels.
fn validate(settings: &Validate, images: &[InspectedImage]) -> Result<(), InvalidImage> {
    let all = |check: fn(&Validate, &InspectedImage) -> Option<InvalidImage>| {
        images.iter().find_map(|image| check(settings, image)).map_or(Ok(()), Err)
    };
    all(too_large)?;
    all(corrupted)?;
    all(unreadable)?;
    without_platform(settings, images)?;
    all(without_label)
}

fn too_large(settings: &Validate, image: &InspectedImage) -> Option<InvalidImage> {
    let (bytes, most) = (image.size_bytes, settings.max_bytes);
    let words = || {
        format!(
            "too large: {} has {} compressed ({bytes} bytes), and max_size allows {} ({most} bytes)",
            image.platform,
            size(bytes),
            size(most)
        )
    };
    (bytes > most).then(|| InvalidImage { defect: Defect::TooLarge, words: words() })
}

fn corrupted(_: &Validate, image: &InspectedImage) -> Option<InvalidImage> {
    (!image.missing.is_empty()).then(|| InvalidImage::corrupted(&image.platform, &image.missing))
}

fn unreadable(_: &Validate, image: &InspectedImage) -> Option<InvalidImage> {
    image.labels.as_ref().err().map(|defect| InvalidImage::metadata(defect))
}

fn without_platform(settings: &Validate, images: &[InspectedImage]) -> Result<(), InvalidImage> {
    let is_missing = |wanted: &&Platform| !images.iter().any(|image| wanted.is_met_by(&image.platform));
    let missing: Vec<&str> = settings.platforms.iter().filter(is_missing).map(Platform::as_str).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let found: Vec<&str> = images.iter().take(MOST_NAMED).map(|image| image.platform.as_str()).collect();
    let words = format!("not built for {}: the image has {}", missing.join(", "), found.join(", "));
    Err(InvalidImage { defect: Defect::Platform, words })
}

fn without_label(settings: &Validate, image: &InspectedImage) -> Option<InvalidImage> {
    let labels = image.labels.as_ref().ok()?;
    let has = |name: &str| labels.get(name).is_some_and(|value| !value.trim().is_empty());
    let names = settings.labels.iter().map(LabelName::as_str).filter(|name| !has(name));
    let missing: Vec<&str> = names.collect();
    let words = || format!("the label {} is missing or empty on {}", missing.join(", "), image.platform);
    (!missing.is_empty()).then(|| InvalidImage { defect: Defect::Label, words: words() })
}

impl InvalidImage {
    pub fn gone() -> Self {
        let words = "the image is not in the registry any more: push it again".to_owned();
        Self { defect: Defect::Gone, words }
    }

    /// Returns the defect of an image with missing blobs or manifests.
    pub fn corrupted(platform: &str, missing: &[ImageDigest]) -> Self {
        let named: Vec<&str> = missing.iter().take(MOST_NAMED).map(ImageDigest::as_str).collect();
        let more = if missing.len() > MOST_NAMED { ", …" } else { "" };
        let words = format!(
            "corrupted: the registry does not have {} of the blobs of {platform} ({}{more}). Push the image again",
            missing.len(),
            named.join(", ")
        );
        Self { defect: Defect::Corrupted, words }
    }

    pub fn metadata(defect: &str) -> Self {
        Self { defect: Defect::Metadata, words: format!("invalid metadata: {defect}") }
    }
}

impl Display for InvalidImage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIGABYTE: u64 = 1_000_000_000;

    fn digest(n: u8) -> ImageDigest {
        ImageDigest::parse(&format!("sha256:{}", format!("{n:02x}").repeat(32))).unwrap()
    }

    fn image(platform: &str) -> InspectedImage {
        let labels = [("team".to_owned(), "web".to_owned())].into();
        let (platform, missing) = (platform.to_owned(), Vec::new());
        InspectedImage { digest: digest(1), platform, size_bytes: GIGABYTE, missing, labels: Ok(labels) }
    }

    fn settings() -> Validate {
        Validate {
            platforms: vec![Platform::parse("linux/amd64").unwrap()],
            labels: vec![LabelName::parse("team").unwrap()],
            ..Validate::default()
        }
    }

    fn defect(images: &[InspectedImage]) -> String {
        validate(&settings(), images).unwrap_err().to_string()
    }

    #[test]
    fn image_of_exactly_the_size_limit_is_valid() {
        assert_eq!(validate(&settings(), &[image("linux/amd64")]), Ok(()));
    }

    #[test]
    fn size_limit_applies_to_each_platform() {
        let mut large = image("linux/arm64");
        large.size_bytes += 1;
        insta::assert_snapshot!(defect(&[image("linux/amd64"), large]), @"too large: linux/arm64 has 1.0 GB compressed (1000000001 bytes), and max_size allows 1.0 GB (1000000000 bytes)");
    }

    #[test]
    fn error_counts_the_missing_layers_and_names_some() {
        let mut corrupted = image("linux/amd64");
        corrupted.missing = (1..=7).map(digest).collect();
        insta::assert_snapshot!(defect(&[corrupted]), @"corrupted: the registry does not have 7 of the blobs of linux/amd64 (sha256:0101010101010101010101010101010101010101010101010101010101010101, sha256:0202020202020202020202020202020202020202020202020202020202020202, sha256:0303030303030303030303030303030303030303030303030303030303030303, sha256:0404040404040404040404040404040404040404040404040404040404040404, sha256:0505050505050505050505050505050505050505050505050505050505050505, …). Push the image again");
    }

    #[test]
    fn unreadable_configuration_is_invalid_metadata() {
        let mut unreadable = image("linux/amd64");
        unreadable.labels = Err("the configuration is not valid JSON".to_owned());
        insta::assert_snapshot!(defect(&[unreadable]), @"invalid metadata: the configuration is not valid JSON");
    }

    #[test]
    fn error_names_the_missing_and_the_found_platforms() {
        insta::assert_snapshot!(defect(&[image("linux/arm64/v8"), image("windows/amd64")]), @"not built for linux/amd64: the image has linux/arm64/v8, windows/amd64");
    }

    #[test]
    fn platform_without_a_variant_accepts_every_variant() {
        let wanted = |text: &str| Platform::parse(text).unwrap();
        assert!(wanted("linux/arm64").is_met_by("linux/arm64/v8"));
        assert!(wanted("linux/arm64/v8").is_met_by("linux/arm64/v8"));
        assert!(!wanted("linux/arm64/v8").is_met_by("linux/arm64"));
        assert!(!wanted("linux/arm").is_met_by("linux/arm64"));
    }

    #[test]
    fn empty_label_counts_as_missing() {
        let mut unlabelled = image("linux/amd64");
        unlabelled.labels = Ok([("team".to_owned(), " ".to_owned())].into());
        insta::assert_snapshot!(defect(&[unlabelled]), @"the label team is missing or empty on linux/amd64");
    }

    #[test]
    fn validation_reports_the_first_defect_in_workflow_order() {
        let mut images = [image("linux/arm64")];
        images[0].labels = Ok(BTreeMap::new());
        assert_eq!(validate(&settings(), &images).unwrap_err().defect, Defect::Platform);
        images[0].labels = Err("not JSON".to_owned());
        assert_eq!(validate(&settings(), &images).unwrap_err().defect, Defect::Metadata);
        images[0].missing = vec![digest(2)];
        assert_eq!(validate(&settings(), &images).unwrap_err().defect, Defect::Corrupted);
        images[0].size_bytes += 1;
        assert_eq!(validate(&settings(), &images).unwrap_err().defect, Defect::TooLarge);
    }
}
