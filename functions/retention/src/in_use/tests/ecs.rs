//! Tests of the images that ECS uses.

use jiff::{SignedDuration, Timestamp};
use stablepin_tests::ecs_fake::{ControllerKind, DeploymentOutcome, Reported};

use super::fixtures::{AccountFake, by_of, digest, image, registers, tagged, used, without_ids};
use crate::in_use::{Account, InUseError, TaskDefinitions, Used, in_use};

fn is_send<T: Send>(_: &T) {}

/// Checks at compile time that a runtime may move the future between threads: `Send`.
#[expect(dead_code, reason = "it only has to compile")]
fn in_use_future_is_send(account: Account<'_>, cache: &mut TaskDefinitions) {
    is_send(&in_use(account, 3, Timestamp::MIN, Timestamp::MIN, cache));
}

#[tokio::test]
async fn steady_service_uses_images_of_its_revision_and_tasks() {
    let account = AccountFake::new();
    let web = account.ecs.service("prod/web").runs(&tagged("main")).container("proxy", &image(2)).create();
    account.ecs.reports(&tagged("main"), &Reported::Digest(digest(1).to_string()));
    web.advance();
    let found = without_ids(account.read().await.unwrap());
    let main = tagged("main");
    assert_eq!(
        found,
        [
            used("service prod/web, task definition web:1", &main, None),
            used("service prod/web, task definition web:1", &image(2), None),
            used("service revision … of prod/web", &main, Some(digest(1))),
            used("service revision … of prod/web", &image(2), Some(digest(2))),
            used("task … of service prod/web", &main, Some(digest(1))),
            used("task … of service prod/web", &image(2), Some(digest(2))),
            used("task definition web:1", &main, None),
            used("task definition web:1", &image(2), None),
        ]
    );
    assert_eq!(account.ecs.count("ListServiceDeployments"), 0, "no deployment is open");
    let calls =
        ["ListClusters", "ListServices", "DescribeServices", "DescribeServiceRevisions", "DescribeTasks"];
    assert!(calls.iter().all(|call| account.ecs.count(call) == 1));
    assert_eq!(account.ecs.count("ListTasks"), 2);
}

#[tokio::test]
async fn service_scaled_to_zero_still_uses_its_resolved_image() {
    let account = AccountFake::new();
    account.ecs.reports(&tagged("main"), &Reported::Digest(digest(1).to_string()));
    let web = account.ecs.service("prod/web").runs(&tagged("main")).create();
    web.scales_to(0);
    for _ in 0..5 {
        web.advance();
    }
    account.ecs.time_passes(jiff::SignedDuration::from_hours(2));
    let found = without_ids(account.read().await.unwrap());
    assert_eq!(by_of(&found, &digest(1)), ["service revision … of prod/web"], "{found:?}");
}

#[tokio::test]
async fn open_deployment_uses_source_and_target_revisions() {
    let account = AccountFake::new();
    for (tag, digit) in [("one", 1), ("two", 2), ("three", 3)] {
        account.ecs.reports(&tagged(tag), &Reported::Digest(digest(digit).to_string()));
    }
    let web = account.ecs.service("prod/web").runs(&tagged("one")).circuit_breaker(true).create();
    web.deploys_meanwhile(&tagged("two"));
    let found = without_ids(account.read().await.unwrap());
    assert!(account.ecs.count("ListServiceDeployments") == 1);
    assert!(account.ecs.count("DescribeServiceDeployments") == 1);
    assert!(by_of(&found, &digest(1)).contains(&"service revision … of prod/web"), "{found:?}");
    for _ in 0..5 {
        web.advance();
    }
    let found = without_ids(account.read().await.unwrap());
    assert!(by_of(&found, &digest(2)).contains(&"service revision … of prod/web"), "{found:?}");

    // The next deployment fails, and ECS rolls back to the last successful revision.
    web.will(DeploymentOutcome::CrashesUntilTheBreaker);
    web.deploys_meanwhile(&tagged("three"));
    web.advance();
    account.cache.take();
    let found = without_ids(account.read().await.unwrap());
    assert!(by_of(&found, &digest(2)).contains(&"service revision … of prod/web"), "{found:?}");
    let named: Vec<_> = found.iter().filter(|one| one.image == Some(tagged("three"))).collect();
    assert!(!named.is_empty());
}

#[tokio::test]
async fn codedeploy_service_uses_images_of_its_task_sets() {
    let account = AccountFake::new();
    account.ecs.service("prod/blue").runs(&image(1)).controller(ControllerKind::CodeDeploy).create();
    let found = account.read().await.unwrap();
    assert!(found.contains(&used("service prod/blue, task definition blue:1", &image(1), None)), "{found:?}");
    assert_eq!(account.ecs.count("ListServiceDeployments"), 0);
}

#[tokio::test]
async fn stopped_task_still_uses_its_image() {
    let account = AccountFake::new();
    let web = account.ecs.service("prod/web").runs(&image(1)).create();
    web.scales_to(0);
    for _ in 0..5 {
        web.advance();
    }
    let found = without_ids(account.read().await.unwrap());
    assert!(by_of(&found, &digest(1)).contains(&"task … of service prod/web"), "{found:?}");
}

#[tokio::test]
async fn three_newest_active_revisions_of_a_family_are_in_use() {
    let account = AccountFake::new();
    for digit in 1..=5 {
        registers(&account.ecs, "job", digit);
    }
    registers(&account.ecs, "job-of-another-family", 6);
    account.ecs.deregisters("job:4");
    let found = account.read().await.unwrap();
    let expected = [
        used("task definition job-of-another-family:1", &image(6), None),
        used("task definition job:2", &image(2), None),
        used("task definition job:3", &image(3), None),
        used("task definition job:5", &image(5), None),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn cache_reads_task_definitions_once_and_drops_unused_entries() {
    let account = AccountFake::new();
    for digit in 1..=4 {
        registers(&account.ecs, "job", digit);
    }
    let first = account.read().await.unwrap();
    assert_eq!(account.ecs.count("DescribeTaskDefinition"), 3);
    assert_eq!(account.read().await.unwrap(), first);
    assert_eq!(account.ecs.count("DescribeTaskDefinition"), 3);
    registers(&account.ecs, "job", 5);
    account.read().await.unwrap();
    assert_eq!(account.ecs.count("DescribeTaskDefinition"), 4);
    assert_eq!(account.cache.borrow().images.len(), 3);
    assert!(account.cache.borrow().images.keys().all(|arn| !arn.ends_with("/job:2")));
}

#[tokio::test]
async fn dry_runs_share_the_list_of_revisions_for_ten_minutes() {
    let account = AccountFake::new();
    registers(&account.ecs, "job", 1);
    let web = account.ecs.service("prod/web").runs(&image(2)).create();
    let night: Timestamp = "2026-11-21T02:00:00Z".parse().unwrap();
    let minute = |number| night + SignedDuration::from_mins(number);
    let by_name = |used: &[Used], digit| {
        used.iter().any(|one| one.by.starts_with("task definition job") && one.image == Some(image(digit)))
    };
    let first = account.read_for(night, minute(1)).await.unwrap();
    let families = || account.ecs.count("ListTaskDefinitionFamilies");
    assert_eq!(families(), 1);

    registers(&account.ecs, "job", 3);
    web.deploys_meanwhile(&image(4));
    let next = account.read_for(night, minute(10)).await.unwrap();
    assert_eq!((families(), by_name(&first, 1), by_name(&next, 3)), (1, true, false));
    let brings =
        |used: &[Used]| used.iter().any(|one| one.by.starts_with("service") && one.image == Some(image(4)));
    assert_eq!((brings(&first), brings(&next)), (false, true), "the images of services are read each time");

    let asked_later = account.read_for(minute(2), minute(10)).await.unwrap();
    assert_eq!((families(), by_name(&asked_later, 3)), (2, true));
    account.read_for(night, minute(19)).await.unwrap();
    assert_eq!(families(), 2);
    account.read_for(night, minute(20)).await.unwrap();
    assert_eq!(families(), 3, "the families are read again after ten minutes");
}

#[tokio::test]
async fn services_and_tasks_are_described_in_batches() {
    let account = AccountFake::new();
    for number in 0..45 {
        account.ecs.service(&format!("prod/web-{number}")).runs(&image(1)).create();
    }
    let found = account.read().await.unwrap();
    assert_eq!(by_of(&found, &digest(1)).len(), 90, "45 tasks and 45 revisions");
    for (call, count) in [
        ("ListServices", 1),
        ("DescribeServices", 5),
        ("DescribeTasks", 1),
        ("DescribeServiceRevisions", 3),
        ("ListServiceDeployments", 0),
        ("ListTaskDefinitionFamilies", 1),
    ] {
        assert_eq!(account.ecs.count(call), count, "{call}");
    }
}

#[tokio::test]
async fn failed_read_names_the_failed_call() {
    for call in [
        "ListClusters",
        "ListServices",
        "DescribeServices",
        "ListServiceDeployments",
        "DescribeServiceDeployments",
        "DescribeServiceRevisions",
        "ListTasks",
        "DescribeTasks",
        "ListDaemons",
        "ListTaskDefinitionFamilies",
        "ListTaskDefinitions",
        "DescribeTaskDefinition",
    ] {
        for (code, retryable) in [("AccessDeniedException", false), ("ThrottlingException", true)] {
            // With an open deployment, the read makes every call. Each case has its own fake, since
            // other calls may still run after a failure.
            let account = AccountFake::new();
            let web = account.ecs.service("prod/web").runs(&image(1)).create();
            web.deploys_meanwhile(&image(2));
            account.ecs.refuses_next(call, 400, code);
            let failed = account.read().await.expect_err(call);
            assert_eq!(failed.to_string(), "it is not known which images ECS uses");
            let source = std::error::Error::source(&failed).unwrap().to_string();
            assert!(source.starts_with("could not ") && source.ends_with(&format!(" ({call})")), "{source}");
            assert_eq!(failed.is_retryable(), retryable, "{call}");
        }
    }
}

#[tokio::test]
async fn read_fails_if_ecs_cannot_describe_a_service() {
    let account = AccountFake::new();
    account.ecs.service("prod/web").runs(&image(1)).create().is_unreachable();
    let failed = account.read().await.unwrap_err();
    assert!(matches!(failed, InUseError::Ecs(_)), "{failed}");
    assert!(!failed.is_retryable());
}

#[tokio::test]
async fn empty_account_uses_no_image() {
    let account = AccountFake::new();
    account.ecs.cluster("empty");
    assert_eq!(account.read().await.unwrap(), []);
}
