use serde_json::{Value, json};
use stablepin_aws::lambda::{FunctionImage, Lambda};
use stablepin_aws::session::Session;

use crate::wire::{Answer, Wire, chain, error, ok};

const URI: &str = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/resize";

fn client(wire: &Wire) -> Lambda {
    Lambda::new(&wire.session())
}

fn function(name: &str, version: &str, package: &str) -> Value {
    json!({"FunctionName": name, "Version": version, "PackageType": package})
}

fn page(functions: &[Value], marker: Option<&str>) -> Answer {
    ok(json!({"Functions": functions, "NextMarker": marker}))
}

fn code(tag: &str) -> Answer {
    ok(json!({"Code": {
        "RepositoryType": "ECR", "ImageUri": format!("{URI}:{tag}"),
        "ResolvedImageUri": format!("{URI}@sha256:{}", "01".repeat(32)),
    }}))
}

#[tokio::test]
async fn client_reads_images_of_all_lambda_versions() {
    let wire = Wire::answering([
        page(&[function("resize", "$LATEST", "Image"), function("zipped", "1", "Zip")], Some("more/of it")),
        page(&[function("zipped", "2", "Zip")], None),
        code("main"),
    ]);
    let found = client(&wire).images().await.unwrap();
    let expected = FunctionImage {
        function: "resize".to_owned(),
        version: "$LATEST".to_owned(),
        image: format!("{URI}:main"),
        resolved: Some(format!("{URI}@sha256:{}", "01".repeat(32))),
    };
    assert_eq!(found, [expected]);
    let paths: Vec<_> = wire.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(
        paths,
        [
            "/2015-03-31/functions?FunctionVersion=ALL&MaxItems=50",
            "/2015-03-31/functions?FunctionVersion=ALL&Marker=more%2Fof%20it&MaxItems=50",
            "/2015-03-31/functions/resize?Qualifier=%24LATEST",
        ]
    );
    assert!(wire.requests().iter().all(|request| request.method == "GET"));
}

#[tokio::test]
async fn client_sorts_images_after_concurrent_reads() {
    let versions: Vec<Value> =
        (1..=30).map(|number| function("resize", &number.to_string(), "Image")).collect();
    let wire = Wire::answering([page(&versions, None)]);
    (0..30).for_each(|_| wire.will_answer(code("main")));
    let found = client(&wire).images().await.unwrap();
    assert_eq!((found.len(), wire.requests().len()), (30, 31));
    assert!(found.is_sorted());
}

#[tokio::test]
async fn client_omits_a_deleted_lambda_function() {
    let wire = Wire::answering([
        page(&[function("resize", "3", "Image")], None),
        error(404, "ResourceNotFoundException"),
    ]);
    assert_eq!(client(&wire).images().await.unwrap(), []);
}

#[tokio::test]
async fn client_reads_image_of_an_unknown_package_type() {
    let of = |package: Value| {
        page(&[json!({"FunctionName": "new", "Version": "1", "PackageType": package})], None)
    };
    for package in [json!("Tomorrow"), Value::Null] {
        let wire = Wire::answering([of(package.clone()), code("main")]);
        assert_eq!(client(&wire).images().await.unwrap().len(), 1, "{package}");
        let wire = Wire::answering([of(package), ok(json!({"Code": {"Location": "https://zip"}}))]);
        assert_eq!(client(&wire).images().await.unwrap(), []);
    }
}

#[tokio::test]
async fn unreadable_lambda_function_is_an_error() {
    let listed = || page(&[function("resize", "3", "Image")], None);
    let wire = Wire::answering([error(403, "AccessDeniedException")]);
    let failed = client(&wire).images().await.unwrap_err();
    assert_eq!(failed.to_string(), "could not list the functions (ListFunctions)");
    assert!(!failed.is_retryable());
    assert!(chain(&failed).contains("AccessDeniedException"), "{}", chain(&failed));

    let wire = Wire::answering([page(&[], Some("more")), error(429, "TooManyRequestsException")]);
    let failed = client(&wire).images().await.unwrap_err();
    assert!(failed.to_string().contains("(ListFunctions)") && failed.is_retryable(), "{failed}");

    let wire = Wire::answering([listed(), error(403, "AccessDeniedException")]);
    let failed = client(&wire).images().await.unwrap_err();
    let text = failed.to_string();
    assert_eq!(text, "could not read the image of the function resize, version 3 (GetFunction)");

    for lacking in [json!({}), json!({"Code": {}}), json!({"Code": {"ImageUri": ""}})] {
        let wire = Wire::answering([listed(), ok(lacking)]);
        let failed = client(&wire).images().await.unwrap_err();
        assert_eq!(chain(&failed), format!("{text}: the answer has no valid ImageUri"));
        assert!(!failed.is_retryable());
    }
    for (lacking, member) in [("FunctionName", "FunctionName"), ("Version", "Version")] {
        let mut one = function("resize", "3", "Image");
        one.as_object_mut().unwrap().remove(lacking);
        let wire = Wire::answering([page(&[one], None)]);
        let failed = client(&wire).images().await.unwrap_err();
        assert!(chain(&failed).ends_with(&format!("has no valid {member}")), "{failed}");
    }
}

#[tokio::test]
async fn endless_list_of_lambda_functions_is_an_error() {
    let wire = Wire::answering([page(&[], Some("a")), page(&[], Some("b")), page(&[], Some("a"))]);
    let failed = client(&wire).images().await.unwrap_err();
    assert!(chain(&failed).ends_with("the list does not end") && !failed.is_retryable(), "{failed}");
}

#[tokio::test]
async fn client_retries_a_failed_call() {
    let wire = Wire::answering([
        error(500, "ServiceException"),
        page(&[function("resize", "3", "Image")], None),
        error(500, "ServiceException"),
        code("main"),
    ]);
    let mut settings = wire.settings();
    settings.patient_attempts = 2;
    assert_eq!(Lambda::new(&Session::new(settings)).images().await.unwrap().len(), 1);
}
