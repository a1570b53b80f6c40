//! Tests that the environments of a file do not conflict.

use super::fixtures::{changed, extended};

#[test]
fn conflicting_environments_are_refused() {
    insta::assert_snapshot!(extended("[[environment]]\nname = \"production\""), @r#"
    line 13, column 8: environment[1].name: "production" is environment[0]'s name already
    "#);
    insta::assert_snapshot!(changed("[[approver]]", "build_environment = \"staging\"\n[[approver]]"), @r#"line 6, column 21: build_environment: "staging" is not an environment of this file: write "production""#);
    insta::assert_snapshot!(extended("stable_tag = \"stable\"\n[[environment]]\nname = \"staging\"\nstable_tag = \"stable\""), @r#"line 15, column 14: environment[1].stable_tag: "stable" is the stable tag of "production" in the same repository already: write another"#);
    insta::assert_snapshot!(extended("stable_tag = \"main-stable\""), @r#"line 12, column 14: environment[0].stable_tag: "main-stable" would be taken for a build, because builds has "main-*": write another tag, or narrower builds"#);
    insta::assert_snapshot!(changed("[\"main-*\"]", "[\"*\"]"), @r#"line 10, column 1: environment[0].stable_tag: "production-stable" (the default) would be taken for a build, because builds has "*": write another tag, or narrower builds"#);
    insta::assert_snapshot!(extended("stable_tag = \"production-current\""), @r#"line 12, column 14: environment[0].stable_tag: "production-current" is the tag of what is live in "production": write another"#);
    insta::assert_snapshot!(
        extended("deploy = \"never\"\nservices = [\"a/b\", \"a/b\"]\n[[environment]]\nname = \"staging\"\ndeploy = \"never\"\nservices = [\"a/b\"]"),
        @r#"
    line 13, column 20: environment[0].services[1]: "a/b" is in the list already: write each service once
    line 17, column 13: environment[1].services[0]: "a/b" is another environment's already: write each service once
    "#
    );
    insta::assert_snapshot!(extended("after = \"staging\""), @r#"line 12, column 9: environment[0].after: "staging" is not an environment of this file: write "production""#);
    insta::assert_snapshot!(
        extended("after = \"b\"\n[[environment]]\nname = \"b\"\nafter = \"c\"\n[[environment]]\nname = \"c\"\nafter = \"b\"\n[[environment]]\nname = \"d\"\nafter = \"d\""),
        @"
    line 15, column 9: environment[1].after: goes round in a circle: b after c after b
    line 21, column 9: environment[3].after: goes round in a circle: d after d
    "
    );
}

#[test]
fn file_may_require_twenty_different_checks() {
    let requiring = |from: usize, to: usize| {
        let names: Vec<String> = (from..=to).map(|n| format!("\"check-{n}\"")).collect();
        format!("requires = [{}]", names.join(", "))
    };
    let file =
        |first: &str, second: &str| extended(&format!("{first}\n[[environment]]\nname = \"b\"\n{second}"));
    assert_eq!(file(&requiring(1, 20), &requiring(5, 20)), "no error");
    insta::assert_snapshot!(file(&requiring(1, 15), &requiring(10, 22)), @"line 15, column 12: environment[1].requires: brings the file to 22 different checks, and a file may require 20");
    insta::assert_snapshot!(extended("requires = [\"a\", \"a\"]"), @r#"line 12, column 18: environment[0].requires[1]: "a" is in the list already"#);
}
