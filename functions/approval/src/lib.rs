//! The decision page: `GET` shows and changes nothing, `POST` decides once.

mod page;

use stablepin_aws::dynamodb::{Key, OperationKey};
use stablepin_core::audit::Actor;
use stablepin_core::name::{ApplicationName, EnvironmentName};
use stablepin_core::one_line;
use stablepin_core::records::{OperationId, Subject, Token, Verdict};
use stablepin_core::refusal::Refusal;
use stablepin_core::step::{Decision, Observed, may_decide};
use stablepin_driver::clock::now;
use stablepin_driver::errors::chain;
use stablepin_driver::{Deadline, Doors, DriveError, Start, drive, token_hash};
use stablepin_http::{Request, Response};

/// Answers every request; an error that is ours shows its id, and Lambda need not try again.
pub async fn handle(doors: &Doors, request: &Request, deadline: Deadline) -> Response {
    let answer = match request.method.as_str() {
        "GET" | "HEAD" => show(doors, request).await,
        "POST" => decide(doors, request, deadline).await,
        _ => Err(Answer::page(page::no_such_method())),
    };
    match answer {
        Ok(response) => response,
        Err(Answer::Page(response)) => *response,
        Err(Answer::Ours(error)) => {
            tracing::error!(request.id = request.id, "the decision page failed: {error}");
            page::ours(&request.id)
        }
    }
}

/// Not the page that was asked for.
enum Answer {
    Page(Box<Response>),
    Ours(String),
}

impl Answer {
    fn page(response: Response) -> Self {
        Self::Page(Box::new(response))
    }
}

impl From<DriveError> for Answer {
    fn from(error: DriveError) -> Self {
        match error {
            DriveError::Refused(refusal) => Self::page(page::refused(&refusal)),
            DriveError::LinkUsed => Self::page(page::refused(&Refusal::LinkUsed { at: now() })),
            DriveError::NotFound => Self::page(page::refused(&Refusal::UnknownLink)),
            DriveError::AlreadyOpened | DriveError::Contended | DriveError::Table(_) => {
                Self::Ours(chain(&error))
            }
        }
    }
}

/// One consistent read, no write.
async fn show(doors: &Doors, request: &Request) -> Result<Response, Answer> {
    let secret = request.query("t").unwrap_or_default();
    let (subject, token) = open(doors, request, secret).await?;
    match may_decide(now(), &subject, &token.approver, Some(&token)) {
        Ok(()) => Ok(page::question(&subject, &token, secret, request.raw_path())),
        Err(refusal) => Ok(page::ended(&subject, &token, &refusal)),
    }
}

async fn decide(doors: &Doors, request: &Request, deadline: Deadline) -> Result<Response, Answer> {
    let form = request.form();
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let (subject, token) = open(doors, request, field("t")).await?;
    let verdict = match field("decision") {
        "approve" => Verdict::Approve,
        "reject" => Verdict::Reject,
        _ => return Err(Answer::page(page::say_which())),
    };
    let reason = one_line::reason(field("reason"));
    if verdict == Verdict::Reject && reason.is_none() {
        return Err(Answer::page(page::say_why()));
    }
    let decision = Decision {
        approver: token.approver.clone(),
        verdict,
        reason,
        actor: Actor::Link { approver: token.approver.clone() },
        token: Some(token.clone()),
    };
    let observed = vec![Observed::Decision(decision)];
    let driven = drive(doors, Start::Subject(Box::new(subject)), observed, deadline).await;
    match driven {
        Ok(after) => Ok(page::decided(&after, &token, verdict)),
        Err(DriveError::Refused(refusal)) => {
            let (subject, token) = open(doors, request, field("t")).await?;
            Ok(page::ended(&subject, &token, &refusal))
        }
        // Two clicks at once: the other one counts, and is shown.
        Err(DriveError::LinkUsed) => {
            let (subject, token) = open(doors, request, field("t")).await?;
            let refusal = Refusal::LinkUsed { at: token.used_at.unwrap_or_else(now) };
            Ok(page::ended(&subject, &token, &refusal))
        }
        Err(error) => Err(error.into()),
    }
}

/// The promotion that the path names, if the link is one of its own. An unknown link and an unknown promotion
/// look the same.
async fn open(doors: &Doors, request: &Request, secret: &str) -> Result<(Subject, Token), Answer> {
    let unknown = || Answer::page(page::refused(&Refusal::UnknownLink));
    let application = ApplicationName::parse(request.path("application")).map_err(|_| unknown())?;
    let environment = EnvironmentName::parse(request.path("environment")).map_err(|_| unknown())?;
    let promotion = OperationId::parse(request.path("promotion")).ok_or_else(unknown)?;
    let key = Key { application, environment, operation: OperationKey::Promotion(promotion) };
    let found = doors.table.subject(&key, Some(&token_hash(secret))).await;
    match found.map_err(|error| Answer::Ours(chain(&error)))? {
        Some((subject, Some(token)))
            if token.promotion == promotion
                && token.application == key.application
                && token.environment == key.environment =>
        {
            Ok((subject, token))
        }
        Some(_) | None => Err(unknown()),
    }
}
