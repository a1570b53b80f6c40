//! The kind of a manifest: an image that can run, or an artifact.

/// The kind of a manifest: an image that can run, or an artifact such as a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Image,
    Signature,
    Attestation,
    Sbom,
    HelmChart,
    /// Another artifact, with the type that its manifest declares.
    Other(String),
}

impl Kind {
    /// Returns true if the manifest is an image. Only images can be promoted.
    pub fn is_image(&self) -> bool {
        *self == Self::Image
    }
}

pub(super) fn artifact<'a>(types: impl Iterator<Item = &'a str> + Clone) -> Kind {
    let any = |words: &[&str]| types.clone().any(|t| words.iter().any(|word| t.contains(word)));
    if any(&["cosign.simplesigning", "sigstore.bundle", "notary.signature", "signer.signature"]) {
        Kind::Signature
    } else if any(&["in-toto", "dsse.envelope"]) {
        Kind::Attestation
    } else if any(&["spdx", "cyclonedx", "syft", "sbom"]) {
        Kind::Sbom
    } else if any(&["cncf.helm"]) {
        Kind::HelmChart
    } else {
        Kind::Other(types.clone().next().unwrap_or_default().to_owned())
    }
}
