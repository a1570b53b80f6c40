//! The plan that a run saves in the bucket.

use std::collections::BTreeSet;

use stablepin_reconciler::clock::now;
use stablepin_retention_rules::plan::{Fate, Plan, RetentionRule};
use stablepin_retention_rules::run::{Planned, Purpose, Stored};
use stablepin_rules::image::ImageDigest;

use crate::RetentionError;
use crate::document::document;
use crate::manifests::KnownManifests;
use crate::read::{Read, listed_digests};
use crate::repository_work::RepositoryWork;

impl RepositoryWork<'_> {
    /// Returns the plan to carry out, if a plan exists: this run's own plan from before an
    /// interruption, or the plan of the earlier run that the caller has reviewed.
    pub(crate) async fn saved_plan(&self) -> Result<Option<(Plan, Stored)>, RetentionError> {
        let own = self.run.repositories.get(self.repository).and_then(|one| one.plan.clone());
        let stored = match (own, self.run.purpose) {
            (Some(own), _) => Some(own),
            (None, Purpose::Apply { plan_of: Some(of) }) => {
                let run = self.clients.table.run(&self.run.application, of).await?;
                // The reviewed run has no plan for this repository. So this run saves an empty plan
                // and removes nothing.
                let stored = run.and_then(|run| run.repositories.get(self.repository)?.plan.clone());
                let Some(stored) = stored else {
                    let none = Plan { repository: self.repository.clone(), at: now(), images: Vec::new() };
                    let stored = self.put("plan.json", &none).await?;
                    return Ok(Some((none, stored)));
                };
                Some(stored)
            }
            (None, Purpose::Apply { plan_of: None } | Purpose::Plan | Purpose::Undo { .. }) => None,
        };
        let Some(stored) = stored else { return Ok(None) };
        let plan = document(&self.clients.bucket, &stored).await?;
        Ok(Some((plan, stored)))
    }

    pub(crate) async fn save_plan(
        &self,
        plan: &Plan,
        read: &Read,
        known: &mut KnownManifests,
    ) -> Result<Planned, RetentionError> {
        let stored = self.put("plan.json", plan).await?;
        let mut planned = counted(plan, Some(stored), read);
        let goes: BTreeSet<&ImageDigest> =
            plan.images.iter().filter(|one| one.fate.wave().is_some()).map(|one| &one.digest).collect();
        let mut exact = known.freed(&self.clients.ecr, self.repository, &goes, &listed_digests(read)).await;
        // Archiving frees no bytes. The first call still includes the images to archive, so that
        // their layers are read now: ECR does not return manifests of archived images.
        let deleted = plan.images.iter().filter(|one| matches!(one.fate, Fate::Delete { .. }));
        let deleted: BTreeSet<&ImageDigest> = deleted.map(|one| &one.digest).collect();
        if deleted.len() < goes.len() {
            exact = known.freed(&self.clients.ecr, self.repository, &deleted, &listed_digests(read)).await;
        }
        planned.freed_bytes = exact.unwrap_or_else(|| known.freed_at_most(plan, &deleted));
        planned.freed_is_exact = exact.is_some();
        Ok(planned)
    }
}

pub(crate) fn counted(plan: &Plan, stored: Option<Stored>, read: &Read) -> Planned {
    let mut planned = Planned {
        images: plan.images.len() as u64,
        plan: stored,
        warnings: read.warnings.clone(),
        waived: read.waived.iter().map(ToString::to_string).collect(),
        freed_is_exact: true,
        ..Planned::default()
    };
    for one in &plan.images {
        match (&one.fate, one.rule) {
            (Fate::Delete { .. } | Fate::Archive { .. }, _) => planned.to_remove += 1,
            (Fate::Keep | Fate::Untag { .. }, rule) => {
                planned.later += u64::from(rule == RetentionRule::OverShare);
                *planned.by_rule.entry(rule.as_str().to_owned()).or_default() += 1;
            }
        }
    }
    planned
}
