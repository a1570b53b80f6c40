//! How runs begin, and who hears how they end.

use std::collections::BTreeSet;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use stablepin_aws::dynamodb::{CommitError, TableError};
use stablepin_reconciler::clock::now;
use stablepin_reconciler::errors::chain;
use stablepin_reconciler::mail;
use stablepin_rules::application::{Application, RetentionMode};
use stablepin_rules::audit::Actor;
use stablepin_rules::image::RepositoryName;
use stablepin_rules::name::ApplicationName;
use stablepin_rules::retention::run::{
    DEFAULT_SHARE, Purpose, RepositoryRun, Run, RunId, RunProgress, RunRequest, RunState,
};

use crate::message::hand_out;
use crate::{RetentionClients, RetentionError};

/// Over how many seconds a night's work is spread: SQS keeps a message back for 15 minutes at most.
const SPREAD_SECONDS: usize = 900;

/// How many applications are listed at once.
const PER_PAGE: i32 = 100;

/// How long a run may take. By then the queue has lost its messages.
const LONGEST: SignedDuration = SignedDuration::from_hours(48);

/// So many of an application's newest runs are looked at for one that nobody has ended.
const LOOKED_AT: i32 = 20;

/// One run for each application, and one message for each repository. The same night told of twice has the same runs. What
/// fails for one application keeps nothing from the others; its error comes at the end.
pub(crate) async fn nightly(clients: &RetentionClients, night: Timestamp) -> Result<usize, RetentionError> {
    // So that what is read here every night is not taken for use by those who look at pull times.
    if let Err(error) = clients.ecr.exclude_from_pull_times(&clients.role_arn).await {
        tracing::warn!("what retention reads counts as pulled: {}", chain(&error));
    }
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = clients.table.applications(PER_PAGE, after).await?;
        names.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let (mut begun, mut failed) = (0, None);
    for (place, name) in names.iter().enumerate() {
        let delay = place * SPREAD_SECONDS / names.len();
        match of_application(clients, name, night, delay).await {
            Ok(one) => begun += usize::from(one),
            Err(error) => {
                tracing::error!(application.name = %name, "its night did not begin: {}", chain(&error));
                failed = Some(error);
            }
        }
    }
    failed.map_or(Ok(begun), Err)
}

/// Whether it has a run.
async fn of_application(
    clients: &RetentionClients,
    name: &ApplicationName,
    night: Timestamp,
    delay: usize,
) -> Result<bool, RetentionError> {
    end_what_nobody_ended(clients, name).await?;
    let Some(application) = configured(clients, name).await? else {
        tracing::error!(application.name = %name, "it has no night: its file is not readable");
        return Ok(false);
    };
    let purpose = match application.retention.mode {
        RetentionMode::DryRun => Purpose::Plan,
        RetentionMode::Delete | RetentionMode::Archive => Purpose::Apply { plan_of: None },
    };
    let id = RunId::of_night(night, name);
    let asked = asked(&application, purpose, Actor::Stablepin, None, DEFAULT_SHARE);
    let run = match begin(clients, id, name, asked).await {
        Err(RetentionError::Run(CommitError::Lost)) => clients.table.run(name, id).await?,
        begun => Some(begun?),
    };
    let Some(run) = run else { return Ok(false) };
    hand_out(clients, &run, delay).await?;
    Ok(true)
}

/// A run whose messages were lost, by invocations that died, would be on its way for ever.
async fn end_what_nobody_ended(
    clients: &RetentionClients,
    name: &ApplicationName,
) -> Result<(), RetentionError> {
    for before in clients.table.runs(name, LOOKED_AT, None).await?.items {
        if before.ended_at.is_some() || now().duration_since(before.begun_at) < LONGEST {
            continue;
        }
        let (mut run, mut audit) = (before.clone(), Vec::new());
        let open = before.repositories.iter().filter(|(_, one)| !one.state.is_terminal());
        for repository in open.map(|(repository, _)| repository) {
            let problem = "it was cut off, and not taken up again: the next run looks at it anew".to_owned();
            let (after, records) = run.after(now(), repository, &RunProgress::Failed { problem });
            run = after;
            audit.extend(records);
        }
        match clients.table.update_run(&before, &run, &audit).await {
            Ok(_) | Err(CommitError::Lost) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// None: it is gone, or its file is not readable.
pub(crate) async fn configured(
    clients: &RetentionClients,
    name: &ApplicationName,
) -> Result<Option<Application>, TableError> {
    let stored = clients.table.application(name).await?;
    Ok(stored.and_then(|stored| Application::parse(&stored.text, None).ok()))
}

pub(crate) fn asked(
    application: &Application,
    purpose: Purpose,
    by: Actor,
    reason: Option<String>,
    share: u8,
) -> RunRequest {
    let environments = application.environments.iter().map(|environment| environment.repository.clone());
    let repositories: BTreeSet<RepositoryName> =
        environments.chain([application.repository.clone()]).collect();
    RunRequest { purpose, by, reason, share, repositories }
}

/// Writes it down. Its work has still to be handed out.
pub(crate) async fn begin(
    clients: &RetentionClients,
    id: RunId,
    application: &ApplicationName,
    asked: RunRequest,
) -> Result<Run, RetentionError> {
    let (run, audit) = Run::begin(id, application.clone(), asked, now());
    Ok(clients.table.put_run(&run, &audit).await?)
}

/// The run is as `after` says now. When it has ended, people are told, where there is something to tell. A mail that
/// cannot be sent holds nothing up: the run says it all.
pub(crate) async fn said(clients: &RetentionClients, before: &Run, after: &Run, repository: &RepositoryName) {
    if before.state().is_terminal() || !after.state().is_terminal() || !is_worth_a_mail(after) {
        return;
    }
    let told = mail::retention(after);
    let chat = told.chat.to_string();
    if let Err(error) =
        clients.sns.notify(&clients.topic_arn, &told.mail.subject, &chat, &told.mail.body).await
    {
        tracing::error!(
            run.id = %after.id,
            repository.name = %repository,
            "nobody was told of the run: {}",
            chain(&error)
        );
    }
}

/// Who asked for it hears of it. Else: what went, what went wrong, and once a week, on Mondays, what would go.
fn is_worth_a_mail(run: &Run) -> bool {
    let asked = run.by != Actor::Stablepin;
    let monday = run.begun_at.to_zoned(TimeZone::UTC).weekday() == Weekday::Monday;
    let went = |of: fn(&RepositoryRun) -> u64| run.repositories.values().any(|one| of(one) > 0);
    asked
        || run.state() != RunState::Completed
        || went(|one| one.deleted)
        || went(|one| one.archived)
        || (monday && went(|one| one.to_remove))
}
