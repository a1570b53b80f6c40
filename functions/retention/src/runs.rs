//! Begins runs, and notifies people when runs end.

use std::collections::BTreeSet;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use stablepin_aws::dynamodb::{CommitError, TableError};
use stablepin_reconciler::clock::now;
use stablepin_reconciler::errors::chain;
use stablepin_retention_rules::run::{
    DEFAULT_SHARE, Purpose, RepositoryRun, Run, RunId, RunProgress, RunRequest, RunState,
};
use stablepin_rules::application::{Application, RetentionMode};
use stablepin_rules::audit::Actor;
use stablepin_rules::image::RepositoryName;
use stablepin_rules::name::ApplicationName;

use crate::mail::retention_notice;
use crate::message::hand_out;
use crate::{RetentionClients, RetentionError};

/// The number of seconds over which the messages of one night are spread. SQS delays a message by
/// at most 15 minutes.
const SPREAD_SECONDS: usize = 900;

/// The most applications on one page of the table.
const PER_PAGE: i32 = 100;

/// The longest duration of a run. After this time, the queue has dropped the run's messages.
const LONGEST: SignedDuration = SignedDuration::from_hours(48);

/// The number of recent runs of an application in which retention looks for abandoned runs.
const LOOKED_AT: i32 = 20;

/// Begins a run for each application, and sends one message for each repository. A second event of
/// the same night finds the runs of the first event. After an error, continues with the other
/// applications, and returns the error at the end.
pub(crate) async fn nightly(clients: &RetentionClients, night: Timestamp) -> Result<usize, RetentionError> {
    // ECR must not record retention's own reads as pulls, since people use pull times to find
    // unused images.
    if let Err(error) = clients.ecr.exclude_from_pull_times(&clients.role_arn).await {
        tracing::warn!("the reads of retention count as pulls: {}", chain(&error));
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
        match begin_night(clients, name, night, delay).await {
            Ok(one) => begun += usize::from(one),
            Err(error) => {
                tracing::error!(application.name = %name, "the nightly run did not start: {}", chain(&error));
                failed = Some(error);
            }
        }
    }
    failed.map_or(Ok(begun), Err)
}

/// Begins the application's run of this night, or finds the run that an earlier event has begun.
/// Returns whether there is such a run.
async fn begin_night(
    clients: &RetentionClients,
    name: &ApplicationName,
    night: Timestamp,
    delay: usize,
) -> Result<bool, RetentionError> {
    end_abandoned_runs(clients, name).await?;
    let Some(application) = configured(clients, name).await? else {
        tracing::error!(
            application.name = %name,
            "the nightly run did not start: the application's file is not readable"
        );
        return Ok(false);
    };
    let purpose = match application.retention.mode {
        RetentionMode::DryRun => Purpose::Plan,
        RetentionMode::Delete | RetentionMode::Archive => Purpose::Apply { plan_of: None },
    };
    let id = RunId::of_night(night, name);
    let asked = run_request(&application, purpose, Actor::Stablepin, None, DEFAULT_SHARE);
    let run = match begin(clients, id, name, asked).await {
        Err(RetentionError::Run(CommitError::Lost)) => clients.table.run(name, id).await?,
        begun => Some(begun?),
    };
    let Some(run) = run else { return Ok(false) };
    hand_out(clients, &run, delay).await?;
    Ok(true)
}

/// Ends abandoned runs. If an invocation crashes, the messages of its run may be lost, so that the
/// run would never end.
async fn end_abandoned_runs(
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
            let problem = "the run was interrupted and not continued: the next run starts again".to_owned();
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

/// Returns the application, or `None` if the application does not exist or its file is not
/// readable.
pub(crate) async fn configured(
    clients: &RetentionClients,
    name: &ApplicationName,
) -> Result<Option<Application>, TableError> {
    let stored = clients.table.application(name).await?;
    Ok(stored.and_then(|stored| Application::parse(&stored.text, None).ok()))
}

pub(crate) fn run_request(
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

/// Saves a new run. The caller must send the messages of the run.
pub(crate) async fn begin(
    clients: &RetentionClients,
    id: RunId,
    application: &ApplicationName,
    asked: RunRequest,
) -> Result<Run, RetentionError> {
    let (run, audit) = Run::begin(id, application.clone(), asked, now());
    Ok(clients.table.put_run(&run, &audit).await?)
}

/// Notifies people if the run has just ended and is worth a mail. If SNS fails, only logs the
/// error, since the run's record contains all facts.
pub(crate) async fn notify_end(
    clients: &RetentionClients,
    before: &Run,
    after: &Run,
    repository: &RepositoryName,
) {
    if before.state().is_terminal() || !after.state().is_terminal() || !is_worth_a_mail(after) {
        return;
    }
    let notice = retention_notice(after);
    let chat = notice.chat.to_string();
    if let Err(error) =
        clients.sns.notify(&clients.topic_arn, &notice.mail.subject, &chat, &notice.mail.body).await
    {
        tracing::error!(
            run.id = %after.id,
            repository.name = %repository,
            "the end of the run could not be notified: {}",
            chain(&error)
        );
    }
}

/// Returns whether a run is worth a mail. A run is worth a mail if a person started it, if it
/// failed, or if it removed images. On Mondays, a plan to remove images is enough.
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
