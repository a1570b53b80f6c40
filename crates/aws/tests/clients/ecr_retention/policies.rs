//! Tests of reading policies, and of pull-time exclusions.

use serde_json::json;
use stablepin_aws::ecr::Ecr;

use super::fixtures::{client, web};
use crate::wire::{Wire, chain, error, ok};

const ROLE: &str = "arn:aws:iam::111122223333:role/retention";

#[tokio::test]
async fn client_reads_policies_of_a_repository() {
    let wire = Wire::answering([
        ok(json!({"policyText": "{\"Version\":\"2012-10-17\"}"})),
        error(400, "RepositoryPolicyNotFoundException"),
        error(400, "AccessDeniedException"),
        error(400, "RepositoryNotFoundException"),
        ok(json!({})),
    ]);
    let client = client(&wire);
    assert_eq!(
        client.repository_policy(&web()).await.unwrap().as_deref(),
        Some("{\"Version\":\"2012-10-17\"}")
    );
    assert_eq!(client.repository_policy(&web()).await.unwrap(), None);
    let denied = client.repository_policy(&web()).await.unwrap_err();
    assert!(
        denied.to_string().starts_with("could not read the policy of prod/web") && !denied.is_retryable(),
        "{denied}"
    );
    let gone = client.repository_policy(&web()).await.unwrap_err();
    assert!(gone.is_of_all_images(), "{gone}");
    let empty = client.repository_policy(&web()).await.unwrap_err();
    assert!(chain(&empty).ends_with("no valid policyText"), "{empty}");
    assert_eq!(wire.requests()[0].json(), json!({"repositoryName": "prod/web"}));
    assert!(wire.operations().iter().all(|operation| operation == "GetRepositoryPolicy"));

    let wire = Wire::answering([
        ok(json!({"lifecyclePolicyText": "{\"rules\":[]}"})),
        error(400, "LifecyclePolicyNotFoundException"),
        error(400, "AccessDeniedException"),
        error(400, "RepositoryNotFoundException"),
        ok(json!({})),
    ]);
    let client = Ecr::patient(&wire.session());
    assert_eq!(client.lifecycle_policy(&web()).await.unwrap().as_deref(), Some("{\"rules\":[]}"));
    assert_eq!(client.lifecycle_policy(&web()).await.unwrap(), None);
    let denied = client.lifecycle_policy(&web()).await.unwrap_err();
    assert!(
        denied.to_string().starts_with("could not read the lifecycle policy") && !denied.is_retryable(),
        "{denied}"
    );
    let gone = client.lifecycle_policy(&web()).await.unwrap_err();
    assert!(gone.is_of_all_images(), "{gone}");
    let empty = client.lifecycle_policy(&web()).await.unwrap_err();
    assert!(chain(&empty).ends_with("no valid lifecyclePolicyText"), "{empty}");
    assert!(wire.operations().iter().all(|operation| operation == "GetLifecyclePolicy"));
}

#[tokio::test]
async fn client_adds_a_pull_time_exclusion_for_a_role_only_once() {
    let others = |token: Option<&str>| {
        let mut page = json!({"pullTimeUpdateExclusions": ["arn:aws:iam::111122223333:role/other"]});
        if let Some(token) = token {
            page["nextToken"] = token.into();
        }
        ok(page)
    };
    let wire = Wire::answering([others(Some("two")), others(None), ok(json!({"principalArn": ROLE}))]);
    assert!(client(&wire).exclude_from_pull_times(ROLE).await.unwrap());
    assert_eq!(
        wire.operations(),
        ["ListPullTimeUpdateExclusions", "ListPullTimeUpdateExclusions", "RegisterPullTimeUpdateExclusion"]
    );
    assert_eq!(wire.requests()[1].json(), json!({"nextToken": "two"}));
    assert_eq!(wire.requests()[2].json(), json!({"principalArn": ROLE}));

    let wire = Wire::answering([
        others(Some("two")),
        ok(json!({"pullTimeUpdateExclusions": [ROLE], "nextToken": "three"})),
    ]);
    assert!(!client(&wire).exclude_from_pull_times(ROLE).await.unwrap());
    assert_eq!(wire.requests().len(), 2);

    let wire = Wire::answering([others(None), error(400, "ExclusionAlreadyExistsException")]);
    assert!(!client(&wire).exclude_from_pull_times(ROLE).await.unwrap());

    let wire = Wire::answering([others(None), error(400, "LimitExceededException")]);
    let failed = client(&wire).exclude_from_pull_times(ROLE).await.unwrap_err();
    assert!(failed.to_string().contains("(RegisterPullTimeUpdateExclusion)"), "{failed}");

    let wire = Wire::answering([error(400, "AccessDeniedException")]);
    let failed = client(&wire).exclude_from_pull_times(ROLE).await.unwrap_err();
    assert!(failed.to_string().ends_with("(ListPullTimeUpdateExclusions)"), "{failed}");

    let wire = Wire::answering([others(Some("two")), others(Some("two"))]);
    let failed = client(&wire).exclude_from_pull_times(ROLE).await.unwrap_err();
    assert!(chain(&failed).ends_with("the list does not end"), "{failed}");
}
