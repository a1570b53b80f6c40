//! Failures of a retention run. A run deletes nothing in an unreadable repository. The queue's next
//! message finishes an interrupted run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::thread;

use serde_json::{Value, json};
use stablepin_tests::crash::{Fault, ProgramRun};
use stablepin_tests::ecr_fake::{NewImage, StorageStatus};
use stablepin_tests::retention::{Retention, days_ago};
use stablepin_tests::runs_deep;
use stablepin_tests::sources_fake::{cluster, task_definition};
use xtask::image::Spec;
use xtask::podman::ECR_HOST;

/// The number of parallel runs. The programs and the emulator share one machine.
const SIDE_BY_SIDE: usize = 4;

/// The sampling interval of less important faults. Without `--deep`, the test tries only every
/// fourth of these faults.
const SAMPLED: usize = 4;

/// A repository for which a run makes every kind of call: two image indexes that share an image,
/// signatures, tagged and untagged images, and a service with a deployment in progress.
struct Story {
    at: Retention,
    /// The images that must exist at the end.
    stays: BTreeSet<String>,
    goes: usize,
}

impl Story {
    #[track_caller]
    fn begin(name: &str) -> Self {
        let at = Retention::begin(name, "mode = \"delete\"\nkeep = 5");
        let web = &at.web;
        let old = |name: &str| NewImage::named(name).pushed_at(days_ago(400)).layer("base", 50_000_000);
        let own = |name: &str| old(name).layer(name, 7_000);
        let [shared, one, two] = ["shared", "one", "two"].map(|name| web.put(own(name)));
        let kept = web.put(NewImage::index([&shared, &one]).tag("latest").pushed_at(days_ago(300)));
        let gone = web.put(NewImage::index([&shared, &two]).pushed_at(days_ago(300)));
        let signature = |of: &str| NewImage::cosign_signature(of).pushed_at(days_ago(300));
        let [signed, unsigned] = [&kept, &gone].map(|of| web.put(signature(of)));
        let unneeded = web.put_all((0..3).map(|number| own(&format!("unneeded {number}"))));
        let tagged = |number: i64| {
            let name = format!("tagged {number}");
            own(&name).tag(format!("t{number}")).pushed_at(days_ago(400 - number))
        };
        let tagged = web.put_all((0..6).map(tagged));
        let running = web.put(own("running"));
        let image = |digest: &str| format!("{ECR_HOST}/{}@{digest}", web.name());
        let service = at.ecs.service("prod/web").runs(&image(&running)).create();
        service.deploys_meanwhile(&image(&running));
        let ecs = json!({ "TaskDefinitionArn": task_definition("web") });
        at.sources.rule("default", "night", json!([{ "Arn": cluster("prod"), "EcsParameters": ecs }]));
        at.sources.schedule("night", json!({ "Arn": cluster("prod"), "EcsParameters": ecs }));
        at.sources.pipe("orders", &cluster("prod"), json!({ "EcsTaskParameters": ecs }));
        let queue = at.sources.job_queue("jobs");
        at.sources.job("waits", &queue, "RUNNABLE", json!({}));

        let mut stays: BTreeSet<String> = [kept, shared, one, signed, running].into();
        let mut goes: Vec<String> = [gone, two, unsigned].into();
        goes.extend(unneeded);
        // Retention keeps the newest five tagged images. One of the five is the image index.
        let (older, newer) = tagged.split_at(2);
        goes.extend(older.iter().cloned());
        stays.extend(newer.iter().cloned());
        // A reference by an operation that has ended does not protect its image.
        at.was_needed(&goes[0]);
        Self { stays, goes: goes.len(), at }
    }

    /// Asserts that exactly the unneeded images were deleted, and that no mark and no valid lease
    /// remains.
    #[track_caller]
    fn is_done(&self, what: &str) {
        let there: BTreeSet<String> = self.at.web.digests().into_iter().collect();
        assert_eq!(there, self.stays, "{what}");
        assert_eq!(self.at.marked(), Vec::<String>::new(), "{what}");
        assert_eq!(self.at.app.marks(), Vec::<Value>::new(), "{what}");
        // A program that is killed at its very end cannot release its lease, so the table may
        // contain an expired lease.
        let leases = self.at.app.retention_leases();
        assert!(leases.iter().all(|lease| lease["until"] == 0), "{what}: {leases:?}");
    }
}

/// Runs several cases at a time. The other cases continue after a failure, so that the test shows
/// all failures.
fn side_by_side<T: Send>(cases: impl IntoIterator<Item = T>, act: impl Fn(T) + Sync) {
    let cases = Mutex::new(cases.into_iter().collect::<Vec<_>>().into_iter());
    let next = || cases.lock().unwrap_or_else(PoisonError::into_inner).next();
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some(case) = next() {
                    act(case);
                }
            });
        }
    });
}

#[test]
fn run_deletes_unneeded_images_and_reports_exact_numbers() {
    let story = Story::begin("ret-whole");
    let before = story.at.web.layer_bytes();
    let run = story.at.runs();
    story.is_done("undisturbed");
    assert_eq!(run.in_repository()["state"], "Done");
    assert_eq!(run.number("deleted"), story.goes as u64);
    assert_eq!(run.number("freed_bytes"), before - story.at.web.layer_bytes());
    assert_eq!(run.in_repository()["freed_is_exact"], true);
}

/// Returns the number of requests before the first mark. The run saves the plan before it marks
/// images for deletion.
#[track_caller]
fn place_of_first_mark(requests: &[String]) -> usize {
    let kept = requests.iter().position(|request| request.contains("/plan.json")).expect("a plan is kept");
    let mark = requests[kept..].iter().position(|request| request == "UpdateItem");
    kept + mark.expect("the run marks images for deletion")
}

/// The requests that a run sends before it saves its plan, each with the problem that the run
/// reports if AWS refuses the request.
const READS: [(&str, &str); 33] = [
    ("Query", "the table's records of its images could not be read"),
    ("BatchGetItem", "the table's records of its images could not be read"),
    // These two requests remove references by operations that have ended.
    ("UpdateItem", "the table's records of its images could not be read"),
    ("DeleteItem", "the table's records of its images could not be read"),
    ("DescribeImages", "could not list the images of"),
    ("BatchGetImage", "the manifests of its indexes could not be read"),
    ("GetRegistryPolicy", "could not read the registry's policy"),
    ("GetRepositoryPolicy", "could not read the policy of"),
    ("GetLifecyclePolicy", "could not read the lifecycle policy of"),
    ("ListClusters", "which images ECS uses: could not list the clusters"),
    ("ListServices", "which images ECS uses: could not list the services of"),
    ("DescribeServices", "which images ECS uses: could not describe services of"),
    ("ListServiceDeployments", "which images ECS uses: could not list the service deployments of"),
    ("DescribeServiceDeployments", "which images ECS uses: could not describe service deployments"),
    ("DescribeServiceRevisions", "which images ECS uses: could not describe service revisions"),
    ("ListTasks", "which images ECS uses: could not list the tasks of"),
    ("DescribeTasks", "which images ECS uses: could not describe tasks of"),
    ("ListDaemons", "which images ECS uses: could not list the daemons of"),
    ("ListTaskDefinitionFamilies", "which images ECS uses: could not list the families of task definitions"),
    ("ListTaskDefinitions", "which images ECS uses: could not list the revisions of the task definition"),
    ("DescribeTaskDefinition", "which images ECS uses: could not describe the task definition"),
    ("ListFunctions", "which images Lambda uses"),
    ("ListEventBuses", "which images eventbridge uses"),
    ("ListRuleNamesByTarget", "which images eventbridge uses"),
    ("ListTargetsByRule", "which images eventbridge uses"),
    ("ListSchedules", "which images scheduler uses"),
    ("GetSchedule", "which images scheduler uses"),
    ("ListPipes", "which images pipes uses"),
    ("DescribePipe", "which images pipes uses"),
    ("DescribeJobDefinitions", "which images batch uses"),
    ("DescribeJobQueues", "which images batch uses"),
    ("ListJobs", "which images batch uses"),
    ("DescribeJobs", "which images batch uses"),
];

/// The other requests before the first mark: for the run's record, the run's lease, the saved
/// manifests and the plan.
const OTHERS: [&str; 3] = ["TransactWriteItems", "GetObject", "PutObject"];

/// Returns the operation of a request. Some AWS services have the operation's name in the path.
fn kind(request: &str) -> &str {
    match request {
        path if path.contains("/functions") => "ListFunctions",
        path => path.rsplit_once("x-id=").map_or(path, |(_, id)| id),
    }
}

#[test]
fn run_with_a_failed_read_names_the_read_and_deletes_nothing() {
    let good = Story::begin("ret-reads");
    let requests = good.at.begins(&json!({ "share": 100 })).comes(None).requests;
    let planned = place_of_first_mark(&requests);
    let asked: BTreeSet<&str> = requests[..planned].iter().map(|request| kind(request)).collect();
    let known: BTreeSet<&str> = READS.iter().map(|(read, _)| *read).chain(OTHERS).collect();
    assert_eq!(asked, known, "this repository needs every call that a run makes");
    let refused: Mutex<BTreeMap<String, BTreeSet<String>>> = Mutex::default();
    side_by_side(1..=planned, |number| {
        let story = Story::begin("ret-reads");
        let run = story.at.begins(&json!({ "share": 100 }));
        let there = story.at.web.digests();
        let came = run.comes(Some((number, Fault::Refuse)));
        let request = kind(&came.requests[number - 1]);
        let what = format!("{number}, {request}: {:#}", run.in_repository());
        let answer = came.answer.expect("the function was not killed");
        if run.in_repository()["state"] == "Done" {
            // The plan is complete. The refused read only affects the number of freed bytes.
            assert_eq!(
                (request, &run.in_repository()["freed_is_exact"]),
                ("BatchGetImage", &json!(false)),
                "{what}"
            );
            return story.is_done(&what);
        }
        assert_eq!((story.at.web.digests(), story.at.changes()), (there, 0), "{what}");
        assert_eq!(story.at.marked(), Vec::<String>::new(), "{what}");
        if run.in_repository()["state"] == "LeftAlone" {
            let mut refused = refused.lock().unwrap_or_else(PoisonError::into_inner);
            refused.entry(request.to_owned()).or_default().insert(run.problem());
        } else {
            // The queue delivers the message again.
            let again = answer["how"] == "failed, tried again later";
            assert!(again || answer["errorMessage"].is_string(), "{what} {answer:#}");
            assert!(!run.has_ended(), "{what}");
            story.at.leases_end();
            run.ends();
            story.is_done(&what);
        }
    });
    let refused = refused.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (read, words) in READS {
        let recorded = refused.get(read).unwrap_or_else(|| panic!("{read} was never refused: {refused:#?}"));
        assert!(
            recorded.iter().all(|recorded| recorded.contains(words) && recorded.contains("AccessDenied")),
            "{recorded:#?}"
        );
    }
    assert_eq!(refused.len(), READS.len(), "{refused:#?}");
}

#[test]
fn run_deletes_nothing_in_an_unreadable_repository() {
    let story = Story::begin("ret-denied");
    let there = story.at.web.digests();
    for read in ["DescribeImages", "BatchGetImage", "GetRepositoryPolicy", "GetLifecyclePolicy"] {
        story.at.ecr.keeps_failing(read, 1, 403, "AccessDeniedException");
        for _ in 0..2 {
            let run = story.at.runs();
            assert_eq!(run.in_repository()["state"], "LeftAlone", "{read}");
            assert!(run.problem().contains(read), "{}", run.problem());
        }
        assert_eq!((story.at.web.digests(), story.at.changes()), (there.clone(), 0), "{read}");
        story.at.ecr.is_well();
    }
    story.at.runs();
    story.is_done("every read succeeds");
}

#[test]
fn run_reads_the_repository_again_if_an_image_vanishes() {
    let story = Story::begin("ret-vanishes");
    let web = &story.at.web;
    let index = web.put(NewImage::index(story.stays.iter().take(1)).tag("quiet").pushed_at(days_ago(1)));
    let run = story.at.begins(&json!({ "share": 100 }));
    thread::scope(|scope| {
        let reads = story.at.ecr.pauses("BatchGetImage");
        let applies = scope.spawn(|| run.ends());
        reads.comes();
        web.loses(&index);
        reads.goes_on();
        applies.join().expect("the run ends");
    });
    assert_eq!((&run.in_repository()["state"], run.number("images")), (&json!("Done"), 17));
}

#[test]
fn run_deletes_all_unneeded_images_although_ecr_throttles() {
    let story = Story::begin("ret-throttled");
    story.at.ecr.has_pages_of(3);
    story.at.ecr.throttles_every(10);
    let run = story.at.runs();
    story.is_done("throttled");
    let throttled = story.at.ecr.calls().iter().filter(|call| call.status == 400).count();
    assert!(throttled >= 2, "{:?}", story.at.ecr.counts());
    assert_eq!((run.number("deleted"), &run.in_repository()["errors"]), (story.goes as u64, &json!({})));
}

/// Makes one request of a deleting run fail, and finishes the run with the next message. Returns
/// whether the fault happened.
fn cut_off(number: usize, fault: Fault) -> bool {
    let story = Story::begin("ret-killed");
    let before = story.at.web.layer_bytes();
    let run = story.at.begins(&json!({ "share": 100 }));
    let came = run.comes(Some((number, fault)));
    let what = format!("{number} {fault:?}: {:?}", came.requests);
    if !run.has_ended() {
        story.at.leases_end();
        run.ends();
    }
    story.at.leases_end();
    story.is_done(&what);
    let recorded = run.in_repository();
    let what = format!("{what} {recorded:#}");
    assert_eq!((&recorded["state"], run.number("deleted")), (&json!("Done"), story.goes as u64), "{what}");
    let freed = before - story.at.web.layer_bytes();
    match recorded["freed_is_exact"] == true {
        true => assert_eq!(run.number("freed_bytes"), freed, "{what}"),
        false => assert!(run.number("freed_bytes") >= freed, "{what}"),
    }
    // The attempts together saved exactly the manifests of the deleted images.
    let kept = run.manifests();
    assert_eq!(kept.len(), story.goes, "{what}");
    came.hit
}

#[test]
fn run_killed_at_any_request_leaves_no_mark() {
    let run = Story::begin("ret-counted");
    let requests = run.at.begins(&json!({ "share": 100 })).comes(None).requests;
    let mark = place_of_first_mark(&requests);
    // A kill before the first mark cannot do damage, so the test samples fewer of the requests
    // before the mark.
    let sampled = |number: &usize| {
        let step = if *number > mark { 2 } else { SAMPLED };
        runs_deep() || number.is_multiple_of(step)
    };
    let numbers: Vec<usize> = (1..=requests.len()).filter(sampled).collect();
    side_by_side(numbers, |number| {
        assert!(cut_off(number, Fault::KillBefore));
        if runs_deep() || number > mark {
            assert!(cut_off(number, Fault::KillAfter));
        }
    });
}

#[test]
fn next_message_finishes_a_run_after_a_failed_request() {
    let run = Story::begin("ret-counted");
    let requests = run.at.begins(&json!({ "share": 100 })).comes(None).requests;
    let mark = place_of_first_mark(&requests);
    let faults = [Fault::Refuse, Fault::Fail, Fault::ResetAfter, Fault::Throttle];
    // Without `--deep`, the test tries each fault at every fifth request.
    let step = if runs_deep() { 1 } else { faults.len() + 1 };
    let cases = (mark + 1..=requests.len()).flat_map(|number| faults.map(|fault| (number, fault)));
    let cases: Vec<_> =
        cases.enumerate().filter(|(at, _)| at.is_multiple_of(step)).map(|(_, case)| case).collect();
    side_by_side(cases, |(number, fault)| assert!(cut_off(number, fault)));
}

#[test]
fn run_without_permission_to_delete_leaves_no_mark() {
    for refused in ["BatchDeleteImage", "DescribeImages"] {
        let story = Retention::begin("ret-forbidden", "mode = \"delete\"");
        let image = story.web.put(NewImage::named("1").pushed_at(days_ago(400)));
        let run = story.begins(&json!({ "share": 100 }));
        // The first `DescribeImages` belongs to the plan.
        let number = if refused == "DescribeImages" { 2 } else { 1 };
        story.ecr.keeps_failing(refused, number, 400, "AccessDeniedException");
        let answer = run.comes(None).answer.expect("the function was not killed");
        assert_eq!(answer["how"], "failed, tried again later", "{answer:#}");
        assert_eq!(story.marked(), Vec::<String>::new());
        assert!(story.web.exists(&image) && !run.has_ended());
        story.ecr.is_well();
        assert_eq!((&run.ends()["state"], run.number("deleted")), (&json!("Done"), 1));
    }
}

#[test]
fn run_that_fails_too_often_ends_and_gives_the_reason() {
    let story = Retention::begin("ret-too-often", "mode = \"delete\"");
    let image = story.web.put(NewImage::named("1").pushed_at(days_ago(400)));
    let run = story.begins(&json!({ "share": 100 }));
    story.ecr.keeps_failing("BatchDeleteImage", 1, 400, "AccessDeniedException");
    run.comes_the_last_time();
    assert_eq!(run.in_repository()["state"], "Failed");
    assert!(run.problem().contains("BatchDeleteImage"), "{}", run.problem());
    assert!(story.web.exists(&image) && story.marked().is_empty());
}

#[test]
fn run_reports_a_pinned_image_that_vanished() {
    for meanwhile in [false, true] {
        let story = Retention::begin("ret-lost", "mode = \"delete\"");
        let pinned = story.app.pin("main", &Spec::new("1"));
        let old = story.web.put(NewImage::named("old").pushed_at(days_ago(400)));
        if !meanwhile {
            story.web.loses(&pinned);
        }
        let run = story.begins(&json!({ "share": 100 }));
        thread::scope(|scope| {
            let deletes = story.ecr.pauses("BatchDeleteImage");
            let applies = scope.spawn(|| run.ends());
            deletes.comes();
            if meanwhile {
                story.web.loses(&pinned);
            }
            deletes.goes_on();
            applies.join().expect("the run ends");
        });
        let recorded = run.in_repository();
        assert!(!story.web.exists(&old) && run.number("deleted") == 1, "{recorded:#}");
        if meanwhile {
            assert_eq!(recorded["state"], "Failed");
            let problem = run.problem();
            assert!(problem.contains("images that must exist") && problem.contains(&pinned), "{problem}");
        } else {
            assert_eq!(recorded["state"], "Done");
            let warnings = recorded["warnings"].to_string();
            assert!(
                warnings.contains(&pinned) && warnings.contains("is not in the repository"),
                "{warnings}"
            );
        }
    }
}

/// Kills a run that archives images, and finishes the run with the next message. Returns whether
/// the fault happened.
fn archived_and_cut_off(number: usize, fault: Fault) -> bool {
    let story = Retention::begin("ret-archiving", "mode = \"archive\"");
    let images = story.web.put_all((0..3).map(|n| NewImage::named(format!("{n}")).pushed_at(days_ago(400))));
    let run = story.begins(&json!({ "share": 100 }));
    let came = run.comes(Some((number, fault)));
    let what = format!("{number} {fault:?}: {:?}", came.requests);
    if !run.has_ended() {
        story.leases_end();
        run.ends();
    }
    assert!(images.iter().all(|image| story.web.status(image) == Some(StorageStatus::Archived)), "{what}");
    assert_eq!(run.number("archived"), 3, "{what} {:#}", run.in_repository());
    assert_eq!(story.app.marks(), Vec::<Value>::new(), "{what}");
    came.hit
}

#[test]
fn archiving_run_killed_at_any_request_leaves_no_mark() {
    let story = Retention::begin("ret-archiving", "mode = \"archive\"");
    story.web.put_all((0..3).map(|n| NewImage::named(format!("{n}")).pushed_at(days_ago(400))));
    let requests = story.begins(&json!({ "share": 100 })).comes(None).requests;
    let mark = place_of_first_mark(&requests);
    let step = if runs_deep() { 1 } else { 2 };
    side_by_side((mark + 1..=requests.len()).step_by(step), |number| {
        assert!(archived_and_cut_off(number, Fault::KillBefore));
        assert!(archived_and_cut_off(number, Fault::KillAfter));
    });
}

/// Kills a run that restores archived images, and finishes the run with the next message.
fn undone_and_cut_off(number: usize, fault: Fault) -> ProgramRun {
    let story = Retention::begin("ret-undoing", "mode = \"archive\"");
    let images = story.web.put_all((0..3).map(|n| NewImage::named(format!("{n}")).pushed_at(days_ago(400))));
    let archived = story.runs();
    let run = story.begins_of(&archived, "undo");
    let came = run.comes(Some((number, fault)));
    let what = format!("{number} {fault:?}: {:?}", came.requests);
    if !run.has_ended() {
        story.leases_end();
        run.ends();
    }
    assert!(images.iter().all(|image| story.web.status(image) == Some(StorageStatus::Activating)), "{what}");
    assert_eq!((run.number("restored"), &run.in_repository()["errors"]), (3, &json!({})), "{what}");
    assert_eq!(story.ecr.count("UpdateImageStorageClass"), 3 + 3, "{what}");
    came
}

#[test]
fn restore_killed_at_any_request_restores_every_image() {
    let requests = undone_and_cut_off(usize::MAX, Fault::KillBefore).requests.len();
    let step = if runs_deep() { 1 } else { 2 };
    side_by_side((1..=requests).step_by(step), |number| {
        assert!(undone_and_cut_off(number, Fault::KillBefore).hit);
        assert!(undone_and_cut_off(number, Fault::KillAfter).hit);
    });
}
