//! The console, which shows the state of all applications. A visitor needs a link that an IAM
//! caller has minted within the last hour. The console is read-only, except that a signed request
//! for a new link writes the hash of that link.

mod command;
mod page;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use stablepin_api_types::ConsoleLinkAnswer;
use stablepin_aws::dynamodb::{Cursor, Table};
use stablepin_aws::ecs::Ecs;
use stablepin_http::{Problem, Request, Response, json as answer, see_other};
use stablepin_reconciler::clock::now;
use stablepin_reconciler::errors::chain;
use stablepin_reconciler::{Secret, live, token_hash};
use stablepin_rules::application::{EnvironmentPolicy, ServiceName};
use stablepin_rules::name::{ApplicationName, EnvironmentName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::records::{ConsoleLink, Operation, Subject};

use crate::{AllowedResources, internal_error};
use page::{Environment, Found, LiveRow, Shown, Visit};

/// The time for which a link opens the console.
const OPEN_FOR: SignedDuration = SignedDuration::from_hours(1);

/// The cookie with the secret of the link. With the cookie, the secret stays out of the address and
/// the browser history.
///
/// `SameSite=Strict` would withhold the cookie after a click in a mail or a chat. `SameSite=Lax` is
/// safe, since no request with this cookie changes anything.
const COOKIE: &str = "stablepin-console";

/// The most applications on one page.
const MOST_APPLICATIONS: i32 = 10;

/// The number of recent promotions of an application in which the console looks for pending
/// promotions.
const MOST_PROMOTIONS: i32 = 30;

/// The most operations on one page.
const MOST_OPERATIONS: i32 = 20;

/// The number of an environment's newest pins that the console reads.
const MOST_PINS: i32 = 6;

/// The most services that one page reads from ECS. The rate limits of ECS apply to the whole
/// account, and rollbacks must not run out of calls.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html>
const MOST_SERVICES: usize = 20;

/// The longest time to read one service. The page shows a slower service as unreadable.
const READ_WITHIN: Duration = Duration::from_secs(4);

/// Handles the signed `POST /v1/console`: mints a link that opens the console any number of times
/// within an hour.
pub(crate) async fn mint(
    table: &Table,
    settings: &AllowedResources,
    request: &Request,
) -> Result<Response, Problem> {
    let by = request.signed_by()?.to_owned();
    let secret = Secret::mint().map_err(|error| {
        tracing::error!(request.id = request.id, "no random bytes: {error}");
        Problem::internal(&request.id, "no link could be created")
    })?;
    let link = ConsoleLink { hash: secret.hash(), by, expires_at: now() + OPEN_FOR };
    table.put_console_link(&link).await.map_err(|error| internal_error(request, &error))?;
    tracing::info!(principal = link.by, expires_at = %link.expires_at, "a link to the console was created");
    let url = format!("{}/console?t={}", settings.url, secret.reveal());
    Ok(answer(201, &ConsoleLinkAnswer { url, expires_at: link.expires_at }))
}

/// Handles `GET /console…`, always with a page. Unknown links and expired links get the same page.
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
            page::internal_error(&request.id)
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

/// Returns the cookie, which expires with its link. Browsers also accept `Secure` cookies from
/// `localhost`.
fn cookie(secret: &str, now: Timestamp, until: Timestamp) -> String {
    let left = until.duration_since(now).as_secs();
    format!("{COOKIE}={secret}; Path=/console; Max-Age={left}; HttpOnly; Secure; SameSite=Lax")
}

/// Renders one page of applications from the table's records. Only the page of a single application
/// reads ECS.
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
                    tracing::error!(application = %name, "the application cannot be shown: {}", chain(&error));
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

/// Renders one application: its history and its environments. With `?from=`, leaves out the
/// environments before the named environment. With `?before=`, renders only the operations before
/// the named operation. With `?ignored=`, renders only ignored pushes.
async fn application(
    table: &Table,
    ecs: &Ecs,
    settings: &AllowedResources,
    request: &Request,
    visit: Visit,
    name: &ApplicationName,
) -> Result<Response, Failed> {
    if let Some(from) = request.query("ignored") {
        return ignored_pushes(table, visit, name, from.parse().unwrap_or_default()).await;
    }
    let before = request.query("before").and_then(OperationId::parse);
    let from = request.query("from").and_then(|from| EnvironmentName::parse(from).ok());
    let (standing, promotions, history) = tokio::join!(
        table.standing(std::slice::from_ref(name)),
        table.promotions(name, MOST_PROMOTIONS, None),
        table.history(name, MOST_OPERATIONS, before),
    );
    let Some(Some(subjects)) = standing?.pop() else { return Ok(page::no_such_application(visit)) };
    let (promotions, history) = (promotions?, history?);
    let (mut environments, mut ignored) = (Vec::new(), Vec::new());
    if before.is_none() {
        let subjects = subjects?;
        if let Some(subject) = subjects.first() {
            let repository = &subject.configuration.application.repository;
            ignored = table.ignored_pushes(name, repository).await?;
        }
        let subjects = subjects.into_iter();
        let wanted = subjects.skip_while(|one| from.as_ref().is_some_and(|from| one.name != *from));
        // One more environment than fits, so that the page knows whether to link to the rest.
        let wanted = wanted.take(page::MOST_ENVIRONMENTS + 1);
        environments = wanted.map(|subject| environment(subject, &promotions.items)).collect();
        read_live(table, ecs, name, &mut environments).await?;
    }
    let older = history.next.is_some();
    let application = page::Application {
        name,
        environments: &environments,
        history: &history.items,
        older,
        ignored: &ignored,
    };
    Ok(page::application(visit, settings, &application))
}

async fn ignored_pushes(
    table: &Table,
    visit: Visit,
    name: &ApplicationName,
    from: usize,
) -> Result<Response, Failed> {
    let Some(configured) = table.configured(name).await? else { return Ok(page::no_such_application(visit)) };
    let pushes = table.ignored_pushes(name, &configured.repository).await?;
    Ok(page::ignored_pushes(visit, name, &pushes, from))
}

/// Reads the pins of the environments, and the images that their services run.
async fn read_live(
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
                tracing::warn!(%service, "the running images could not be read: {}", chain(&error));
                Found::Unreadable
            }
            Err(_) => {
                tracing::warn!(%service, "the running images could not be read in time");
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
