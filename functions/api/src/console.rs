//! The console: how everything stands, for whoever has a link that an IAM caller minted within the hour. Read only:
//! whatever is asked for here, the one thing that is ever written is a link's hash, and that by a signed request.

mod command;
mod page;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use stablepin_aws::dynamodb::{Cursor, Table};
use stablepin_aws::ecs::Ecs;
use stablepin_http::{Problem, Request, Response, json as answer, see_other};
use stablepin_reconciler::clock::now;
use stablepin_reconciler::errors::chain;
use stablepin_reconciler::{Secret, live, token_hash};
use stablepin_rules::application::{EnvironmentPolicy, ServiceName};
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::records::{ConsoleLink, Operation, OperationId, Subject};

use crate::{AllowedResources, ours};
use page::{Environment, Found, LiveRow, Shown, Visit};

/// How long a link opens the console.
const OPEN_FOR: SignedDuration = SignedDuration::from_hours(1);

/// Holds the link's secret once it was opened, so that it is in no address and no history. `Lax`: after a click in a mail
/// or a chat of another site, `Strict` would keep it from the very page that the link leads to; and nothing that is
/// asked for with it changes anything.
const COOKIE: &str = "stablepin-console";

/// How many applications one page has at most.
const MOST_APPLICATIONS: i32 = 10;

/// Of so many of an application's newest promotions it is told which are pending.
const MOST_PROMOTIONS: i32 = 30;

/// How many operations one page has at most.
const MOST_OPERATIONS: i32 = 20;

/// An environment's newest pins.
const MOST_PINS: i32 = 6;

/// ECS is asked about so many services for one page: its limits are the account's, and a rollback needs them more.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>
const MOST_SERVICES: usize = 20;

/// After which a service is shown as one that could not be read.
const READ_WITHIN: Duration = Duration::from_secs(4);

/// `POST /v1/console`, signed: a link that opens the console for an hour, as often as wanted.
pub(crate) async fn mint(
    table: &Table,
    settings: &AllowedResources,
    request: &Request,
) -> Result<Response, Problem> {
    let by = request.signed_by()?.to_owned();
    let secret = Secret::mint().map_err(|error| {
        tracing::error!(request.id = request.id, "no random bytes: {error}");
        Problem::internal(&request.id, "no link could be minted")
    })?;
    let link = ConsoleLink { hash: secret.hash(), by, expires_at: now() + OPEN_FOR };
    table.put_console_link(&link).await.map_err(|error| ours(request, &error))?;
    tracing::info!(principal = link.by, expires_at = %link.expires_at, "a link to the console was minted");
    let url = format!("{}/console?t={}", settings.url, secret.reveal());
    Ok(answer(201, &json!({ "url": url, "expires_at": link.expires_at })))
}

/// `GET /console…`: a page in any case. What is unknown, expired or not there at all looks the same.
pub(crate) async fn open(
    table: &Table,
    ecs: &Ecs,
    settings: &AllowedResources,
    request: &Request,
) -> Response {
    match visit(table, ecs, settings, request).await {
        Ok(response) => response,
        Err(error) => {
            let chain = chain(&*error);
            tracing::error!(request.id = request.id, "the console failed: {chain}");
            page::ours(&request.id)
        }
    }
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn visit(
    table: &Table,
    ecs: &Ecs,
    settings: &AllowedResources,
    request: &Request,
) -> Result<Response, Failed> {
    let (now, fresh) = (now(), request.query("t"));
    let Some(secret) = fresh.or_else(|| request.cookie(COOKIE)) else { return Ok(page::refused(settings)) };
    let link = table.console_link(&token_hash(secret)).await?;
    let Some(link) = link.filter(|link| now < link.expires_at) else { return Ok(page::refused(settings)) };
    if fresh.is_some() {
        return Ok(see_other("/console", cookie(secret, now, link.expires_at)));
    }
    let visit = Visit { now, until: link.expires_at };
    match request.path("application") {
        "" => overview(table, request, visit).await,
        name => match ApplicationName::parse(name) {
            Ok(name) => application(table, ecs, settings, request, visit, &name).await,
            Err(_) => Ok(page::no_such_application(visit)),
        },
    }
}

/// Gone when the link is worthless. Browsers take `Secure` from `localhost` too.
fn cookie(secret: &str, now: Timestamp, until: Timestamp) -> String {
    let left = until.duration_since(now).as_secs();
    format!("{COOKIE}={secret}; Path=/console; Max-Age={left}; HttpOnly; Secure; SameSite=Lax")
}

/// Every application, as the table knows it: ECS is asked on an application's own page.
async fn overview(table: &Table, request: &Request, visit: Visit) -> Result<Response, Failed> {
    let after = request.query("after").map(|after| Cursor(after.to_owned()));
    let names = table.applications(MOST_APPLICATIONS, after).await?;
    let (standing, promotions) = tokio::join!(
        table.standing(&names.items),
        join_all(names.items.iter().map(|name| table.promotions(name, MOST_PROMOTIONS, None)))
    );
    let shown =
        names.items.into_iter().zip(standing?).zip(promotions).filter_map(|((name, stands), open)| {
            let read = stands?.and_then(|subjects| Ok((subjects, open?.items)));
            let environments = match read {
                Ok((subjects, promotions)) => {
                    Some(subjects.into_iter().map(|subject| environment(subject, &promotions)).collect())
                }
                Err(error) => {
                    tracing::error!(application = %name, "it cannot be shown: {}", chain(&error));
                    None
                }
            };
            Some(Shown { name, environments })
        });
    Ok(page::overview(visit, &shown.collect::<Vec<_>>(), names.next.is_some()))
}

fn environment(subject: Subject, promotions: &[(EnvironmentName, Operation)]) -> Environment {
    let pending = page::pending(&subject.name, promotions);
    Environment { subject, pending, live: Vec::new(), pins: Vec::new() }
}

/// One application: its environments from the one that `?from=` names, or what happened before `?before=`.
async fn application(
    table: &Table,
    ecs: &Ecs,
    settings: &AllowedResources,
    request: &Request,
    visit: Visit,
    name: &ApplicationName,
) -> Result<Response, Failed> {
    let before = request.query("before").and_then(OperationId::parse);
    let from = request.query("from").and_then(|from| EnvironmentName::parse(from).ok());
    let (standing, promotions, history) = tokio::join!(
        table.standing(std::slice::from_ref(name)),
        table.promotions(name, MOST_PROMOTIONS, None),
        table.history(name, MOST_OPERATIONS, before),
    );
    let Some(Some(subjects)) = standing?.pop() else { return Ok(page::no_such_application(visit)) };
    let (promotions, history) = (promotions?, history?);
    let mut environments = Vec::new();
    if before.is_none() {
        let subjects = subjects?.into_iter();
        let wanted = subjects.skip_while(|one| from.as_ref().is_some_and(|from| one.name != *from));
        // One more, so that the page knows whether there are more.
        let wanted = wanted.take(page::MOST_ENVIRONMENTS + 1);
        environments = wanted.map(|subject| environment(subject, &promotions.items)).collect();
        look(table, ecs, name, &mut environments).await?;
    }
    let older = history.next.is_some();
    let application = page::Application { name, environments: &environments, history: &history.items, older };
    Ok(page::application(visit, settings, &application))
}

/// The pins of the environments, and what their services run.
async fn look(
    table: &Table,
    ecs: &Ecs,
    name: &ApplicationName,
    environments: &mut [Environment],
) -> Result<(), Failed> {
    let pins =
        join_all(environments.iter().map(|one| table.pins_page(name, &one.subject.name, MOST_PINS, None)));
    let services = environments.iter().enumerate().flat_map(|(at, one)| {
        let policy = one.subject.policy().into_iter();
        policy.flat_map(move |policy| policy.services.iter().map(move |service| (at, service, policy)))
    });
    let services: Vec<(usize, &ServiceName, &EnvironmentPolicy)> = services.collect();
    let read = async |index: usize, service: &ServiceName, policy: &EnvironmentPolicy| {
        if index >= MOST_SERVICES {
            return Found::NotRead;
        }
        match tokio::time::timeout(READ_WITHIN, live(ecs, service, policy)).await {
            Ok(Ok(tasks)) => Found::Tasks(tasks),
            Ok(Err(error)) => {
                tracing::warn!(%service, "what runs could not be read: {}", chain(&error));
                Found::Unreadable
            }
            Err(_) => {
                tracing::warn!(%service, "what runs could not be read in time");
                Found::Unreadable
            }
        }
    };
    let reads =
        services.iter().enumerate().map(|(index, &(_, service, policy))| read(index, service, policy));
    let (pins, found) = tokio::join!(pins, join_all(reads));
    let mut lives: BTreeMap<usize, Vec<LiveRow>> = BTreeMap::new();
    for ((at, service, _), found) in services.into_iter().zip(found) {
        lives.entry(at).or_default().push(LiveRow { service: service.clone(), found });
    }
    for (at, (one, pins)) in environments.iter_mut().zip(pins).enumerate() {
        one.pins = pins?.items;
        one.live = lives.remove(&at).unwrap_or_default();
    }
    Ok(())
}
