//! What people are told of a run of retention: what went, what was left alone, and how to have it back.

use serde_json::json;
use stablepin_core::one_line::inert;
use stablepin_core::retention::run::{Purpose, Run, RunState};

use super::Told;
use super::notice::{About, Words};

/// Of a run that has ended.
pub fn retention(run: &Run) -> Told {
    let state = run.state();
    let title = match (run.purpose, state) {
        (_, RunState::Failed) => "old images: nothing could be done",
        (_, RunState::CompletedWithErrors) => "old images: not all could be done",
        (Purpose::Plan, _) => "old images: what would go",
        (Purpose::Apply { .. }, _) => "old images were removed",
        (Purpose::Undo { .. }, _) => "archived images are on their way back",
    };
    let (mut next, mut archived) = (Vec::new(), 0_u64);
    for one in run.repositories.values() {
        archived = archived.saturating_add(one.archived);
    }
    let path = format!("/v1/applications/{}/retention/{}", run.application, run.id);
    next.push(format!("Why each image stays or goes: GET {path}/images."));
    match run.purpose {
        Purpose::Plan => next.push(format!(
            "To carry out this very plan: POST {path}/apply, where retention.mode is \"delete\" or \"archive\"."
        )),
        Purpose::Apply { .. } if archived > 0 => {
            next.push(format!("To have what was archived back, within 20 minutes: POST {path}/undo."));
        }
        Purpose::Apply { .. } | Purpose::Undo { .. } => {}
    }
    let words = Words {
        title,
        event: "retention",
        what: inert(&format!("{}.", run.summary())),
        why: run.reason.as_deref().map(|reason| format!("Asked for: {}", inert(reason))).unwrap_or_default(),
        next,
    };
    let repositories: Vec<String> = run
        .repositories
        .iter()
        .map(|(name, one)| {
            let kept: Vec<String> =
                one.by_rule.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
            let mut line = format!("{name}: {}, {} images", one.state.as_str(), one.images);
            if !kept.is_empty() {
                line += &format!("; kept: {}", kept.join(", "));
            }
            for (code, count) in &one.errors {
                line += &format!("; {code}: {count}");
            }
            for warning in one.problem.iter().chain(&one.warnings) {
                line += &format!("; {}", inert(warning));
            }
            line
        })
        .collect();
    let context = json!({ "application": run.application });
    About { place: run.application.to_string(), id: run.id.to_string(), context }.told(
        &words,
        "Repositories",
        &repositories,
    )
}
