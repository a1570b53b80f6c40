//! Tells an approver that the link was used: whoever has the mail decides in its reader's name.

use stablepin_core::effect::Outcome;
use stablepin_core::name::ApproverName;
use stablepin_core::records::Subject;

use super::problem;
use crate::{Doors, mail, post};

pub(super) async fn receipt(doors: &Doors, subject: &Subject, approver: &ApproverName) -> Outcome {
    let Some(door) = &doors.post else {
        return Outcome::Problem("this function sends no mail".to_owned());
    };
    let sent = Outcome::ReceiptSent(approver.clone());
    // Who has left the configuration has no address any more.
    let Some(reader) = subject.configuration.application.approver(approver) else { return sent };
    let Some(mail) = mail::receipt(subject, approver) else { return sent };
    if let Err(error) = post::turn(doors, reader).await {
        return problem(&error);
    }
    match door.send(reader, &mail).await {
        Ok(()) => sent,
        Err(error) => problem(&error),
    }
}
