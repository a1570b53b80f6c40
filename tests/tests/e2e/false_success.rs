//! Known defects of other deployment tools, mostly failures that a tool reports as successes.
//! Stablepin must not have these defects.
//!
//! The comments link to the tools and to reports by their users.

use serde_json::{Value, json};
use stablepin_tests::ecs_fake::{DeploymentOutcome, Reported};
use stablepin_tests::{Plan, Release};
use xtask::image::{Spec, assemble, index};

/// A digest that belongs to no build.
const ELSE: &str = "sha256:eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee";

#[track_caller]
fn is_no_success(release: &Release, record: &Value, state: &str, why: &str) {
    assert_eq!(record["state"], state, "{record:#}");
    assert!(release.app.reason(record).contains(why), "{record:#}");
    assert_eq!(release.app.pins(), [(1, release.before.clone())], "the failed release is no pin");
    let stable = release.app.tag(&release.app.plan.stable_tag);
    assert_eq!(stable.as_ref(), Some(&release.before), "the stable tag was not moved");
}

#[track_caller]
fn is_a_success(release: &Release, record: &Value) {
    assert_eq!(record["state"], "Completed", "{record:#}");
    assert_eq!(release.app.pins().pop().map(|(_, digest)| digest), Some(release.digest.clone()));
}

/// <https://github.com/aws-actions/amazon-ecs-deploy-task-definition/issues/191>: ECS sends
/// `SERVICE_DEPLOYMENT_COMPLETED` at the end of its own rollback to the old version.
#[test]
fn circuit_breaker_rollback_does_not_count_as_success() {
    let release = Release::next(&["web"]).with(&["web"]);
    release.service("web").will(DeploymentOutcome::CrashesUntilTheBreaker);
    release.begin();
    release.settle();
    assert!(release.service("web").described()["deployments"][0]["rolloutState"] == "COMPLETED");
    release.hears();
    let record = release.ends();
    is_no_success(&release, &record, "RolledBack", "circuit breaker");
    release.runs("web", &release.before);
}

/// <https://github.com/aws-actions/amazon-ecs-deploy-task-definition/issues/191>: a service is
/// steady, but runs another person's deployment.
#[test]
fn deployment_by_another_person_does_not_count_as_success() {
    // Another person deploys at one of three moments: after ECS accepts Stablepin's deployment,
    // after that deployment succeeds but before the promoter reads the result, or while that
    // deployment bakes.
    for moment in ["accepted", "succeeded", "baking"] {
        let release = Release::next_with(&["web"], "bake = \"5m\"").with(&["web"]);
        if moment == "accepted" {
            let service = format!("{}/web", release.app.plan.cluster);
            let image = release.image(ELSE);
            // The promoter's first change to ECS registers a revision. Its second change updates
            // the service.
            release.ecs.after_change(2, move |ecs| drop(ecs.service(&service).deploys_meanwhile(&image)));
        }
        release.begin();
        if moment != "accepted" {
            release.settle();
            if moment == "baking" {
                let record = release.looks();
                assert_eq!(record["rollout"]["services"][0]["progress"]["state"], "proven", "{record:#}");
                release.rewrite("rollout.services[0].progress.at", "2026-01-01T00:00:00Z");
            }
            release.service("web").deploys_meanwhile(&release.image(ELSE));
        }
        let record = release.ends();
        is_no_success(&release, &record, "Failed", "replaced ours");
        release.runs("web", ELSE);
        assert_eq!(
            release.ecs.count("UpdateService"),
            1,
            "{moment}: the promoter does not replace the other deployment"
        );
    }
}

/// Another person deploys before the release updates the service. The release must not replace that
/// deployment, and must not roll the service back.
#[test]
fn release_does_not_replace_another_persons_deployment() {
    let release = Release::next(&["web"]).with(&["web"]);
    // The promoter has read the service, but the first attempt to register a revision fails.
    release.ecs.refuses_next("RegisterTaskDefinition", 400, "ClientException");
    let record = release.begin();
    assert_eq!(record["rollout"]["services"][0]["progress"]["state"], "waiting", "{record:#}");
    release.service("web").deploys_meanwhile(&release.image(ELSE));
    let record = release.ends();
    is_no_success(&release, &record, "Failed", "somebody else started a deployment meanwhile");
    release.runs("web", ELSE);
    assert_eq!(release.ecs.count("UpdateService"), 0);
}

/// <https://github.com/aws-actions/amazon-ecs-deploy-task-definition/issues/191>: if the desired
/// count is 0, the service is steady although no task runs.
#[test]
fn release_fails_if_a_service_is_scaled_to_zero() {
    for proven_before in [false, true] {
        let release = Release::next_with(&["web"], "bake = \"5m\"").with(&["web"]);
        release.begin();
        if proven_before {
            release.settle();
            let record = release.looks();
            assert_eq!(record["rollout"]["services"][0]["progress"]["state"], "proven", "{record:#}");
            release.rewrite("rollout.services[0].progress.at", "2026-01-01T00:00:00Z");
        }
        release.service("web").scales_to(0);
        let record = release.ends();
        is_no_success(&release, &record, "Failed", "not proven: the desired count");
    }
}

/// <https://github.com/fabfuel/ecs-deploy/issues/92>,
/// <https://github.com/aws/aws-cdk/issues/24372>: Terraform and CloudFormation deregister a
/// revision that they replace. ECS refuses an update to a deregistered revision.
#[test]
fn rollback_of_a_release_restores_a_deregistered_revision() {
    let release = Release::next(&["web"]);
    release
        .new_service("web")
        .circuit_breaker(false)
        .create()
        .will(DeploymentOutcome::CrashesUntilTheBreaker);
    let before = release.service("web").described()["taskDefinition"].as_str().expect("an ARN").to_owned();
    let definition = release.service("web").definition();
    release.begin();
    release.ecs.deregisters(&before);
    let record = release.ends();
    is_no_success(&release, &record, "RolledBack", "Every service was rolled back");
    release.runs("web", &release.before);
    assert_eq!(release.service("web").definition(), definition);
}

#[test]
fn rollback_to_the_pin_restores_its_deregistered_revision() {
    let release = Release::next(&["web"]).with(&["web"]);
    let record = release.runs_its_course();
    is_a_success(&release, &record);
    let proven = release.service("web").described()["taskDefinition"].as_str().expect("an ARN").to_owned();
    release.service("web").deploys_meanwhile(&release.image(ELSE));
    release.settle();
    release.ecs.deregisters(&proven);
    let run = release.ask_back("stable", None);
    assert_eq!(run.answer.expect("the function was not killed")["statusCode"], 202);
    let record = release.ends();
    is_a_success(&release, &record);
    release.runs("web", &release.digest);
    assert_ne!(release.service("web").described()["taskDefinition"], proven.as_str());
}

/// `DescribeTasks` accepts at most 100 tasks, and `ListTasks` returns at most 100.
#[test]
fn proof_checks_more_than_a_hundred_tasks() {
    let release = Release::next(&["web"]);
    release.new_service("web").desired(120).create();
    let record = release.runs_its_course();
    is_a_success(&release, &record);
    let progress = &record["rollout"]["services"][0]["progress"];
    assert_eq!((&progress["state"], &progress["tasks"]), (&json!("proven"), &json!(120)), "{record:#}");
}

#[test]
fn proof_finds_one_wrong_task_among_more_than_a_hundred() {
    let release = Release::next(&["web"]);
    release.new_service("web").desired(120).create();
    release.begin();
    release.settle();
    release.service("web").a_task_reports(&Reported::Digest(ELSE.to_owned()));
    let record = release.ends();
    is_no_success(&release, &record, "RolledBack", ELSE);
}

/// <https://github.com/fabfuel/ecs-deploy>, `EcsTaskDefinition.set_images`: `ecs-deploy --tag`
/// splits an image reference at the colon, although a port has a colon too.
#[test]
fn release_keeps_image_references_to_other_repositories() {
    let release = Release::next(&["web"]);
    let name = release.image("").trim_end_matches('@').to_owned();
    let repository = &release.app.plan.repository;
    let others = [
        format!("registry.example.com:5000/{repository}:1"),
        format!("localhost:5000/{repository}@{ELSE}"),
        format!("public.ecr.aws/team/{repository}:1@{ELSE}"),
        format!("{name}-sidecar:1"),
    ];
    // The container `migrate` names the same image by its tag instead of its digest.
    release.ecs.reports(&format!("{name}:main"), &Reported::Digest(release.before.clone()));
    let mut new = release.service("web").runs(&format!("{name}:v1@{}", release.before));
    new = new.container("migrate", &format!("{name}:main"));
    for (at, image) in others.iter().enumerate() {
        new = new.container(&format!("other-{at}"), image);
    }
    new.create();
    let record = release.runs_its_course();
    is_a_success(&release, &record);
    let images = release.service("web").images();
    assert_eq!(images[..2], [release.image(&release.digest), release.image(&release.digest)]);
    assert_eq!(images[2..], others);
}

/// <https://github.com/silinternational/ecs-deploy> drops fields of a task definition. Stablepin
/// must keep every field, even fields that AWS adds in the future.
#[test]
fn release_changes_only_the_image_of_a_task_definition() {
    let release = Release::next(&["web"]);
    let containers = json!([
        {
            "name": "web", "image": release.image(&release.before), "essential": true, "memory": 64,
            "environment": [{ "name": "TIER", "value": "production" }], "optionOfTomorrow": { "deep": [1, 2.5] },
        },
        { "name": "sidecar", "image": "sidecar:1", "essential": true, "memory": 64, "user": "1000:1000" },
    ]);
    let new = release.service("web").runs("unused").desired(2).with("containerDefinitions", containers);
    let new = new.with("memberOfTomorrow", json!({ "deep": [{ "x": null, "y": [] }, 2.5] }));
    let new = new.with("enableFaultInjection", json!(true)).with("pidMode", json!("task"));
    new.tag("team", "a").tag("aws:cloudformation:stack-name", "prod").create();
    let mut expected = release.service("web").definition();
    let record = release.runs_its_course();
    is_a_success(&release, &record);
    expected["containerDefinitions"][0]["image"] = json!(release.image(&release.digest));
    // Only AWS may set tags that begin with `aws:`, so the new revision lacks the tag of
    // CloudFormation.
    expected["tags"] = json!([{ "key": "team", "value": "a" }]);
    assert_eq!(release.service("web").definition(), expected);
}

/// The task definition revision that ran when Stablepin created the pin has an old sidecar image. A
/// rollback must keep the sidecar image that runs now.
#[test]
fn rollback_keeps_the_current_sidecar_image() {
    let release = Release::next(&["web"]).with(&["web"]);
    let record = release.runs_its_course();
    is_a_success(&release, &record);
    let mut other = release.service("web").definition();
    other["containerDefinitions"][0]["image"] = json!(release.image(ELSE));
    other["containerDefinitions"][1]["image"] = json!("sidecar:2");
    let other = release.ecs.registers(&other);
    release.service("web").deploys_revision_meanwhile(&other);
    release.settle();
    release.ask_back("stable", None);
    let record = release.ends();
    is_a_success(&release, &record);
    assert_eq!(release.service("web").images(), [release.image(&release.digest), "sidecar:2".to_owned()]);
}

/// A task may report no digest, for example in a simulated cloud. In that case, the container's
/// image reference proves which image runs: the reference contains the digest, and the runtime
/// checks the pulled image against that digest.
#[test]
fn image_reference_is_the_proof_if_a_task_reports_no_digest() {
    let release = Release::next(&["web"]).with(&["web"]);
    release.ecs.reports(&release.image(&release.digest), &Reported::Nothing);
    let record = release.runs_its_course();
    is_a_success(&release, &record);

    let (release, _) = for_two_platforms();
    release.new_service("web").create();
    release.ecs.reports(&release.image(&release.digest), &Reported::Nothing);
    let record = release.runs_its_course();
    is_a_success(&release, &record);
}

/// <https://github.com/aws/amazon-ecs-agent/issues/4094>: the health of the whole task may be
/// UNKNOWN for ever, so the proof must not depend on the health of the whole task.
#[test]
fn unknown_task_health_does_not_delay_a_release() {
    let check = json!({ "command": ["CMD-SHELL", "true"] });
    for (essential, sidecar, state) in [
        (json!({}), json!({ "essential": false, "healthCheck": check }), "Completed"),
        (json!({ "healthCheck": check }), json!({ "essential": true }), "Completed"),
    ] {
        let release = Release::next(&["web"]);
        let web = release.service("web").runs(&release.image(&release.before)).container_with(&essential);
        web.container("sidecar", "sidecar:1").container_with(&sidecar).create();
        let record = release.runs_its_course();
        assert_eq!(release.service("web").tasks().last().expect("a task")["healthStatus"], "UNKNOWN");
        assert_eq!(record["state"], state, "{record:#}");
    }
}

/// <https://github.com/aws/amazon-ecs-agent/issues/1021>,
/// <https://github.com/fabfuel/ecs-deploy/pull/222>: a task keeps running although one of its
/// containers has stopped.
#[test]
fn release_fails_if_a_container_exits_with_an_error() {
    for (exit_code, state) in [(1, "RolledBack"), (137, "RolledBack"), (0, "Completed")] {
        let release = Release::next(&["web"]);
        let image = release.image(&release.before);
        let web = release.service("web").runs(&image).container("sidecar", "sidecar:1");
        let web = web.container("worker", &image).container_with(&json!({ "essential": false })).create();
        release.begin();
        release.settle();
        web.a_container_ends("worker", exit_code, "OutOfMemoryError: Container killed due to memory usage");
        let record = release.ends();
        assert_eq!(record["state"], state, "{record:#}");
        let reason = release.app.reason(&record);
        let exit = format!("exited with {exit_code}: OutOfMemoryError");
        assert_eq!(reason.contains(&exit), exit_code != 0, "{record:#}");
    }
}

/// <https://github.com/hashicorp/terraform-provider-aws/issues/3035>,
/// <https://github.com/aws-actions/amazon-ecs-deploy-task-definition/pull/706>: ECS returns an old
/// revision with its lists in another order, and with defaults that nobody registered.
#[test]
fn release_succeeds_if_ecs_adds_defaults_to_a_revision() {
    let release = Release::next(&["web"]);
    let variable = |name: &str| json!({ "name": name, "value": name });
    let members = json!({
        "environment": [variable("LOG"), variable("TIER"), variable("CACHE")],
        "portMappings": [{ "containerPort": 8080 }, { "containerPort": 9090 }],
        "ulimits": [{ "name": "nofile", "softLimit": 1, "hardLimit": 2 }, { "name": "core", "softLimit": 0, "hardLimit": 0 }],
        "healthCheck": { "command": ["CMD-SHELL", "true"] },
    });
    let new = release.service("web").runs(&release.image(&release.before)).container_with(&members);
    new.container("sidecar", "sidecar:1").create();
    release.ecs.becomes_newer();
    let record = release.runs_its_course();
    is_a_success(&release, &record);
    let definition = release.service("web").definition();
    assert_eq!(
        definition["containerDefinitions"][1]["environment"][2],
        variable("LOG"),
        "ECS reversed the order"
    );
    assert_eq!(definition["enableFaultInjection"], false);
}

/// <https://github.com/fabfuel/ecs-deploy/issues/30>: the task has a second container, a proxy,
/// with an image of the same repository.
#[test]
fn release_changes_only_the_named_container() {
    let proxy = |release: &Release| {
        let new = release.service("web").runs(&release.image(&release.before));
        new.container("nginx", &release.image(ELSE)).create();
    };
    let release = Release::next(&["web"]);
    proxy(&release);
    let record = release.runs_its_course();
    is_no_success(&release, &record, "Failed", "such as container = \"web\"");
    assert_eq!(release.ecs.count("RegisterTaskDefinition") + release.ecs.count("UpdateService"), 0);

    let release = Release::next_by(&["web"], "verify = { bake = \"0s\" }\ncontainer = \"web\"");
    proxy(&release);
    let record = release.runs_its_course();
    is_a_success(&release, &record);
    assert_eq!(release.service("web").images(), [release.image(&release.digest), release.image(ELSE)]);
}

#[test]
fn rollback_is_refused_if_the_containers_run_different_images() {
    let release = Release::back(&["web"]);
    let new = release.service("web").runs(&release.image(&release.before));
    new.container("nginx", &release.image(ELSE)).create();
    let answer = release.ask_back("previous", None).answer.expect("the function was not killed");
    assert_eq!(answer["statusCode"], 409, "{answer:#}");
    assert!(answer["body"].as_str().is_some_and(|body| body.contains("its containers run different images")));
    assert_eq!(release.ecs.count("RegisterTaskDefinition") + release.ecs.count("UpdateService"), 0);
}

/// Returns a release of a build for two platforms, and the digests of the build's two images. The
/// approver already has the mail.
fn for_two_platforms() -> (Release, [String; 2]) {
    let app = Plan::new("platforms").services(["web"]).deployed("bake = \"0s\"").create_with_fakes();
    let children = ["amd64", "arm64"]
        .map(|platform| assemble(&Spec::new("1"), platform.as_bytes(), platform).expect("an image"));
    let digests = children.each_ref().map(|child| child.digest().to_owned());
    let digest = app.push_index("main", &index(children.to_vec()).expect("an index"));
    let link = app.link(&digest);
    (Release::of(app, &digest, ELSE, Some(&link)), digests)
}

/// The AWS documentation does not say whether a task reports the digest of the image index or of
/// the platform's image.
#[test]
fn task_may_report_the_image_index_or_the_platform_image() {
    let (release, children) = for_two_platforms();
    let web = release.new_service("web").create();
    release.ecs.reports(&release.image(&release.digest), &Reported::Digest(children[1].clone()));
    release.begin();
    release.settle();
    web.a_task_reports(&Reported::Digest(release.digest.clone()));
    let record = release.ends();
    is_a_success(&release, &record);

    let (release, _) = for_two_platforms();
    release.new_service("web").create();
    let other = "sha256:ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
    release.ecs.reports(&release.image(&release.digest), &Reported::Digest(other.to_owned()));
    let record = release.runs_its_course();
    assert_eq!(record["state"], "RolledBack", "{record:#}");
    assert!(release.app.pins().is_empty());
}
