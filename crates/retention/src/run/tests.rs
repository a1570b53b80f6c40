use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn name(text: &str) -> RepositoryName {
    RepositoryName::parse(text).unwrap()
}

fn id(n: u8) -> RunId {
    RunId::parse(&format!("0198184a-{n:02x}00-7000-8000-000000000001")).unwrap()
}

const GB: u64 = 1_000_000_000;

/// Returns a run over the first `repositories` names of this list: web, web-1, web-2.
fn run(purpose: Purpose, repositories: usize) -> Run {
    let names = ["web", "web-1", "web-2"].map(name);
    let asked = RunRequest {
        purpose,
        by: Actor::Stablepin,
        reason: Some("the nightly run".to_owned()),
        share: DEFAULT_SHARE,
        repositories: names.into_iter().take(repositories).collect(),
    };
    Run::begin(id(1), ApplicationName::parse("web").unwrap(), asked, at("2026-11-21T02:00:00Z")).0
}

const APPLY: Purpose = Purpose::Apply { plan_of: None };

fn planned() -> Planned {
    Planned {
        images: 60,
        by_rule: BTreeMap::from([("pinned".to_owned(), 30), ("younger than 90 days".to_owned(), 13)]),
        to_remove: 12,
        later: 5,
        freed_bytes: 4 * GB,
        freed_is_exact: true,
        warnings: vec!["the manifest of sha256:a1… could not be read".to_owned()],
        waived: BTreeSet::new(),
        plan: Some(stored("plan")),
    }
}

fn applied() -> Applied {
    Applied { deleted: 12, freed_bytes: 34 * GB / 10, freed_is_exact: true, ..Applied::default() }
}

fn stored(what: &str) -> Stored {
    Stored {
        key: format!("retention/web/0198184a/web/{what}.json"),
        version: Some("3HL4kqtJlcpXroDTDmJ".to_owned()),
        sha256: "0f".repeat(32),
    }
}

fn left_alone() -> RunProgress {
    RunProgress::LeftAlone { problem: "ECS did not answer ListTasks".to_owned() }
}

/// Applies the reports in order. Returns the run, and its audit records as texts:
/// `from → to: reason`.
fn after_reports(run: Run, said: &[(&str, RunProgress)]) -> (Run, Vec<String>) {
    let (mut run, mut records) = (run, Vec::new());
    for (repository, progress) in said {
        let (after, audit) = run.after(at("2026-11-21T02:05:00Z"), &name(repository), progress);
        records.extend(audit.iter().map(|record| {
            let word = |of: &Option<String>| of.clone().unwrap_or_else(|| "-".to_owned());
            format!("{} → {}: {}", word(&record.from), record.to, word(&record.reason))
        }));
        run = after;
    }
    (run, records)
}

#[test]
fn run_audits_its_start_and_each_state_change() {
    let (run, record) = {
        let asked = RunRequest {
            purpose: APPLY,
            by: Actor::Principal { arn: "arn:aws:iam::111122223333:role/operator".to_owned() },
            reason: Some("make\nroom".to_owned()),
            share: 50,
            repositories: BTreeSet::from([name("web"), name("web-1")]),
        };
        Run::begin(id(1), ApplicationName::parse("web").unwrap(), asked, at("2026-11-21T02:00:00Z"))
    };
    assert_eq!(
        (record.kind, record.from.as_deref(), record.to.as_str()),
        (Kind::Retention, None, "Requested")
    );
    assert_eq!((record.id, record.environment, record.digest), (Some(id(1).to_string()), None, None));
    assert_eq!((record.actor, record.reason.as_deref()), (run.by.clone(), Some("make room")));
    let said = [
        ("web", RunProgress::Planning),
        ("web", RunProgress::Planned(planned())),
        ("web-1", RunProgress::Planning),
        ("web", RunProgress::Applying(Applied { deleted: 7, ..Applied::default() })),
        ("web", RunProgress::Done(applied())),
        ("web-1", left_alone()),
    ];
    let (after, records) = after_reports(run, &said);
    assert_eq!(
        records,
        [
            "Requested → InProgress: make room",
            "InProgress → CompletedWithErrors: 12 images deleted, 3.4 GB freed; 5 images over this run's limit of 50 %, \
             left for later runs; 1 repository skipped: web-1: ECS did not answer ListTasks",
        ]
    );
    assert_eq!(after.ended_at, Some(at("2026-11-21T02:05:00Z")));
}

#[test]
fn run_derives_its_state_from_its_repositories() {
    let ended = |ends: &[RunProgress]| {
        let mut run = run(APPLY, ends.len());
        let names: Vec<RepositoryName> = run.repositories.keys().cloned().collect();
        for (name, end) in names.iter().zip(ends) {
            run = run.after(at("2026-11-21T02:05:00Z"), name, end).0;
        }
        run.state()
    };
    let done = || RunProgress::Done(applied());
    let failed = || RunProgress::Failed { problem: "the bucket is gone".to_owned() };
    let refused = BTreeMap::from([("ImageReferencedByManifestList".to_owned(), 1)]);
    assert_eq!(ended(&[]), RunState::Completed, "a run without repositories is complete");
    assert_eq!(ended(&[done(), done()]), RunState::Completed);
    assert_eq!(ended(&[done(), left_alone()]), RunState::CompletedWithErrors);
    assert_eq!(ended(&[done(), failed()]), RunState::CompletedWithErrors);
    assert_eq!(
        ended(&[RunProgress::Done(Applied { errors: refused, ..applied() })]),
        RunState::CompletedWithErrors
    );
    assert_eq!(ended(&[left_alone(), failed()]), RunState::Failed, "no repository was done");
    assert_eq!(ended(&[done(), RunProgress::Planning]), RunState::InProgress);
    assert_eq!(run(APPLY, 2).state(), RunState::Requested);
}

#[test]
fn repeated_and_late_reports_change_nothing() {
    let said = [
        RunProgress::Planning,
        RunProgress::Planned(planned()),
        RunProgress::Applying(Applied { deleted: 3, ..Applied::default() }),
        RunProgress::Done(applied()),
    ];
    let once: Vec<_> = said.iter().map(|one| ("web", one.clone())).collect();
    let twice: Vec<_> = said.iter().flat_map(|one| [("web", one.clone()), ("web", one.clone())]).collect();
    let (end, records) = after_reports(run(APPLY, 1), &once);
    assert_eq!(after_reports(run(APPLY, 1), &twice), (end.clone(), records));
    for late in said.iter().chain(&[left_alone()]) {
        assert_eq!(
            after_reports(end.clone(), &[("web", late.clone())]),
            (end.clone(), Vec::new()),
            "after its end: {late:?}"
        );
    }
    let elsewhere = run(APPLY, 1);
    assert_eq!(after_reports(elsewhere.clone(), &[("other", left_alone())]), (elsewhere, Vec::new()));
    let (applying, _) = after_reports(run(APPLY, 1), &once[..3]);
    let (after, _) = after_reports(applying.clone(), &once[..2]);
    assert_eq!(after, applying, "a late plan does not restart the repository");
}

#[test]
fn dry_run_completes_when_its_plan_is_made() {
    let (plan, records) = after_reports(run(Purpose::Plan, 1), &[("web", RunProgress::Planned(planned()))]);
    assert_eq!((plan.state(), plan.repositories[&name("web")].freed_bytes), (RunState::Completed, 4 * GB));
    assert_eq!(
        records,
        [
            "Requested → Completed: 12 images would be removed, 4.0 GB would be freed, about $0.37 a month; 5 images \
             over this run's limit of 20 %, left for later runs"
        ]
    );
    let (apply, _) = after_reports(run(APPLY, 1), &[("web", RunProgress::Planned(planned()))]);
    let repository = &apply.repositories[&name("web")];
    assert_eq!((apply.state(), repository.state), (RunState::InProgress, RepositoryState::Applying));
    assert_eq!((repository.to_remove, repository.freed_bytes), (12, 0), "nothing is freed yet");
    let (alone, records) = after_reports(apply, &[("web", left_alone())]);
    assert_eq!(alone.state(), RunState::Failed);
    assert_eq!(
        records,
        [
            "InProgress → Failed: nothing changed; 5 images over this run's limit of 20 %, left for later runs; \
             1 repository skipped: web: ECS did not answer ListTasks"
        ]
    );
}

#[test]
fn summary_names_every_result_of_a_run() {
    let refused = BTreeMap::from([("ImageReferencedByManifestList".to_owned(), 1)]);
    let summary =
        |applied: Applied| after_reports(run(APPLY, 1), &[("web", RunProgress::Done(applied))]).0.summary();
    let all = Applied {
        deleted: 1,
        archived: 2,
        untagged: 1,
        restored: 3,
        skipped: 2,
        freed_bytes: GB,
        freed_is_exact: false,
        errors: refused,
        ..Applied::default()
    };
    assert_eq!(
        summary(all),
        "1 image deleted, 2 images archived, 3 images restored, 1 tag removed, up to 1.0 GB freed; \
         2 images changed meanwhile and skipped; 1 image refused by ECR"
    );
    assert_eq!(summary(Applied::default()), "nothing changed");
    let three = [("web", left_alone()), ("web-1", left_alone()), ("web-2", left_alone())];
    assert_eq!(
        after_reports(run(APPLY, 3), &three).0.summary(),
        "nothing changed; 3 repositories skipped: web: ECS did not answer ListTasks, and 2 more"
    );
}

#[test]
fn run_keeps_at_most_twenty_warnings_per_repository() {
    let many = |from: usize| Planned {
        warnings: (from..from + 15).map(|n| format!("warning\n{n}")).collect(),
        ..planned()
    };
    let said = [("web", RunProgress::Planned(many(0))), ("web", RunProgress::Planned(many(10)))];
    let run = after_reports(run(Purpose::Apply { plan_of: Some(id(2)) }, 1), &said[..1]).0;
    assert_eq!(run.repositories[&name("web")].warnings.len(), 15);
    let more = Applied { warnings: many(10).warnings, ..applied() };
    let run = after_reports(run, &[("web", RunProgress::Done(more))]).0;
    let kept = &run.repositories[&name("web")].warnings;
    assert_eq!((kept.len(), kept[0].as_str(), kept[19].as_str()), (20, "warning 0", "warning 19"));
}

#[test]
fn price_is_rounded_to_cents() {
    let gb = 1_u64 << 30;
    assert_eq!(price_a_month(0), "nothing a month");
    assert_eq!(price_a_month(1), "less than $0.01 a month");
    assert_eq!(price_a_month(gb), "about $0.10 a month");
    assert_eq!(price_a_month(34 * gb / 10), "about $0.34 a month");
    assert_eq!(price_a_month(12_345 * gb), "about $1234.50 a month");
    assert_eq!(price_a_month(u64::MAX), "about $1717986918.40 a month");
}

#[test]
fn stored_run_matches_the_sample_record() {
    let purpose = Purpose::Apply { plan_of: Some(id(2)) };
    let done = Applied {
        archived: 1,
        untagged: 2,
        restored: 0,
        skipped: 1,
        errors: BTreeMap::from([("ImageReferencedByManifestList".to_owned(), 1)]),
        report: Some(stored("report")),
        ..applied()
    };
    let said =
        [("web", RunProgress::Planned(planned())), ("web", RunProgress::Done(done)), ("web-1", left_alone())];
    let run = Run { version: 4, ..after_reports(run(purpose, 2), &said).0 };
    let written = serde_json::to_string_pretty(&run).unwrap();
    let sample = include_str!("../samples/run.json");
    assert_eq!(written, sample.trim_end(), "stored records must stay readable");
    assert_eq!(serde_json::from_str::<Run>(sample).unwrap(), run);
}

#[test]
fn purposes_and_states_serialize_by_name() {
    let written = |purpose: Purpose| serde_json::to_string(&purpose).unwrap();
    assert_eq!(written(Purpose::Plan), r#"{"type":"plan"}"#);
    assert_eq!(written(APPLY), r#"{"type":"apply","plan_of":null}"#);
    assert_eq!(
        written(Purpose::Undo { of: id(3) }),
        r#"{"type":"undo","of":"0198184a-0300-7000-8000-000000000001"}"#
    );
    for state in [
        RepositoryState::Waiting,
        RepositoryState::Planning,
        RepositoryState::Applying,
        RepositoryState::Done,
        RepositoryState::LeftAlone,
        RepositoryState::Failed,
    ] {
        assert_eq!(serde_json::to_string(&state).unwrap(), format!("{:?}", state.as_str()));
    }
    for state in [
        RunState::Requested,
        RunState::InProgress,
        RunState::Completed,
        RunState::CompletedWithErrors,
        RunState::Failed,
    ] {
        assert_eq!(serde_json::to_string(&state).unwrap(), format!("{:?}", state.as_str()));
    }
}

#[test]
fn old_repository_record_without_newer_fields_is_readable() {
    let repository: RepositoryRun = serde_json::from_str(r#"{"state":"Done","deleted":3}"#).unwrap();
    assert_eq!(repository.deleted, 3);
}

#[test]
fn audit_record_names_waived_workload_sources() {
    let planned = Planned { waived: BTreeSet::from(["batch".to_owned(), "pipes".to_owned()]), ..planned() };
    let (run, records) = after_reports(run(Purpose::Plan, 1), &[("web", RunProgress::Planned(planned))]);
    let reason = records.last().unwrap();
    assert!(reason.contains("; waived, not read: batch, pipes"), "{reason}");
    assert_eq!(run.repositories.values().next().unwrap().waived.len(), 2);
}
