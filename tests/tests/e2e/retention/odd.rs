//! Images that retention does not understand. Retention keeps each such image, gives the reason,
//! and still deletes other images.

use serde_json::json;
use stablepin_tests::ecr_fake::NewImage;
use stablepin_tests::retention::{Retention, days_ago};

const DELETE: &str = "mode = \"delete\"\nkeep = 5";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn old(name: &str) -> NewImage {
    NewImage::named(name).pushed_at(days_ago(400))
}

/// Returns an image index of one image. `members` are additional fields of the image index's JSON.
fn odd(child: &str, size: &str, members: &str) -> NewImage {
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let entry = format!(r#"{{"mediaType":"{media_type}","digest":"{child}","size":{size}}}"#);
    let bytes = format!(r#"{{"mediaType":"{INDEX}","manifests":[{entry}],{members}}}"#);
    NewImage::manifest(bytes, INDEX).pushed_at(days_ago(400))
}

#[test]
fn image_index_with_an_unknown_format_protects_its_images() {
    let story = Retention::begin("ret-odd", DELETE);
    let web = &story.web;
    let shapes = [
        ("-1", r#""schemaVersion":2"#),
        ("1", r#""schemaVersion":3"#),
        ("1", r#""schemaVersion":2,"layers":[]"#),
        ("\"1\"", r#""schemaVersion":2"#),
    ];
    let kept: Vec<_> = shapes
        .iter()
        .enumerate()
        .map(|(number, (size, members))| {
            let child = web.put(old(&format!("child {number}")));
            (web.put(odd(&child, size, members)), child)
        })
        .collect();
    let well = web.put(NewImage::index_of([old("amd"), old("arm")]).pushed_at(days_ago(400)));
    web.put(old("alone"));
    let run = story.runs();
    assert_eq!(run.in_repository()["state"], "Done", "{:#}", run.record());
    assert_eq!((run.number("deleted"), web.count()), (4, 2 * kept.len()), "{:#}", run.in_repository());
    assert!(!web.exists(&well));
    for (index, child) in &kept {
        assert_eq!((run.rule(index), run.rule(child)), ("not-understood".into(), "part-of-kept".into()));
        let why = run.plan()[index]["why"].as_str().unwrap_or_default().to_owned();
        assert!(why.contains("its manifest is not understood: "), "{why}");
    }
    // A person inspects and deletes one image index. After that, nothing protects the image in that
    // image index.
    let (index, child) = &kept[0];
    web.loses(index);
    let run = story.runs();
    assert_eq!((run.number("deleted"), web.exists(child)), (1, false), "{:#}", run.record());
}

/// Retention does not know which images the image index contains, so retention keeps every untagged
/// image until ECR returns the image index.
#[test]
fn unreadable_image_index_protects_all_untagged_images() {
    let story = Retention::begin("ret-refused", DELETE);
    let web = &story.web;
    // Retention always keeps the five newest tagged images, and may delete the sixth.
    web.put_all((0..6).map(|n| old(&format!("tagged {n}")).tag(format!("old-{n}"))));
    for name in ["one", "two"] {
        web.put(NewImage::index_of([old(name)]).pushed_at(days_ago(400)));
    }
    // ECR refuses the request for the two image indexes together, and then refuses the request for
    // one of the two alone.
    story.ecr.fails("BatchGetImage", 1, 400, "InvalidParameterException");
    story.ecr.fails("BatchGetImage", 2, 400, "InvalidParameterException");
    let run = story.runs();
    let found = run.in_repository();
    assert_eq!((&found["state"], run.number("deleted"), web.count()), (&json!("Done"), 1, 9), "{found:#}");
    assert_eq!(found["by_rule"]["not-understood"], 1, "{found:#}");
    let plan = run.plan();
    let refused = plan.values().find(|one| one["rule"] == "not-understood").expect("an unread index");
    let why = refused["why"].as_str().unwrap_or_default();
    assert!(why.contains("its manifest could not be read: "), "{why}");
    // In the next run, ECR returns the two image indexes.
    assert_eq!((story.runs().number("deleted"), web.count()), (4, 5));
}
