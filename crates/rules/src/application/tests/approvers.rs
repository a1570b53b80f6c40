//! Tests of a file's approvers: no person has two votes, and the four-eyes rule can work.

use super::fixtures::{SMALLEST, changed, extended, new_errors};
use crate::application::Application;

#[test]
fn duplicate_approvers_are_refused() {
    insta::assert_snapshot!(
        changed("[[environment]]", "[[approver]]\nname = \"lead\"\nmail = \"Lead@Example.com\"\n[[environment]]"),
        @r#"
    line 11, column 8: approver[1].name: "lead" is approver[0]'s name already
    line 12, column 8: approver[1].mail: "Lead@Example.com" is approver[0]'s address already: votes count names, and one person would have two
    "#
    );
    let role = "\"arn:aws:iam::111122223333:role/lead\"";
    insta::assert_snapshot!(
        changed(
            "[[environment]]",
            &format!(
                "principals = [{role}, {role}]\n[[approver]]\nname = \"second\"\nmail = \"second@example.com\"\n\
                 principals = [{role}]\n[[environment]]"
            )
        ),
        @r#"
    line 10, column 54: approver[0].principals[1]: "arn:aws:iam::111122223333:role/lead" is approver[0].principals[0] already: write each principal once
    line 14, column 15: approver[1].principals[0]: "arn:aws:iam::111122223333:role/lead" is approver[0].principals[0] already: write each principal once
    "#
    );
    insta::assert_snapshot!(extended("approval = { required = 3, approvers = [\"lead\", \"lead\", \"boss\"] }"), @r#"
    line 12, column 49: environment[0].approval.approvers[1]: "lead" is in the list already: votes count names
    line 12, column 57: environment[0].approval.approvers[2]: "boss" is not an approver of this file: describe them, begun by [[approver]]
    "#);
    insta::assert_snapshot!(extended("approval = { required = 2 }"), @"line 12, column 25: environment[0].approval.required: 2 must approve, and only 1 may: name more approvers, or write required = 1");
    insta::assert_snapshot!(extended("approval = { approvers = [] }"), @"line 12, column 12: environment[0].approval.required: 1 must approve, and there is no approver: describe them, each begun by [[approver]], or write required = 0 to promote every build without approval");
}

/// Returns a file with the approvers `lead` and `second`. The arguments are their principals.
fn principals(lead: &[&str], second: &[&str]) -> String {
    let list = |arns: &[&str]| format!("{arns:?}");
    SMALLEST.replace(
        "[[environment]]",
        &format!(
            "principals = {}\n[[approver]]\nname = \"second\"\nmail = \"second@example.com\"\n\
             principals = {}\n[[environment]]",
            list(lead),
            list(second)
        ),
    )
}

const SSO: &str = "AWSReservedSSO_Lead_0123456789abcdef";

#[test]
fn new_file_with_two_principals_of_one_signer_is_refused() {
    let account = "arn:aws:iam::111122223333";
    let role = |path: &str, name: &str| format!("{account}:role/{path}{name}");
    let user = |name: &str| format!("{account}:user/{name}");
    let session = |name: &str| format!("arn:aws:sts::111122223333:assumed-role/{SSO}/{name}");
    let reserved = |account: &str, set: &str, name: &str| {
        format!("arn:aws:sts::{account}:assumed-role/AWSReservedSSO_{set}/{name}")
    };
    let path = "aws-reserved/sso.amazonaws.com/eu-west-1/";
    let same = [
        (role(path, SSO), session("anna")),
        (session("anna"), role("", SSO)),
        (role("", "lead"), role("team/", "lead")),
        (role("a/", "lead"), role("b/c/", "Lead")),
        (user("anna"), user("team/anna")),
        (user("team/anna"), user("team/ANNA")),
        (session("anna"), session("Anna")),
        (session("anna"), reserved("111122223333", "Admin_fedcba9876543210", "anna")),
        (session("anna"), reserved("444455556666", "Lead_fedcba9876543210", "ANNA")),
    ];
    for (one, other) in &same {
        for text in [principals(&[one], &[other]), principals(&[&user("first"), one, other], &[])] {
            let errors = new_errors(&text);
            let [first, second] = if text.contains("first") {
                ["approver[0].principals[1]", "approver[0].principals[2]"]
            } else {
                ["approver[0].principals[0]", "approver[1].principals[0]"]
            };
            assert!(
                errors.contains(&format!(
                    "{second}: \"{other}\" can be the same signer as {first}, \"{one}\":"
                )),
                "{errors}"
            );
            assert!(Application::parse(&text, None).is_ok(), "a stored file is still readable");
        }
    }
    let other_account = "arn:aws:iam::444455556666";
    let differ = [
        (session("anna"), session("bob")),
        (role("", "lead"), user("lead")),
        (role("", "lead"), role("", "lead2")),
        (role("lead/", "a"), role("lead/", "b")),
        (user("anna"), format!("{other_account}:user/anna")),
        (role("", SSO), format!("arn:aws:sts::444455556666:assumed-role/{SSO}/anna")),
        (session("anna"), reserved("111122223333", "Admin_fedcba9876543210", "bob")),
        // A file may have roles of two permission sets. Stablepin compares the signers' session
        // names at each request.
        (role(path, SSO), role(path, "AWSReservedSSO_Admin_fedcba9876543210")),
        (role(path, SSO), reserved("111122223333", "Admin_fedcba9876543210", "anna")),
    ];
    for (one, other) in &differ {
        assert_eq!(new_errors(&principals(&[one], &[other])), "no error", "{one} {other}");
    }
}

/// The root user, an account id, a federated user and a group do not identify one person or role.
#[test]
fn root_users_and_groups_are_refused_as_principals() {
    for arn in [
        "arn:aws:iam::111122223333:root",
        "111122223333",
        "arn:aws:sts::111122223333:federated-user/anna",
        "arn:aws:iam::111122223333:group/leads",
    ] {
        let errors = new_errors(&principals(&[arn], &[]));
        assert!(
            errors.contains("approver[0].principals[0]") && errors.contains("is not a valid principal"),
            "{errors}"
        );
    }
}

#[test]
fn four_eyes_rule_needs_principals_and_a_required_approval() {
    insta::assert_snapshot!(extended("approval = { four_eyes = \"on\" }"), @r#"line 12, column 26: environment[0].approval.four_eyes: must know who requested a promotion, and the requests of lead are not known: write their principals, or four_eyes = "off""#);
    insta::assert_snapshot!(
        changed(
            "[[environment]]",
            "principals = [\"arn:aws:iam::111122223333:role/lead\"]\n[[environment]]\n\
             approval = { required = 0, four_eyes = \"strict\" }"
        ),
        @r#"line 12, column 40: environment[0].approval.four_eyes: needs a second person, and required = 0 needs nobody: write required = 1, or four_eyes = "off""#
    );
}
