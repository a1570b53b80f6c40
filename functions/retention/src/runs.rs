//! How runs begin, and who hears how they end.

use std::collections::BTreeSet;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;
use stablepin_aws::dynamodb::{TableError, uuid_v7};
use stablepin_core::application::{Application, RetentionMode};
use stablepin_core::audit::Actor;
use stablepin_core::image::RepositoryName;
use stablepin_core::name::ApplicationName;
use stablepin_core::retention::run::{Asked, DEFAULT_SHARE, Purpose, Run, RunId, RunState};
use stablepin_driver::clock::now;
use stablepin_driver::errors::chain;
use stablepin_driver::mail;

use crate::message::hand_out;
use crate::{Doors, RetentionError};

/// Over how many seconds a night's work is spread: SQS keeps a message back for 15 minutes at most.
const SPREAD_SECONDS: usize = 900;

/// How many applications are listed at once.
const PER_PAGE: i32 = 100;

/// One run for each application, and one message for each repository.
pub(crate) async fn nightly(doors: &Doors) -> Result<usize, RetentionError> {
    // So that what is read here every night is not taken for use by those who look at pull times.
    if let Err(error) = doors.ecr.exclude_from_pull_times(&doors.role_arn).await {
        tracing::warn!("what retention reads counts as pulled: {}", chain(&error));
    }
    let (mut runs, mut after) = (Vec::new(), None);
    loop {
        let page = doors.table.applications(PER_PAGE, after).await?;
        for name in page.items {
            let Some(application) = configured(doors, &name).await? else { continue };
            let purpose = match application.retention.mode {
                RetentionMode::DryRun => Purpose::Plan,
                RetentionMode::Delete | RetentionMode::Archive => Purpose::Apply { plan_of: None },
            };
            let by = Actor::Stablepin;
            runs.push(begin(doors, &application, purpose, by, None, DEFAULT_SHARE).await?);
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    hand_out(doors, &runs, SPREAD_SECONDS).await?;
    Ok(runs.len())
}

/// None: it is gone, or its file is not readable.
pub(crate) async fn configured(
    doors: &Doors,
    name: &ApplicationName,
) -> Result<Option<Application>, TableError> {
    let stored = doors.table.application(name).await?;
    Ok(stored.and_then(|stored| Application::parse(&stored.text, None).ok()))
}

/// Writes it down. Its work has still to be handed out.
pub(crate) async fn begin(
    doors: &Doors,
    application: &Application,
    purpose: Purpose,
    by: Actor,
    reason: Option<String>,
    share: u8,
) -> Result<Run, RetentionError> {
    let environments = application.environments.iter().map(|environment| environment.repository.clone());
    let repositories: BTreeSet<RepositoryName> =
        environments.chain([application.repository.clone()]).collect();
    let (at, id) = (now(), RunId::new(uuid_v7(now())));
    let asked = Asked { purpose, by, reason, share, repositories };
    let (run, audit) = Run::begin(id, application.name.clone(), asked, at);
    Ok(doors.table.put_run(&run, &audit).await?)
}

/// The run is as `after` says now. When it has ended, people are told, where there is something to tell. A mail that
/// cannot be sent holds nothing up: the run says it all.
pub(crate) async fn said(doors: &Doors, before: &Run, after: &Run, repository: &RepositoryName) {
    if before.state().is_terminal() || !after.state().is_terminal() || !is_worth_a_mail(after) {
        return;
    }
    let told = mail::retention(after);
    let chat = told.chat.to_string();
    if let Err(error) = doors.sns.notify(&doors.topic_arn, &told.mail.subject, &chat, &told.mail.body).await {
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
    let went = |of: fn(&stablepin_core::retention::run::RepositoryRun) -> u64| {
        run.repositories.values().any(|one| of(one) > 0)
    };
    asked
        || run.state() != RunState::Completed
        || went(|one| one.deleted)
        || went(|one| one.archived)
        || (monday && went(|one| one.to_remove))
}
