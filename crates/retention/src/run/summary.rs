//! The result of a run, as text for people.

use std::collections::{BTreeMap, BTreeSet};

use super::purpose::Purpose;
use super::repository::{RepositoryRun, RepositoryState};
use stablepin_rules::image::RepositoryName;
use stablepin_rules::words;

/// Summarizes the result: "12 images deleted, 3.4 GB freed; 1 repository skipped: web: …".
pub(super) fn summary(
    purpose: Purpose,
    share: u8,
    repositories: &BTreeMap<RepositoryName, RepositoryRun>,
) -> String {
    let sum = |of: fn(&RepositoryRun) -> u64| repositories.values().map(of).fold(0, u64::saturating_add);
    let freed = sum(|repository_run| repository_run.freed_bytes);
    let about = if repositories
        .values()
        .all(|repository_run| repository_run.freed_is_exact || repository_run.freed_bytes == 0)
    {
        ""
    } else {
        "up to "
    };
    let mut said = Vec::new();
    match purpose {
        Purpose::Plan => said.push(format!(
            "{} would be removed, {about}{} would be freed, {}",
            images(sum(|repository_run| repository_run.to_remove)),
            words::size(freed),
            price_a_month(freed)
        )),
        Purpose::Apply { .. } | Purpose::Undo { .. } => {
            let counted = [
                (sum(|repository_run| repository_run.deleted), "deleted"),
                (sum(|repository_run| repository_run.archived), "archived"),
                (sum(|repository_run| repository_run.restored), "restored"),
            ];
            let mut done: Vec<String> = counted
                .iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{} {what}", images(*count)))
                .collect();
            let untagged = sum(|repository_run| repository_run.untagged);
            if untagged > 0 {
                done.push(format!("{} removed", count(untagged, "tag", "tags")));
            }
            if done.is_empty() {
                done.push("nothing changed".to_owned());
            }
            if freed > 0 {
                done.push(format!("{about}{} freed", words::size(freed)));
            }
            said.push(done.join(", "));
            let skipped = sum(|repository_run| repository_run.skipped);
            if skipped > 0 {
                said.push(format!("{} changed meanwhile and skipped", images(skipped)));
            }
        }
    }
    let later = sum(|repository_run| repository_run.later);
    if later > 0 {
        said.push(format!("{} over this run's limit of {share} %, left for later runs", images(later)));
    }
    let errors = repositories.values().flat_map(|repository_run| repository_run.errors.values()).copied();
    let errors = errors.fold(0, u64::saturating_add);
    if errors > 0 {
        said.push(format!("{} refused by ECR", images(errors)));
    }
    let waived: BTreeSet<&str> =
        repositories.values().flat_map(|repository_run| &repository_run.waived).map(String::as_str).collect();
    if !waived.is_empty() {
        let waived: Vec<&str> = waived.into_iter().collect();
        said.push(format!("waived, not read: {}", waived.join(", ")));
    }
    let ended = [(RepositoryState::LeftAlone, "skipped"), (RepositoryState::Failed, "failed")];
    for (state, how) in ended {
        let those = || repositories.iter().filter(|(_, repository_run)| repository_run.state == state);
        if let Some((name, first)) = those().next() {
            let how_many = count(those().count() as u64, "repository", "repositories");
            let problem = first.problem.as_deref().unwrap_or("the reason is not known");
            let others = match those().count() - 1 {
                0 => String::new(),
                more => format!(", and {more} more"),
            };
            said.push(format!("{how_many} {how}: {name}: {problem}{others}"));
        }
    }
    said.join("; ")
}

fn images(of: u64) -> String {
    count(of, "image", "images")
}

fn count(number: u64, singular: &str, plural: &str) -> String {
    format!("{number} {}", if number == 1 { singular } else { plural })
}

/// The monthly price in cents of a GB (2^30 bytes) in a private ECR repository.
/// <https://aws.amazon.com/ecr/pricing/>
const CENTS_PER_GB_MONTH: u128 = 10;

/// Returns the monthly price of `bytes` bytes: "about $0.34 a month".
pub fn price_a_month(bytes: u64) -> String {
    let gb = 1_u128 << 30;
    let cents = (u128::from(bytes) * CENTS_PER_GB_MONTH + gb / 2) / gb;
    match (bytes, cents) {
        (0, _) => "nothing a month".to_owned(),
        (_, 0) => "less than $0.01 a month".to_owned(),
        _ => format!("about ${}.{:02} a month", cents / 100, cents % 100),
    }
}
