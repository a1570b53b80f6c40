//! Records the outcomes of effects, their failures, and the pauses before the next attempts.

use jiff::SignedDuration;

use super::{LONGEST_PAUSE, Transition, live_drift, promotion, rollback, rollout};
use crate::effect::Outcome;
use crate::one_line::{LONGEST_TEXT, clause};
use crate::records::Notice;

impl Transition {
    pub(super) fn outcome(&mut self, outcome: &Outcome) {
        let after = &mut self.change.after;
        match outcome {
            Outcome::BuildTagged => {
                if let Some(build) = &mut after.build {
                    build.tagged = true;
                }
                if let Some(promotion) = promotion::promotion(self) {
                    promotion.build_tag_refused = None;
                }
            }
            Outcome::BuildTagTaken(tag) => self.rename_build(tag),
            Outcome::BuildTagRefused(reason) => {
                if !promotion::build_tag_refused(self, reason) {
                    return self.problem(reason);
                }
                // The count of failures is not reset, because ECR may also refuse the pin's tag.
                if let Some(operation) = &mut self.change.after.operation {
                    operation.problem = None;
                }
                return;
            }
            Outcome::Validated { configuration, result } => {
                promotion::validated(self, *configuration, result);
            }
            Outcome::ChecksRead { checks, at } => promotion::checks_read(self, checks, *at),
            Outcome::EarlierPinRead(earlier) => promotion::earlier_pin_read(self, earlier),
            Outcome::ApprovalRequested { approver, token, mail } => {
                promotion::asked(self, approver, token, mail)
            }
            Outcome::AskRefused { approver, reason } => {
                let known = after.promotion().is_some_and(|promotion| promotion.mail_refused.is_some());
                if !promotion::mail_refused(self, approver, reason) {
                    return self.problem(reason);
                }
                // A repeated refusal is no success, so it does not clear a failure of another
                // effect, such as a notification.
                if known {
                    return;
                }
            }
            // A failed notification does not delay other effects, and does not count as a problem
            // of the operation.
            Outcome::NotifyFailed(_) => {
                if let Some(operation) = &mut after.operation {
                    operation.notify_failures = operation.notify_failures.saturating_add(1);
                    operation.notify_at = Some(self.now + pause_after(operation.notify_failures));
                }
                return;
            }
            Outcome::VoteConfirmed(approver) => {
                if let Some(promotion) = promotion::promotion(self) {
                    promotion.vote_confirmations.insert(approver.clone());
                }
                return self.reset_notify_failures();
            }
            Outcome::SubscriptionsChecked(unreachable) => {
                if let Some(promotion) = promotion::promotion(self) {
                    promotion.unreachable = Some(unreachable.clone());
                }
                return self.reset_notify_failures();
            }
            Outcome::StableTagged(number) => {
                if after.environment.pin.as_ref().is_some_and(|pin| pin.number == *number) {
                    after.environment.applied = Some(*number);
                    after.environment.tag_taken = None;
                    self.stable_tagged();
                }
            }
            // The first refusal may mean that a new permission is not yet effective.
            Outcome::StableTaken(taken)
                if taken.is_refused()
                    && after
                        .operation
                        .as_ref()
                        .is_some_and(|operation| operation.failures <= u32::from(self.failed)) =>
            {
                return self.problem(&taken.words());
            }
            Outcome::StableTaken(taken) => {
                let taken = &taken.cut();
                let environment = &mut after.environment;
                if environment.pin.as_ref().is_some_and(|pin| pin.number == taken.pin) {
                    // Only the operation that finds the problem first notifies people.
                    let known = environment.tag_taken.as_ref();
                    if !known.is_some_and(|known| taken.says_no_more_than(known))
                        && let Some(operation) = &mut after.operation
                    {
                        operation.tag_taken = Some(taken.clone());
                    }
                    environment.tag_taken = Some(taken.clone());
                    self.stable_tagged();
                }
            }
            Outcome::Problem(text) => return self.problem(text),
            Outcome::BackupTried => rollback::backup_tried(self),
            Outcome::LatestTried(digest) => after.environment.latest_tag = Some(digest.clone()),
            Outcome::CurrentTried(digest) => {
                if let Some(current) = &mut after.environment.current
                    && current.digest == *digest
                {
                    current.tagged = true;
                }
            }
            Outcome::Notified(notice) => {
                if let Some(operation) = &mut after.operation {
                    operation.notified.insert(*notice);
                    (operation.notify_failures, operation.notify_at) = (0, None);
                }
                if *notice == Notice::LiveDrift {
                    live_drift::notified(self);
                }
            }
            // A progress report of a copy is no success, so it does not end a series of failures.
            Outcome::Copying { to, progress } => return promotion::copying(self, to, *progress),
            Outcome::Copied { to, progress } => promotion::copied(self, to, *progress),
            Outcome::CopyFailed { to, progress, problem, is_refusal } => {
                promotion::copying(self, to, *progress);
                return promotion::copy_failed(self, to, problem, *is_refusal);
            }
            Outcome::Prepared(live) => {
                if promotion::deploy::moves(after) {
                    promotion::deploy::prepared(self, live);
                }
            }
            Outcome::Unfit(reason) => {
                if promotion::deploy::moves(after) {
                    promotion::deploy::unfit(self, reason);
                }
            }
            Outcome::Service(direction, service, seen) => {
                if (promotion::deploy::moves(after) || rollback::moves(after))
                    && let Some(problem) = rollout::seen(self, *direction, service, seen)
                {
                    return self.problem(&problem);
                }
            }
            Outcome::Followed { direction, service, seen, service_deployment } => {
                if promotion::deploy::moves(after) || rollback::moves(after) {
                    if let Some(arn) = service_deployment {
                        rollout::record_deployment_arn(self, *direction, service, arn);
                    }
                    rollout::seen(self, *direction, service, seen);
                }
            }
            Outcome::FamilyRestored(service) => {
                if let Some(operation) = &mut after.operation {
                    operation.families.remove(service);
                }
            }
            Outcome::Probed(failed) => {
                if promotion::deploy::moves(after) {
                    rollout::probed(self, failed.as_ref());
                }
            }
        }
        self.succeeded = true;
    }

    /// Ends a series of failures, if an effect succeeded and no effect failed in this transition.
    pub(super) fn forget_failures(&mut self) {
        if let Some(operation) = &mut self.change.after.operation
            && self.succeeded
            && !self.failed
        {
            operation.failures = 0;
            operation.problem = None;
        }
    }

    /// Records a failure after which Stablepin tries again, and the pause before the next attempt.
    pub(super) fn problem(&mut self, text: &str) {
        if let Some(operation) = &mut self.change.after.operation {
            operation.failures = operation.failures.saturating_add(u32::from(!self.failed));
            operation.problem = Some(clause(text, LONGEST_TEXT));
            self.pause = Some(pause_after(operation.failures));
        }
        self.failed = true;
    }

    fn reset_notify_failures(&mut self) {
        if let Some(operation) = &mut self.change.after.operation {
            (operation.notify_failures, operation.notify_at) = (0, None);
        }
    }
}

/// Returns the pause after a number of failures: 1, 2, 4 … minutes. The unit is a minute, because
/// the tick runs once a minute.
fn pause_after(failures: u32) -> SignedDuration {
    SignedDuration::from_mins(1 << failures.saturating_sub(1).min(4)).min(LONGEST_PAUSE)
}
