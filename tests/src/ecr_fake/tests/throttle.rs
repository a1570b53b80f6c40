use jiff::SignedDuration;
use serde_json::json;

use super::super::NewImage;
use super::{client, fake, refused, retag};

#[test]
fn fake_throttles_nothing_by_default() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one"));
    for number in 0..50 {
        super::ask(&ecr, "PutImage", retag(&web, &digest, &format!("t{number}")));
    }
}

#[test]
fn ecr_accepts_ten_put_image_calls_per_second() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one"));
    ecr.throttles();
    let put = |number: usize| {
        let body = super::about(retag(&web, &digest, &format!("t{}-{number}", ecr.calls().len())));
        client(&ecr).ecr("PutImage", &body).is_ok()
    };
    assert_eq!((0..20).take_while(|number| put(*number)).count(), 10);
    ecr.time_passes(SignedDuration::from_millis(300));
    assert_eq!((0..20).take_while(|number| put(*number)).count(), 3);
    let (status, kind, message) = refused(&ecr, "PutImage", retag(&web, &digest, "one-more"));
    assert_eq!((status, &*kind, &*message), (400, "ThrottlingException", "Rate exceeded"));
    assert!(
        client(&ecr).ecr("DescribeImages", &json!({ "repositoryName": "web" })).is_ok(),
        "DescribeImages has another bucket"
    );
}

#[test]
fn test_can_throttle_every_third_call() {
    let (ecr, web) = fake();
    let digest = web.put(NewImage::named("one"));
    ecr.throttles_every(3);
    let tags = ["a", "b", "c", "d", "e", "f"];
    for tag in tags {
        let _ = client(&ecr).ecr("PutImage", &super::about(retag(&web, &digest, tag)));
    }
    assert_eq!(web.tags(&digest), ["a", "b", "d", "e"]);
    let statuses: Vec<_> = ecr.calls().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [200, 200, 400, 200, 200, 400]);
}
