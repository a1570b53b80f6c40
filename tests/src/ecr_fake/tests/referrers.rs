use serde_json::{Value, json};

use super::super::{NewImage, StorageStatus};
use super::{ask, fake, kind, pages, texts};

const LIST: &str = "ListImageReferrers";

fn of(subject: &str) -> Value {
    json!({ "subjectId": { "imageDigest": subject } })
}

#[test]
fn page_has_20_referrers_by_default_and_at_most_50() {
    let (ecr, web) = fake();
    let subject = web.put(NewImage::named("one"));
    web.put_all((0..60).map(|number| NewImage::referrer(&subject, &format!("application/x{number}"))));
    assert_eq!(pages(&ecr, LIST, &of(&subject), "referrers").1, 3);
    let mut fifty = of(&subject);
    fifty["maxResults"] = 50.into();
    assert_eq!(pages(&ecr, LIST, &fifty, "referrers").1, 2);
    fifty["maxResults"] = 51.into();
    assert_eq!(kind(&ecr, LIST, fifty), "InvalidParameterException");
}

#[test]
fn filter_selects_referrers_by_type_and_status() {
    let (ecr, web) = fake();
    let subject = web.put(NewImage::named("one"));
    web.put(NewImage::referrer(&subject, "application/sbom"));
    web.put(NewImage::referrer(&subject, "application/old").status(StorageStatus::Archived));
    let types = |filter: Value| {
        let mut members = of(&subject);
        members["filter"] = filter;
        let mut types = texts(&ask(&ecr, LIST, members)["referrers"], "artifactType");
        types.sort();
        types
    };
    assert_eq!(types(json!({})), ["application/sbom"]);
    assert_eq!(types(json!({ "artifactStatus": "ANY" })), ["application/old", "application/sbom"]);
    assert_eq!(types(json!({ "artifactTypes": ["application/other"] })), Vec::<String>::new());
    let mut many = of(&subject);
    many["filter"] = json!({ "artifactTypes": vec!["a"; 6] });
    assert_eq!(kind(&ecr, LIST, many), "InvalidParameterException");
}

#[test]
fn list_of_referrers_contains_no_cosign_signatures() {
    let (ecr, web) = fake();
    let subject = web.put(NewImage::named("one"));
    web.put(NewImage::cosign_signature(&subject));
    assert_eq!(ask(&ecr, LIST, of(&subject))["referrers"], json!([]));
}

#[test]
fn test_can_read_the_referrers_of_an_image() {
    let (_ecr, web) = fake();
    let subject = web.put(NewImage::named("one"));
    let kinds = ["application/sbom", "application/signature"];
    let mut all = kinds.map(|kind| web.put(NewImage::referrer(&subject, kind)));
    all.sort();
    assert_eq!(web.referrers(&subject), all);
    assert_eq!(web.referrers(&all[0]), Vec::<String>::new());
}
