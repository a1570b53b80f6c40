//! Looks which approvers a mail reaches. Whoever is not subscribed does not know that anybody waits for them.

use stablepin_rules::application::Environment as Policy;
use stablepin_rules::effect::Outcome;
use stablepin_rules::reach::Reach;
use stablepin_rules::records::Subject;

use crate::Clients;
use crate::errors::chain;

pub(super) async fn reach(clients: &Clients, subject: &Subject, policy: &Policy) -> Outcome {
    let Some(approval_mailer) = &clients.approval_mailer else {
        return Outcome::Untold("this function sends no mail".to_owned());
    };
    let subscriptions = match approval_mailer.topics.subscriptions().await {
        Ok(subscriptions) => subscriptions,
        Err(error) => return Outcome::Untold(chain(&error)),
    };
    let application = &subject.configuration.application;
    let approvers = policy.approval.approvers.iter().filter_map(|name| application.approver(name));
    let reach = approvers.map(|one| (one.name.clone(), Reach::of(&one.mail, &subscriptions)));
    Outcome::Reached(reach.filter(|(_, reach)| *reach != Reach::Confirmed).collect())
}
