//! Checks which approvers have a confirmed subscription. An approver without a confirmed
//! subscription gets no approval request.

use stablepin_rules::application::EnvironmentPolicy;
use stablepin_rules::effect::Outcome;
use stablepin_rules::records::Subject;
use stablepin_rules::subscription_status::SubscriptionStatus;

use crate::Clients;
use crate::errors::chain;

pub(super) async fn check(clients: &Clients, subject: &Subject, policy: &EnvironmentPolicy) -> Outcome {
    let Some(approval_mailer) = &clients.approval_mailer else {
        return Outcome::NotifyFailed("this function sends no mail".to_owned());
    };
    let subscriptions = match approval_mailer.topics.subscriptions().await {
        Ok(subscriptions) => subscriptions,
        Err(error) => return Outcome::NotifyFailed(chain(&error)),
    };
    let application = &subject.configuration.application;
    let approvers = policy.approval.approvers.iter().filter_map(|name| application.approver(name));
    let reach = approvers.map(|one| (one.name.clone(), SubscriptionStatus::of(&one.mail, &subscriptions)));
    Outcome::SubscriptionsChecked(
        reach.filter(|(_, reach)| *reach != SubscriptionStatus::Confirmed).collect(),
    )
}
