//! The notice of a retention run: how many images it removed or kept, and how to restore images.

use serde_json::json;
use stablepin_messages::{NoticeSubject, Words, WrittenNotice};
use stablepin_retention_rules::run::{Purpose, RepositoryRun, RepositoryState, Run, RunState};
use stablepin_rules::one_line::inert;

/// Returns the notice of a retention run that has ended.
pub(crate) fn retention_notice(run: &Run) -> WrittenNotice {
    let state = run.state();
    let changed = run.repositories.values().any(RepositoryRun::has_changed_something);
    let title = match (run.purpose, state) {
        (_, RunState::Failed) => "retention failed",
        (_, RunState::CompletedWithErrors) => "retention ended with errors",
        (Purpose::Plan, _) => "retention plan is ready",
        (Purpose::Apply { .. }, _) if changed => "retention removed old images",
        (Purpose::Apply { .. }, _) => "retention found nothing to remove",
        (Purpose::Undo { .. }, _) => "archived images are being restored",
    };
    let (mut next, mut archived) = (Vec::new(), 0_u64);
    for one in run.repositories.values() {
        archived = archived.saturating_add(one.archived);
    }
    let path = format!("/v1/applications/{}/retention/{}", run.application, run.id);
    next.push(format!("Why each image is kept or removed: GET {path}/images."));
    match run.purpose {
        Purpose::Plan => next.push(format!(
            "To apply this plan: POST {path}/apply, where retention.mode is \"delete\" or \"archive\"."
        )),
        Purpose::Apply { .. } if archived > 0 => {
            next.push(format!("To restore the archived images, within 20 minutes: POST {path}/undo."));
        }
        Purpose::Apply { .. } | Purpose::Undo { .. } => {}
    }
    let words = Words {
        title,
        event: "retention",
        what: inert(&format!("{}.", run.summary())),
        why: run.reason.as_deref().map(|reason| format!("Reason: {}", inert(reason))).unwrap_or_default(),
        next,
    };
    let repositories: Vec<String> = run
        .repositories
        .iter()
        .map(|(name, one)| {
            let kept: Vec<String> =
                one.by_rule.iter().map(|(rule, count)| format!("{} {count}", rule_words(rule))).collect();
            let mut line = format!("{name}: {}, {} images", state_words(one.state), one.images);
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
    NoticeSubject { place: run.application.to_string(), id: run.id.to_string(), context }.write(
        &words,
        "Repositories",
        &repositories,
    )
}

/// Describes the state of a repository for people.
fn state_words(state: RepositoryState) -> &'static str {
    match state {
        RepositoryState::Waiting => "waiting",
        RepositoryState::Planning => "planning",
        RepositoryState::Applying => "in progress",
        RepositoryState::Done => "done",
        RepositoryState::LeftAlone => "skipped",
        RepositoryState::Failed => "failed",
    }
}

/// Describes, for people, the images that a retention rule keeps. Returns the name of an unknown
/// rule unchanged.
fn rule_words(rule: &str) -> &str {
    match rule {
        "pin" => "pinned",
        "pin-history" => "earlier pins",
        "current" => "last proven to run",
        "open" => "in open promotions or rollbacks",
        "in-use" => "in use",
        "standing" => "with a stable or current tag",
        "protected" => "protected by tag",
        "not-understood" => "not understood",
        "index-of-needed" => "indexes of needed images",
        "part-of-kept" => "parts of kept images",
        "about-kept" => "artifacts of kept images",
        "may-be-part" => "maybe parts of an unread index",
        "newest" => "newest",
        "young" => "too young",
        "backup" => "live before a recent rollback",
        "no-time" => "of unknown age",
        "future" => "with a time in the future",
        "activating" => "being restored",
        "archived" => "archived",
        "tangled" => "without an order of deletion",
        "over-share" => "over this run's limit",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use stablepin_retention_rules::run::{Applied, Planned, RunId, RunProgress, RunRequest};
    use stablepin_rules::audit::Actor;
    use stablepin_rules::image::RepositoryName;
    use stablepin_rules::name::ApplicationName;

    use super::*;

    fn run(purpose: Purpose, reason: Option<&str>, said: &[RunProgress]) -> String {
        let id = RunId::parse("019b0000-0000-7000-8000-000000000000").unwrap();
        let repository = RepositoryName::parse("prod/web").unwrap();
        let asked = RunRequest {
            purpose,
            by: Actor::Stablepin,
            reason: reason.map(str::to_owned),
            share: 20,
            repositories: BTreeSet::from([repository.clone()]),
        };
        let at = "2026-11-23T02:00:00Z".parse().unwrap();
        let (mut run, _) = Run::begin(id, ApplicationName::parse("web").unwrap(), asked, at);
        for progress in said {
            run = run.after(at, &repository, progress).0;
        }
        let written = retention_notice(&run);
        format!("Subject: {}\n\n{}", written.mail.subject, written.mail.body)
    }

    fn planned() -> RunProgress {
        RunProgress::Planned(Planned {
            images: 120,
            by_rule: BTreeMap::from([
                ("newest".to_owned(), 20),
                ("pin".to_owned(), 2),
                ("young".to_owned(), 60),
            ]),
            to_remove: 24,
            later: 14,
            freed_bytes: 3_400_000_000,
            freed_is_exact: true,
            warnings: vec!["the repository has a lifecycle policy: remove it".to_owned()],
            plan: None,
            waived: Default::default(),
        })
    }

    #[test]
    fn plan_notice_counts_images_to_delete() {
        insta::assert_snapshot!(run(Purpose::Plan, Some("before <b>Monday</b>"), &[planned()]), @r#"
        Subject: web: retention plan is ready

        24 images would be removed, 3.4 GB would be freed, about $0.32 a month; 14 images over this run's limit of 20 %, left for later runs.

        Reason: before ＜b＞Monday＜/b＞

        Repositories:
        - prod/web: done, 120 images; kept: newest 20, pinned 2, too young 60; the repository has a lifecycle policy: remove it

        What to do:
        - Why each image is kept or removed: GET /v1/applications/web/retention/019b0000-0000-7000-8000-000000000000/images.
        - To apply this plan: POST /v1/applications/web/retention/019b0000-0000-7000-8000-000000000000/apply, where retention.mode is "delete" or "archive".

        Id: 019b0000-0000-7000-8000-000000000000
        "#);
    }

    #[test]
    fn run_notice_counts_archived_images() {
        let applied = Applied {
            archived: 22,
            skipped: 1,
            freed_is_exact: true,
            errors: BTreeMap::from([("ImageNotFound".to_owned(), 1)]),
            ..Applied::default()
        };
        let said = [planned(), RunProgress::Done(applied)];
        insta::assert_snapshot!(run(Purpose::Apply { plan_of: None }, None, &said), @"
        Subject: web: retention ended with errors

        22 images archived; 1 image changed meanwhile and skipped; 14 images over this run's limit of 20 %, left for later runs; 1 image refused by ECR.

        Repositories:
        - prod/web: done, 120 images; kept: newest 20, pinned 2, too young 60; ImageNotFound: 1; the repository has a lifecycle policy: remove it

        What to do:
        - Why each image is kept or removed: GET /v1/applications/web/retention/019b0000-0000-7000-8000-000000000000/images.
        - To restore the archived images, within 20 minutes: POST /v1/applications/web/retention/019b0000-0000-7000-8000-000000000000/undo.

        Id: 019b0000-0000-7000-8000-000000000000
        ");
    }

    #[test]
    fn run_notice_says_why_nothing_changed() {
        let said = [RunProgress::LeftAlone { problem: "its images could not be read".to_owned() }];
        insta::assert_snapshot!(run(Purpose::Apply { plan_of: None }, None, &said), @"
        Subject: web: retention failed

        nothing changed; 1 repository skipped: prod/web: its images could not be read.

        Repositories:
        - prod/web: skipped, 0 images; its images could not be read

        What to do:
        - Why each image is kept or removed: GET /v1/applications/web/retention/019b0000-0000-7000-8000-000000000000/images.

        Id: 019b0000-0000-7000-8000-000000000000
        ");
    }
}
