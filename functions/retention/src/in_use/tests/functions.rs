//! Tests of the images that Lambda functions use.

use super::fixtures::{AccountFake, used};
use crate::in_use::InUseError;

#[tokio::test]
async fn lambda_functions_use_their_named_and_resolved_images() {
    let mut account = AccountFake::new();
    account.lambda = &[
        (
            "/functions/resize",
            200,
            r#"{"Code":{"ImageUri":"111.example/web:main","ResolvedImageUri":"111.example/web@sha256:01"}}"#,
        ),
        (
            "/functions",
            200,
            r#"{"Functions":[{"FunctionName":"resize","Version":"3","PackageType":"Image"}]}"#,
        ),
    ];
    let found = account.read().await.unwrap();
    let by = "function resize, version 3";
    assert_eq!(found, [used(by, "111.example/web:main", None), used(by, "111.example/web@sha256:01", None)]);

    account.lambda = &[("/functions", 403, r#"{"Type":"User","Message":"no"}"#)];
    let failed = account.read().await.unwrap_err();
    assert!(matches!(failed, InUseError::Lambda(_)), "{failed}");
    assert_eq!(failed.to_string(), "it is not known which images Lambda uses");
}
