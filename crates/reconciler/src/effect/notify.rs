//! Notifies people of a failure: by mail, and in chats through Amazon Q Developer.

use stablepin_rules::effect::Outcome;
use stablepin_rules::records::{Notice, Subject};

use super::{problem, words};
use crate::Clients;

pub(super) async fn notify(clients: &Clients, subject: &Subject, notice: Notice) -> Outcome {
    let Some(verify) = &clients.verify else {
        return Outcome::Problem("this function sends no notices".to_owned());
    };
    let Some(written) = stablepin_messages::notice(subject, notice) else { return Outcome::Notified(notice) };
    let chat = written.chat.to_string();
    match verify.sns.notify(&verify.topic_arn, &written.mail.subject, &chat, &written.mail.body).await {
        Ok(_) => Outcome::Notified(notice),
        // No operation waits for the notice that a release is rolling back, so a failure to send it
        // does not delay other effects.
        Err(error) if notice == Notice::GoingBack => Outcome::NotifyFailed(words(&error)),
        Err(error) => problem(&error),
    }
}
