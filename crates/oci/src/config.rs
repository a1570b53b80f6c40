//! The part of an image's configuration that Stablepin uses.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::descriptor::Platform;

/// The part of an image's configuration that Stablepin uses.
/// <https://github.com/opencontainers/image-spec/blob/main/config.md>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageConfig {
    /// The labels. The image's author sets the labels, so they may be wrong.
    pub labels: BTreeMap<String, String>,
    pub architecture: String,
    pub os: String,
    pub variant: Option<String>,
    /// The number of layers. An image runs only if its manifest has the same number of layers.
    /// <https://github.com/opencontainers/image-spec/blob/main/config.md#properties>
    pub layers: usize,
}

impl ImageConfig {
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let raw: RawConfig = serde_json::from_slice(bytes)?;
        Ok(Self {
            labels: raw.config.and_then(|config| config.labels).unwrap_or_default(),
            architecture: raw.architecture,
            os: raw.os,
            variant: raw.variant.filter(|variant| !variant.is_empty()),
            layers: raw.rootfs.diff_ids.len(),
        })
    }

    pub fn platform(&self) -> Platform {
        let Self { os, architecture, variant, .. } = self.clone();
        Platform { os, architecture, variant }
    }
}

#[derive(Deserialize)]
struct RawConfig {
    architecture: String,
    os: String,
    variant: Option<String>,
    rootfs: RootFs,
    config: Option<RawRunConfig>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<IgnoredAny>,
}

#[derive(Deserialize)]
struct RawRunConfig {
    #[serde(rename = "Labels")]
    labels: Option<BTreeMap<String, String>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_may_omit_labels() {
        let config = |text: &str| ImageConfig::parse(text.as_bytes());
        let full = config(r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{"Labels":{"a":"b"},"Env":[]}}"#)
            .unwrap();
        assert_eq!(full.labels["a"], "b");
        assert_eq!((full.os.as_str(), full.architecture.as_str()), ("linux", "amd64"));
        for none in [
            r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#,
            r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":null}"#,
            r#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{"Labels":null}}"#,
        ] {
            assert!(config(none).unwrap().labels.is_empty(), "{none}");
        }
        assert!(config("{}").is_err());
    }
}
