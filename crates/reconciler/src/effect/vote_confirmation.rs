//! Confirms to an approver that their approval link was used. Anybody who has the mail with the
//! link can vote in the approver's name, so the approver gets a confirmation of each vote.

use stablepin_rules::effect::Outcome;
use stablepin_rules::name::ApproverName;
use stablepin_rules::records::Subject;

use crate::Clients;
use crate::clock::now;
use crate::errors::chain;

pub(super) async fn confirm_vote(clients: &Clients, subject: &Subject, approver: &ApproverName) -> Outcome {
    let Some(mailer) = &clients.approval_mailer else {
        return Outcome::NotifyFailed("this function sends no mail".to_owned());
    };
    let sent = Outcome::VoteConfirmed(approver.clone());
    // An approver who was removed from the configuration has no mail address.
    let Some(reader) = subject.configuration.application.approver(approver) else { return sent };
    let Some(mail) = stablepin_messages::vote_confirmation(subject, approver) else { return sent };
    // A wait for the next turn would delay the other effects of this reconcile.
    match clients.table.may_mail(&reader.mail, now()).await {
        Ok(true) => {}
        Ok(false) => {
            let problem = "the address already gets as many mails a second as SNS allows".to_owned();
            return Outcome::NotifyFailed(problem);
        }
        Err(error) => return Outcome::NotifyFailed(chain(&error)),
    }
    match mailer.send(reader, &mail).await {
        Ok(()) => sent,
        Err(error) => Outcome::NotifyFailed(chain(&error)),
    }
}
