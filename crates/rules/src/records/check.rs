//! Named checks of a digest, as pipelines report them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::application::CheckName;
use crate::audit::Actor;
use crate::link::Link;

/// The most checks that the table keeps for one digest. With the longest links they use 60 KB of
/// the 400 KB of an item.
pub const MOST_CHECKS: usize = 20;

/// The newest result of a named check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub result: CheckResult,
    /// The time at which the check ended, as the pipeline reports it. If a check has several
    /// results, the result that ended last counts.
    pub at: Timestamp,
    /// The web page of the check's run.
    pub link: Option<Link>,
    pub seconds: Option<u32>,
    /// The signer of the report.
    pub by: Actor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckResult {
    Passed,
    Failed,
}

impl CheckResult {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
        }
    }
}

/// The checks of one digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Checks(BTreeMap<CheckName, Check>);

/// The effect of a report on the [`Checks`] of its digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    New,
    /// The same report is already recorded.
    Known,
    /// A newer result of this check, or a failure with the same time, is already recorded.
    Outdated,
    TooMany,
}

impl Checks {
    /// Records a report. Keeps the result that ended last, even if the reports arrive in another
    /// order. If two results ended at the same time, keeps the failure.
    ///
    /// At the limit, a required check displaces the oldest check that is not required. Otherwise
    /// checks that no environment requires could block a promotion.
    pub fn record(&mut self, name: CheckName, check: Check, required: &BTreeSet<CheckName>) -> Recorded {
        let (result, at) = (check.result, check.at);
        match self.0.get(&name) {
            None if self.0.len() >= MOST_CHECKS => {
                let others = self.0.iter().filter(|(other, _)| !required.contains(*other));
                let oldest = others.min_by_key(|(_, other)| other.at).map(|(other, _)| other.clone());
                let Some(oldest) = oldest.filter(|_| required.contains(&name)) else {
                    return Recorded::TooMany;
                };
                self.0.remove(&oldest);
            }
            Some(known) if known.at == at && known.result == result => return Recorded::Known,
            Some(known) if known.at > at => return Recorded::Outdated,
            Some(known) if known.at == at && known.result == CheckResult::Failed => {
                return Recorded::Outdated;
            }
            None | Some(_) => {}
        }
        self.0.insert(name, check);
        Recorded::New
    }

    pub fn get(&self, name: &CheckName) -> Option<&Check> {
        self.0.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&CheckName, &Check)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(result: CheckResult, minute: i64) -> Check {
        let at = "2026-11-21T10:00:00Z".parse::<Timestamp>().unwrap();
        let at = at + jiff::SignedDuration::from_mins(minute);
        Check { result, at, link: None, seconds: None, by: Actor::Push }
    }

    fn name(text: &str) -> CheckName {
        CheckName::parse(text).unwrap()
    }

    #[test]
    fn repeated_report_changes_nothing() {
        let mut checks = Checks::default();
        assert_eq!(record(&mut checks, "tests", check(CheckResult::Passed, 1)), Recorded::New);
        let before = checks.clone();
        assert_eq!(record(&mut checks, "tests", check(CheckResult::Passed, 1)), Recorded::Known);
        assert_eq!(checks, before);
    }

    #[test]
    fn older_result_does_not_replace_a_newer_result() {
        let mut checks = Checks::default();
        record(&mut checks, "tests", check(CheckResult::Failed, 2));
        assert_eq!(record(&mut checks, "tests", check(CheckResult::Passed, 1)), Recorded::Outdated);
        assert_eq!(checks.get(&name("tests")).unwrap().result, CheckResult::Failed);
    }

    fn record(checks: &mut Checks, text: &str, check: Check) -> Recorded {
        checks.record(name(text), check, &BTreeSet::from([name("required")]))
    }

    #[test]
    fn digest_has_a_limited_number_of_checks() {
        let mut checks = Checks::default();
        for n in 0..MOST_CHECKS {
            assert_eq!(record(&mut checks, &format!("c{n}"), check(CheckResult::Passed, 1)), Recorded::New);
        }
        assert_eq!(record(&mut checks, "more", check(CheckResult::Passed, 1)), Recorded::TooMany);
        assert_eq!(record(&mut checks, "c0", check(CheckResult::Failed, 2)), Recorded::New);
        assert_eq!(record(&mut checks, "required", check(CheckResult::Passed, 1)), Recorded::New);
        assert!(checks.get(&name("c1")).is_none(), "the oldest check that nobody requires is gone");
        assert_eq!((checks.iter().count(), checks.get(&name("c0")).is_some()), (MOST_CHECKS, true));
        let bytes = serde_json::to_vec(&checks).unwrap().len();
        assert!(bytes < 50_000, "{bytes}");
    }

    proptest! {
        #[test]
        fn order_of_reports_does_not_change_the_checks(
            reports in prop::collection::vec((any::<bool>(), 0..4_i64), 1..8).prop_shuffle(),
            seed in any::<u64>(),
        ) {
            let result = |passed| if passed { CheckResult::Passed } else { CheckResult::Failed };
            let record = |reports: &[(bool, i64)]| {
                let mut checks = Checks::default();
                for (passed, minute) in reports {
                    record(&mut checks, "tests", check(result(*passed), *minute));
                }
                checks
            };
            let mut other = reports.clone();
            let turned = usize::try_from(seed % reports.len() as u64).unwrap();
            other.rotate_left(turned);
            prop_assert_eq!(record(&reports), record(&other));
        }
    }
}
