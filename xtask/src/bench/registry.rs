//! The registry that every retention tool reads. Its process runs `tests/examples/registry.rs`.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Deserialize;

use super::served::Served;

pub(super) struct MeasuredRegistry {
    served: Served,
    /// The address of the ECR fake.
    pub(super) ecr: String,
    /// The address of the ECS fake.
    pub(super) ecs: String,
    pub(super) images: usize,
    pub(super) indexes: usize,
}

#[derive(Deserialize)]
struct RegistryReady {
    ecr: String,
    ecs: String,
    images: usize,
    indexes: usize,
}

/// A tool's calls since the last judgement, and the effect of the tool's plan.
#[derive(Deserialize)]
pub(super) struct Judged {
    pub(super) calls: BTreeMap<String, usize>,
    pub(super) deletes: usize,
    pub(super) torn: usize,
}

impl MeasuredRegistry {
    pub(super) fn start(images: usize) -> Result<Self> {
        let (served, ready) = Served::start("registry", [images.to_string()])?;
        let RegistryReady { ecr, ecs, images, indexes } = ready;
        Ok(Self { served, ecr, ecs, images, indexes })
    }

    /// Judges a plan. `deletes` names each image by its digest or by a prefix of the digest.
    pub(super) fn judge(&mut self, deletes: &[String]) -> Result<Judged> {
        self.served.ask(&deletes)
    }
}
