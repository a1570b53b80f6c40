//! Tells people what failed: by mail, and in chats by Amazon Q Developer.

use stablepin_rules::effect::Outcome;
use stablepin_rules::records::{Notice, Subject};

use super::{problem, words};
use crate::{Clients, mail};

pub(super) async fn notify(clients: &Clients, subject: &Subject, notice: Notice) -> Outcome {
    let Some(verify) = &clients.verify else {
        return Outcome::Problem("this function tells nobody".to_owned());
    };
    let Some(told) = mail::notice(subject, notice) else { return Outcome::Notified(notice) };
    let chat = told.chat.to_string();
    match verify.sns.notify(&verify.topic_arn, &told.mail.subject, &chat, &told.mail.body).await {
        Ok(_) => Outcome::Notified(notice),
        // A failure of this notice delays nothing else.
        Err(error) if notice == Notice::GoingBack => Outcome::NotifyFailed(words(&error)),
        Err(error) => problem(&error),
    }
}
