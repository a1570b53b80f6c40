//! The decision page, and the signed requests about a promotion or an approver's subscription. A
//! `GET` of the page changes nothing. A `POST` decides, at most once for each link.

mod builds;
mod checks;
mod page;
mod signed;
mod subscriptions;

use stablepin_aws::dynamodb::{Key, OperationKey};
use stablepin_http::{Request, Response};
use stablepin_reconciler::clock::now;
use stablepin_reconciler::errors::chain;
use stablepin_reconciler::{
    Clients, Deadline, ReconcileError, Source, Topics, code_hash, reconcile, token_hash,
};
use stablepin_rules::audit::Actor;
use stablepin_rules::code::{Code, MOST_WRONG_CODES};
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::one_line;
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{Subject, Token, Verdict};
use stablepin_rules::refusal::Refusal;
use stablepin_rules::transition::{Decision, Form, Input, may_decide};

use page::{Field, PageAddress, PageState};

/// Handles every request. An internal error becomes a response with the request's id, since a retry
/// by Lambda would not help.
pub async fn handle(clients: &Clients, topics: &Topics, request: &Request, deadline: Deadline) -> Response {
    let table = &clients.table;
    let signed = match request.route.as_str() {
        "POST /v1/applications/{application}/promotions/{promotion}/decision" => {
            Some(signed::decide(clients, request, deadline).await)
        }
        "POST /v1/applications/{application}/environments/{environment}/promotions" => {
            Some(signed::ask(clients, request, deadline).await)
        }
        "POST /v1/applications/{application}/builds" => Some(builds::post(clients, request, deadline).await),
        "POST /v1/applications/{application}/checks" => Some(checks::put(clients, request, deadline).await),
        "POST /v1/applications/{application}/promotions/{promotion}/withdraw" => {
            Some(signed::withdraw(clients, request, deadline).await)
        }
        "GET /v1/applications/{application}/approvers/{approver}/subscription" => {
            Some(subscriptions::read(table, topics, request).await)
        }
        "PUT /v1/applications/{application}/approvers/{approver}/subscription" => {
            Some(subscriptions::put(table, topics, request).await)
        }
        "POST /v1/applications/{application}/approvers/{approver}/subscription/confirmation" => {
            Some(subscriptions::confirm(table, topics, request).await)
        }
        _ => None,
    };
    if let Some(answer) = signed {
        return answer.unwrap_or_else(|problem| problem.response());
    }
    let answer = match request.method.as_str() {
        "GET" if request.route.ends_with("/status") => status(clients, request).await,
        "GET" | "HEAD" => show(clients, request).await,
        "POST" => decide(clients, request, deadline).await,
        _ => Err(DecisionAnswer::page(page::no_such_method())),
    };
    match answer {
        Ok(response) => response,
        Err(DecisionAnswer::Page(response)) => *response,
        Err(DecisionAnswer::Internal(error)) => {
            tracing::error!(request.id = request.id, "the decision page failed: {error}");
            page::internal_error(&request.id)
        }
    }
}

/// A response other than the requested page: another page, or an internal error.
enum DecisionAnswer {
    Page(Box<Response>),
    Internal(String),
}

impl DecisionAnswer {
    fn page(response: Response) -> Self {
        Self::Page(Box::new(response))
    }
}

impl From<ReconcileError> for DecisionAnswer {
    fn from(error: ReconcileError) -> Self {
        match error {
            ReconcileError::Refused(refusal) => Self::page(page::refused(&refusal)),
            ReconcileError::LinkUsed => Self::page(page::refused(&Refusal::LinkUsed { at: now() })),
            ReconcileError::NotFound => Self::page(page::refused(&Refusal::UnknownLink)),
            ReconcileError::AlreadyOpened | ReconcileError::Contended | ReconcileError::Table(_) => {
                Self::Internal(chain(&error))
            }
        }
    }
}

/// Shows the page after one consistent read, without any write.
async fn show(clients: &Clients, request: &Request) -> Result<Response, DecisionAnswer> {
    let secret = request.query("t").unwrap_or_default();
    let (subject, token) = open(clients, request, secret).await?;
    let place = PageAddress { path: request.raw_path(), secret };
    Ok(match may_decide(now(), &subject, &token.approver, Some(&token)) {
        Ok(()) => page::question(&subject, &token, place, None),
        Err(refusal) => {
            page::state_page(&subject, place, &PageState::refused(&subject, &token.approver, &refusal))
        }
    })
}

/// Returns the promotion's state as JSON for the page's script. Reads the same records as [`show`].
async fn status(clients: &Clients, request: &Request) -> Result<Response, DecisionAnswer> {
    let (subject, token) = open(clients, request, request.query("t").unwrap_or_default()).await?;
    let standing = match may_decide(now(), &subject, &token.approver, Some(&token)) {
        Ok(()) => PageState::now(&subject, &token.approver),
        Err(refusal) => PageState::refused(&subject, &token.approver, &refusal),
    };
    Ok(page::status(&subject, &standing))
}

/// The most attempts of a request, if other requests use the same link at the same moment.
const MOST_RACES: usize = 4;

async fn decide(
    clients: &Clients,
    request: &Request,
    deadline: Deadline,
) -> Result<Response, DecisionAnswer> {
    let form = request.form();
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let place = PageAddress { path: request.raw_path(), secret: field("t") };
    let reason = one_line::reason(field("reason"));
    let wrong = |status, message: String, field| page::FormProblem {
        status,
        message,
        field,
        reason: reason.as_deref().unwrap_or_default(),
    };
    for _ in 0..MOST_RACES {
        let (subject, token) = open(clients, request, place.secret).await?;
        let approver = token.approver.clone();
        let refused = |subject: &Subject, refusal: &Refusal| {
            page::state_page(subject, place, &PageState::refused(subject, &approver, refusal))
        };
        if let Err(refusal) = may_decide(now(), &subject, &approver, Some(&token)) {
            return Ok(refused(&subject, &refusal));
        }
        let asks_again =
            |wrong: page::FormProblem<'_>| Ok(page::question(&subject, &token, place, Some(&wrong)));
        let verdict = match field("decision") {
            "approve" => Verdict::Approve,
            "reject" => Verdict::Reject,
            _ => return asks_again(wrong(400, "choose Approve or Reject".to_owned(), Field::None)),
        };
        if verdict == Verdict::Reject && reason.is_none() {
            let message = "to reject, write a reason: the person who pushed will read it";
            return asks_again(wrong(400, message.to_owned(), Field::Reason));
        }
        let decision = Decision {
            approver: approver.clone(),
            verdict,
            reason: reason.clone(),
            actor: Actor::Link { approver: approver.clone() },
            form: Some(Form {
                token: token.clone(),
                code: Code::parse(field("code")).map(|code| code_hash(place.secret, &code)),
                typed: field("typed").to_owned(),
                facts: form.get("facts").cloned(),
            }),
        };
        let start = || Source::Subject(Box::new(subject.clone()));
        match reconcile(clients, start(), vec![Input::Decision(decision)], deadline).await {
            Ok(after) => return Ok(page::state_page(&after, place, &PageState::now(&after, &approver))),
            Err(ReconcileError::Refused(Refusal::WrongCode)) => {
                // The wrong code is counted before the response says that the code was wrong.
                let observed = vec![Input::WrongCode(token.clone())];
                match reconcile(clients, start(), observed, deadline).await {
                    Ok(_) => {}
                    Err(ReconcileError::LinkUsed) => continue,
                    Err(error) => return Err(error.into()),
                }
                let (subject, token) = open(clients, request, place.secret).await?;
                if token.is_burnt() {
                    return Ok(refused(&subject, &Refusal::LinkBurnt));
                }
                let left = MOST_WRONG_CODES - token.wrong_codes;
                let message =
                    format!("{}. After {left} more wrong codes, the link stops working", Refusal::WrongCode);
                let wrong = wrong(422, message, Field::Extra);
                return Ok(page::question(&subject, &token, place, Some(&wrong)));
            }
            Err(ReconcileError::Refused(refusal @ Refusal::NotTyped { .. })) => {
                return asks_again(wrong(422, refusal.to_string(), Field::Extra));
            }
            Err(ReconcileError::Refused(refusal @ Refusal::FactsChanged)) => {
                let (subject, token) = open(clients, request, place.secret).await?;
                let wrong = wrong(409, refusal.to_string(), Field::None);
                return Ok(page::question(&subject, &token, place, Some(&wrong)));
            }
            Err(ReconcileError::Refused(refusal)) => {
                let (subject, _) = open(clients, request, place.secret).await?;
                return Ok(refused(&subject, &refusal));
            }
            // Another request used the same link at the same moment. If that request decided, the
            // next attempt shows its decision. If that request had a wrong code, the next attempt
            // handles this form again.
            Err(ReconcileError::LinkUsed) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(DecisionAnswer::from(ReconcileError::Contended))
}

/// Reads the promotion that the path names, if the link belongs to this promotion. An unknown link
/// and an unknown promotion get the same response.
async fn open(
    clients: &Clients,
    request: &Request,
    secret: &str,
) -> Result<(Subject, Token), DecisionAnswer> {
    let unknown = || DecisionAnswer::page(page::refused(&Refusal::UnknownLink));
    let application = ApplicationName::parse(request.path("application")).map_err(|_| unknown())?;
    let environment = EnvironmentName::parse(request.path("environment")).map_err(|_| unknown())?;
    let promotion = OperationId::parse(request.path("promotion")).ok_or_else(unknown)?;
    let key = Key { application, environment, operation: OperationKey::Promotion(promotion) };
    let found = clients.table.subject(&key, Some(&token_hash(secret))).await;
    match found.map_err(|error| DecisionAnswer::Internal(chain(&error)))? {
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
