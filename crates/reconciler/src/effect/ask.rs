//! Requests an approval from one approver: mints a link and a code, stores the hashes of both, and
//! mails the link and the code. No record, event or log contains the link or the code.

use stablepin_rules::application::EnvironmentPolicy;
use stablepin_rules::effect::Outcome;
use stablepin_rules::name::ApproverName;
use stablepin_rules::records::{Subject, Token};

use super::{problem, words};
use crate::link::{Secret, code_hash, mint_code};
use crate::{Clients, approval_mailer};

pub(super) async fn ask(
    clients: &Clients,
    subject: &Subject,
    policy: &EnvironmentPolicy,
    approver: &ApproverName,
) -> Outcome {
    let (Some(mailer), Some(promotion)) = (&clients.approval_mailer, subject.promotion()) else {
        return Outcome::Problem("this function sends no mail".to_owned());
    };
    let Some(reader) = subject.configuration.application.approver(approver) else {
        return Outcome::Problem(format!("{approver} has no address in the configuration"));
    };
    let (secret, code) = match (Secret::mint(), mint_code()) {
        (Ok(secret), Ok(code)) => (secret, code),
        (Err(error), _) | (_, Err(error)) => return Outcome::Problem(format!("no random bytes: {error}")),
    };
    let token = Token {
        hash: secret.hash(),
        application: subject.application().clone(),
        environment: subject.name.clone(),
        promotion: promotion.id,
        digest: promotion.digest.clone(),
        approver: approver.clone(),
        expires_at: promotion.expires_at,
        used_at: None,
        code: code_hash(secret.reveal(), &code),
        wrong_codes: 0,
    };
    let (stored, turn) =
        tokio::join!(clients.table.put_token(&token), approval_mailer::wait_for_turn(clients, reader));
    if let Err(error) = stored {
        return problem(&error);
    }
    if let Err(error) = turn {
        return problem(&error);
    }
    let link = format!(
        "{}/decide/{}/{}/{}?t={}",
        mailer.url,
        subject.application(),
        subject.name,
        promotion.id,
        secret.reveal()
    );
    let mail = stablepin_messages::question(subject, policy, promotion, approver, &link, &code);
    match mailer.send(reader, &mail).await {
        Ok(()) => Outcome::ApprovalRequested {
            approver: approver.clone(),
            token: token.hash,
            mail: reader.mail.lower(),
        },
        Err(error) if error.is_refusal() => {
            Outcome::AskRefused { approver: approver.clone(), reason: words(&error) }
        }
        Err(error) => problem(&error),
    }
}
