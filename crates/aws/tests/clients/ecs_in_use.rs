//! Tests requests, paging and incomplete responses of the calls that read a whole account.

use serde_json::{Value, json};
use stablepin_aws::call::CallError;
use stablepin_aws::ecs::{Ecs, NamedImage, ServiceDeploymentStatus, Wanted};
use stablepin_aws::session::Session;
use stablepin_rules::image::ImageDigest;

use crate::wire::{Answer, Wire, chain, error, error_of, ok};

const CLUSTER: &str = "arn:aws:ecs:eu-west-1:111122223333:cluster/prod";

fn client(wire: &Wire) -> Ecs {
    Ecs::patient(&wire.session())
}

fn arn(resource: &str) -> String {
    format!("arn:aws:ecs:eu-west-1:111122223333:{resource}")
}

fn arns(resources: &[&str]) -> Vec<String> {
    resources.iter().map(|resource| arn(resource)).collect()
}

fn digest(byte: &str) -> ImageDigest {
    ImageDigest::parse(&format!("sha256:{}", byte.repeat(32))).unwrap()
}

/// Calls one of the list operations.
async fn list(wire: &Wire, call: &str) -> Result<Vec<String>, CallError> {
    let client = client(wire);
    match call {
        "ListClusters" => client.clusters().await,
        "ListServices" => client.service_arns(CLUSTER).await,
        "ListTasks" => client.task_arns(CLUSTER, Wanted::Stopped).await,
        "ListTaskDefinitionFamilies" => client.task_definition_families().await,
        "ListTaskDefinitions" => client.newest_task_definitions("web", 3).await,
        "ListServiceDeployments" => {
            let all = client.all_service_deployments(CLUSTER, "web").await?;
            Ok(all.into_iter().map(|one| one.arn).collect())
        }
        "ListDaemons" => client.daemon_arns(CLUSTER).await,
        other => panic!("{other} is not a list operation"),
    }
}

fn lists() -> [(&'static str, &'static str, Value); 7] {
    [
        ("ListClusters", "clusterArns", json!({"maxResults": 100})),
        ("ListServices", "serviceArns", json!({"cluster": CLUSTER, "maxResults": 100})),
        ("ListTasks", "taskArns", json!({"cluster": CLUSTER, "desiredStatus": "STOPPED", "maxResults": 100})),
        ("ListTaskDefinitionFamilies", "families", json!({"status": "ACTIVE", "maxResults": 100})),
        (
            "ListTaskDefinitions",
            "taskDefinitionArns",
            json!({"familyPrefix": "web", "status": "ACTIVE", "sort": "DESC", "maxResults": 3}),
        ),
        (
            "ListServiceDeployments",
            "serviceDeployments",
            json!({"cluster": CLUSTER, "service": "web", "maxResults": 100}),
        ),
        ("ListDaemons", "daemonSummariesList", json!({"clusterArn": CLUSTER, "maxResults": 100})),
    ]
}

/// Returns an entry of the operation's list, and the name that the client reads from this entry.
fn entry(call: &str, number: usize) -> (Value, String) {
    let name = match call {
        "ListTaskDefinitionFamilies" => format!("family-{number}"),
        "ListTaskDefinitions" => arn(&format!("task-definition/web:{number}")),
        _ => arn(&format!("thing/{number}")),
    };
    let value = match call {
        "ListServiceDeployments" => json!({"serviceDeploymentArn": name, "status": "SUCCESSFUL"}),
        "ListDaemons" => json!({"daemonArn": name, "status": "ACTIVE"}),
        _ => json!(name),
    };
    (value, name)
}

#[tokio::test]
async fn client_reads_all_pages_of_a_list() {
    for (call, member, sent) in lists() {
        let page = |number: usize| json!({member: [entry(call, number).0]});
        let mut first = page(1);
        first["nextToken"] = "two".into();
        let wire = Wire::answering([ok(first), ok(page(2))]);
        let found = list(&wire, call).await.unwrap();
        assert_eq!(found, [entry(call, 1).1, entry(call, 2).1], "{call}");
        assert_eq!(wire.operations(), [call, call]);
        assert_eq!(wire.requests()[0].json(), sent, "{call}");
        assert_eq!(wire.requests()[1].json()["nextToken"], "two", "{call}");

        let wire = Wire::answering([ok(json!({}))]);
        assert_eq!(list(&wire, call).await.unwrap(), Vec::<String>::new(), "{call}");
    }
}

#[tokio::test]
async fn incomplete_list_is_an_error() {
    for (call, member, _) in lists() {
        let page = |token: &str| ok(json!({member: [], "nextToken": token}));
        let wire = Wire::answering([page("two"), error(400, "AccessDeniedException")]);
        let failed = list(&wire, call).await.expect_err(call);
        assert!(!failed.is_retryable(), "{failed}");
        assert!(failed.to_string().contains(call), "{failed}");
        assert!(chain(&failed).contains("AccessDeniedException"), "{failed}");

        let wire = Wire::answering([page("two"), page("three"), page("two"), page("three")]);
        let failed = list(&wire, call).await.expect_err(call);
        assert!(chain(&failed).ends_with("the list does not end") && !failed.is_retryable(), "{failed}");
        assert_eq!(wire.requests().len(), 3);

        let wire = Wire::answering([error(500, "ServerException")]);
        assert!(list(&wire, call).await.expect_err(call).is_retryable());
    }
}

#[tokio::test]
async fn deleted_cluster_has_empty_lists() {
    for call in ["ListServices", "ListTasks", "ListDaemons"] {
        let wire = Wire::answering([error(400, "ClusterNotFoundException")]);
        assert_eq!(list(&wire, call).await.unwrap(), Vec::<String>::new(), "{call}");
    }
}

#[tokio::test]
async fn unsupported_call_returns_an_empty_list() {
    for call in ["ListServiceDeployments", "ListDaemons"] {
        for code in ["UnsupportedFeatureException", "InvalidAction"] {
            let wire = Wire::answering([error(400, code)]);
            assert_eq!(list(&wire, call).await.unwrap(), Vec::<String>::new(), "{call}");
        }
    }
}

#[tokio::test]
async fn newest_revisions_exclude_other_task_definition_families() {
    let of = |names: &[&str], token: Option<&str>| {
        let arns: Vec<_> = names.iter().map(|name| arn(&format!("task-definition/{name}"))).collect();
        ok(json!({"taskDefinitionArns": arns, "nextToken": token}))
    };
    let wire = Wire::answering([of(&["web:9", "web:8", "web:7"], Some("more"))]);
    let found = client(&wire).newest_task_definitions("web", 3).await.unwrap();
    assert_eq!(found, arns(&["task-definition/web:9", "task-definition/web:8", "task-definition/web:7"]));
    assert_eq!(wire.requests().len(), 1, "the first page is enough");

    // An emulator may treat the name of the task definition family as a prefix.
    let wire =
        Wire::answering([of(&["web-worker:3", "web-worker:2", "web:9"], Some("two")), of(&["web:8"], None)]);
    let found = client(&wire).newest_task_definitions("web", 3).await.unwrap();
    assert_eq!(found, arns(&["task-definition/web:9", "task-definition/web:8"]));
}

fn service(members: Value) -> Value {
    let mut service = json!({
        "serviceArn": arn("service/prod/web"), "serviceName": "web", "status": "ACTIVE",
        "taskDefinition": arn("task-definition/web:3"),
        "deployments": [
            {"id": "ecs-svc/1", "status": "PRIMARY", "taskDefinition": arn("task-definition/web:3"),
             "rolloutState": "COMPLETED"},
        ],
        "currentServiceRevisions": [{"arn": arn("service-revision/prod/web/1"), "requestedTaskCount": 0}],
    });
    for (name, value) in members.as_object().unwrap() {
        service[name] = value.clone();
    }
    service
}

async fn described(members: Value) -> stablepin_aws::ecs::ServiceInUse {
    let wire = Wire::answering([ok(json!({"services": [service(members)], "failures": []}))]);
    let mut found = client(&wire).services_in_use(CLUSTER, &arns(&["service/prod/web"])).await.unwrap();
    assert_eq!(wire.request().json(), json!({"cluster": CLUSTER, "services": [arn("service/prod/web")]}));
    found.remove(0)
}

#[tokio::test]
async fn service_in_use_includes_all_task_definitions() {
    let settled = described(json!({})).await;
    assert!(settled.is_settled && settled.by_ecs);
    assert_eq!(settled.revisions, [arn("service-revision/prod/web/1")].into());
    assert_eq!(settled.task_definitions, [arn("task-definition/web:3")].into());

    let deployment = |revision: u32, state: &str| {
        json!({"id": "ecs-svc/2", "status": "ACTIVE", "rolloutState": state,
        "taskDefinition": arn(&format!("task-definition/web:{revision}"))})
    };
    let two =
        described(json!({"deployments": [deployment(4, "IN_PROGRESS"), deployment(3, "COMPLETED")]})).await;
    assert!(!two.is_settled);
    assert_eq!(
        two.task_definitions,
        arns(&["task-definition/web:3", "task-definition/web:4"]).into_iter().collect()
    );

    let set = json!({"id": "ecs-svc/3", "taskDefinition": arn("task-definition/web:5")});
    let external = json!({"taskDefinition": null, "deployments": [], "currentServiceRevisions": [],
        "deploymentController": {"type": "EXTERNAL"}, "taskSets": [set]});
    let external = described(external).await;
    assert!(!external.by_ecs && !external.is_settled);
    assert_eq!(external.task_definitions, [arn("task-definition/web:5")].into());

    for unsettled in [
        json!({"deployments": [deployment(3, "IN_PROGRESS")]}),
        json!({"deployments": [deployment(3, "FAILED")]}),
        json!({"deployments": []}),
        json!({"currentServiceRevisions": []}),
        json!({"currentServiceRevisions": [{"arn": "one"}, {"arn": "two"}]}),
        json!({"deploymentController": {"type": "CODE_DEPLOY"}}),
    ] {
        assert!(!described(unsettled.clone()).await.is_settled, "{unsettled}");
    }
}

#[tokio::test]
async fn client_omits_only_missing_services() {
    let asked = arns(&["service/prod/web", "service/prod/gone"]);
    let answer = |failures: Value| ok(json!({"services": [service(json!({}))], "failures": failures}));
    let wire = Wire::answering([answer(json!([{"arn": arn("service/prod/gone"), "reason": "MISSING"}]))]);
    assert_eq!(client(&wire).services_in_use(CLUSTER, &asked).await.unwrap().len(), 1);

    for failures in [
        json!([]),
        json!([{"arn": arn("service/prod/gone"), "reason": "ACCESS"}]),
        json!([{"arn": arn("service/prod/other"), "reason": "MISSING"}]),
        json!([{"reason": "MISSING"}]),
    ] {
        let wire = Wire::answering([answer(failures.clone())]);
        let failed = client(&wire).services_in_use(CLUSTER, &asked).await.unwrap_err();
        assert!(chain(&failed).contains("(DescribeServices): ECS left "), "{failures}: {failed}");
    }
    let wire = Wire::answering([ok(json!({"services": [service(json!({"deployments": [{"id": "x"}]}))]}))]);
    let failed = client(&wire).services_in_use(CLUSTER, &asked[..1]).await.unwrap_err();
    assert!(chain(&failed).ends_with("no valid deployments"), "{failed}");
}

fn task(container: Value) -> Value {
    json!({
        "taskArn": arn("task/prod/01"), "taskDefinitionArn": arn("task-definition/web:3"),
        "group": "service:web", "lastStatus": "RUNNING", "containers": [container],
    })
}

#[tokio::test]
async fn task_in_use_has_image_and_pulled_digest() {
    let asked = arns(&["task/prod/01", "task/prod/02"]);
    let container =
        json!({"name": "web", "image": "111.example/web:main", "imageDigest": digest("ab").as_str()});
    let missing = json!([{"arn": arn("task/prod/02"), "reason": "MISSING"}]);
    let wire = Wire::answering([ok(json!({"tasks": [task(container)], "failures": missing}))]);
    let found = client(&wire).tasks_in_use(CLUSTER, &asked).await.unwrap();
    assert_eq!((found.len(), found[0].group.as_deref()), (1, Some("service:web")));
    let image = NamedImage { image: Some("111.example/web:main".to_owned()), digest: Some(digest("ab")) };
    assert_eq!(found[0].images, [image]);
    assert_eq!(wire.request().json(), json!({"cluster": CLUSTER, "tasks": asked}));

    let pending = json!({"name": "web", "image": "111.example/web:main"});
    let wire = Wire::answering([ok(json!({"tasks": [task(pending)]}))]);
    let found = client(&wire).tasks_in_use(CLUSTER, &asked[..1]).await.unwrap();
    assert_eq!(found[0].images[0].digest, None);

    let odd = json!({"name": "web", "imageDigest": "sha512:00"});
    let wire = Wire::answering([ok(json!({"tasks": [task(odd)]}))]);
    let failed = client(&wire).tasks_in_use(CLUSTER, &asked[..1]).await.unwrap_err();
    assert!(chain(&failed).ends_with("no valid imageDigest"), "{failed}");

    for failures in [json!([]), json!([{"arn": arn("task/prod/01"), "reason": "ACCESS"}])] {
        let wire = Wire::answering([ok(json!({"tasks": [], "failures": failures}))]);
        let failed = client(&wire).tasks_in_use(CLUSTER, &asked[..1]).await.unwrap_err();
        assert!(chain(&failed).contains("(DescribeTasks): ECS left "), "{failed}");
    }
}

#[tokio::test]
async fn deployment_includes_source_target_and_rollback_revisions() {
    let asked = arns(&["service-deployment/prod/web/1"]);
    let revision = |name: &str| json!({"arn": name});
    let one = json!({
        "serviceDeploymentArn": asked[0], "status": "ROLLBACK_IN_PROGRESS",
        "sourceServiceRevisions": [revision("a"), revision("b")], "targetServiceRevision": revision("c"),
        "rollback": {"reason": "alarm", "serviceRevisionArn": "d"},
    });
    let wire = Wire::answering([ok(json!({"serviceDeployments": [one], "failures": []}))]);
    let found = client(&wire).revisions_of_deployments(&asked).await.unwrap();
    assert_eq!(found, ["a", "b", "c", "d"].map(str::to_owned).into());
    assert_eq!(wire.request().json(), json!({"serviceDeploymentArns": asked}));

    let missing = json!([{"arn": asked[0], "reason": "MISSING"}]);
    for answer in [json!({"serviceDeployments": [], "failures": missing}), json!({"serviceDeployments": []})]
    {
        let wire = Wire::answering([ok(answer)]);
        let failed = client(&wire).revisions_of_deployments(&asked).await.unwrap_err();
        assert!(chain(&failed).contains("(DescribeServiceDeployments): ECS left "), "{failed}");
    }
    let wire = Wire::answering([error(400, "AccessDeniedException")]);
    assert!(client(&wire).revisions_of_deployments(&asked).await.is_err());
}

#[tokio::test]
async fn missing_service_revision_is_an_error() {
    let asked = arns(&["service-revision/prod/web/1"]);
    let containers = json!([{"containerName": "web", "image": "111.example/web:main", "imageDigest": digest("ab").as_str()}]);
    let revisions = json!([{"serviceRevisionArn": asked[0], "containerImages": containers}]);
    let wire = Wire::answering([ok(json!({"serviceRevisions": revisions}))]);
    let found = client(&wire).service_revisions(&asked).await.unwrap();
    assert_eq!(
        (found[0].arn.as_str(), found[0].images[0].digest.as_ref()),
        (asked[0].as_str(), Some(&digest("ab")))
    );
    assert_eq!(wire.request().json(), json!({"serviceRevisionArns": asked}));

    let missing = json!({"serviceRevisions": [], "failures": [{"arn": asked[0], "reason": "MISSING"}]});
    for answer in [missing, json!({"serviceRevisions": []}), json!({})] {
        let wire = Wire::answering([ok(answer)]);
        let failed = client(&wire).service_revisions(&asked).await.unwrap_err();
        assert!(chain(&failed).contains("(DescribeServiceRevisions): ECS left "), "{failed}");
    }
    let odd = json!([{"serviceRevisionArn": asked[0], "containerImages": [{"imageDigest": "main"}]}]);
    let wire = Wire::answering([ok(json!({"serviceRevisions": odd}))]);
    let failed = client(&wire).service_revisions(&asked).await.unwrap_err();
    assert!(chain(&failed).ends_with("no valid imageDigest"), "{failed}");
}

#[tokio::test]
async fn client_lists_the_images_of_a_task_definition() {
    let web = arn("task-definition/web:3");
    let answer = |containers: Value| ok(json!({"taskDefinition": {"containerDefinitions": containers}}));
    let wire = Wire::answering([answer(json!([{"image": "111.example/web:main"}, {"image": "proxy"}]))]);
    let found = client(&wire).task_definition_images(&web).await.unwrap();
    assert_eq!(found.unwrap(), ["111.example/web:main", "proxy"]);
    assert_eq!(wire.request().json(), json!({"taskDefinition": web}));
    for broken in
        [answer(json!([])), answer(json!([{"name": "web"}])), ok(json!({})), error(400, "ClientException")]
    {
        let wire = Wire::answering([broken]);
        assert!(client(&wire).task_definition_images(&web).await.is_err());
    }
    let gone = json!({"__type": "ClientException", "message": "Unable to describe task definition."});
    let wire = Wire::answering([error_of(400, gone)]);
    assert_eq!(client(&wire).task_definition_images(&web).await.unwrap(), None);
}

#[tokio::test]
async fn client_lists_the_images_of_a_daemon() {
    let (daemon, deployment, revision) =
        (arn("daemon/prod/agent"), arn("daemon-deployment/1"), arn("daemon-revision/1"));
    let wire = Wire::answering([
        ok(
            json!({"daemon": {"daemonArn": daemon, "deploymentArn": deployment, "currentRevisions": [{"arn": revision}]}}),
        ),
        ok(json!({"daemonDeployments": [{
            "daemonDeploymentArn": deployment, "targetDaemonRevision": {"arn": "c"},
            "sourceDaemonRevisions": [{"arn": "a"}], "rollback": {"rollbackTargetDaemonRevisionArn": "b"},
        }]})),
        ok(json!({"daemonRevisions": [{
            "daemonRevisionArn": revision,
            "containerImages": [{"containerName": "agent", "image": "111.example/agent:1", "imageDigest": digest("cd").as_str()}],
        }]})),
        error(400, "DaemonNotFoundException"),
        error(400, "AccessDeniedException"),
        ok(json!({"daemonRevisions": [], "failures": [{"arn": revision, "reason": "MISSING"}]})),
        ok(json!({"daemonDeployments": []})),
    ]);
    let client = client(&wire);
    let found = client.daemon_in_use(&daemon).await.unwrap().unwrap();
    assert_eq!((found.revisions, found.deployment.as_ref()), ([revision.clone()].into(), Some(&deployment)));
    let revisions = client.revisions_of_daemon_deployments(std::slice::from_ref(&deployment)).await.unwrap();
    assert_eq!(revisions, ["a", "b", "c"].map(str::to_owned).into());
    let images = client.daemon_revisions(std::slice::from_ref(&revision)).await.unwrap();
    assert_eq!(images[0].images[0].digest, Some(digest("cd")));
    let sent: Vec<Value> = wire.requests().iter().map(|request| request.json()).collect();
    assert_eq!(
        sent,
        [
            json!({"daemonArn": daemon}),
            json!({"daemonDeploymentArns": [deployment]}),
            json!({"daemonRevisionArns": [revision]})
        ]
    );

    assert_eq!(client.daemon_in_use(&daemon).await.unwrap(), None, "a deleted daemon is none");
    assert!(client.daemon_in_use(&daemon).await.is_err());
    assert!(client.daemon_revisions(&[revision]).await.is_err());
    assert!(client.revisions_of_daemon_deployments(&[deployment]).await.is_err());
}

#[tokio::test]
async fn client_lists_service_deployments_with_their_status() {
    let brief = |status: &str| json!({"serviceDeploymentArn": "d", "status": status, "targetServiceRevisionArn": "r", "createdAt": 1});
    let statuses = ["SUCCESSFUL", "ROLLBACK_IN_PROGRESS", "TOMORROW"];
    let wire = Wire::answering([ok(json!({"serviceDeployments": statuses.map(brief)}))]);
    let found = client(&wire).all_service_deployments(CLUSTER, "web").await.unwrap();
    let found: Vec<_> = found.into_iter().map(|one| (one.status, one.target_revision)).collect();
    let of = |status| (status, Some("r".to_owned()));
    assert_eq!(
        found,
        [
            of(ServiceDeploymentStatus::Successful),
            of(ServiceDeploymentStatus::RollbackInProgress),
            of(ServiceDeploymentStatus::Unknown("TOMORROW".to_owned())),
        ]
    );
    let wire = Wire::answering([ok(json!({"serviceDeployments": [{"status": "SUCCESSFUL"}]}))]);
    assert!(
        client(&wire).all_service_deployments(CLUSTER, "web").await.is_err(),
        "a deployment without an ARN is an error"
    );
}

#[tokio::test]
async fn client_retries_a_failed_read() {
    let answers: [Answer; 3] = [
        error(500, "ServerException"),
        error(503, "ServiceUnavailable"),
        ok(json!({"clusterArns": [CLUSTER]})),
    ];
    let wire = Wire::answering(answers);
    let mut settings = wire.settings();
    settings.patient_attempts = 3;
    assert_eq!(Ecs::patient(&Session::new(settings)).clusters().await.unwrap(), [CLUSTER]);
}
