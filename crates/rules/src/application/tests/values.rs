//! Tests of single values: names, addresses, numbers, durations and sizes.

use super::fixtures::{SMALLEST, changed, extended, new_errors};
use crate::application::Application;

#[test]
fn invalid_names_and_addresses_are_refused() {
    insta::assert_snapshot!(changed("name = \"web\"", "name = \"Web Shop\""), @r#"line 2, column 8: name: "Web Shop" is not a valid application name: use 1 to 40 lower-case letters, digits and single hyphens, beginning with a letter"#);
    insta::assert_snapshot!(changed("repository = \"web\"", "repository = \"https://web\""), @r#"line 3, column 14: repository: "https://web" is not a valid repository name: use 2 to 256 lower-case letters, digits, hyphens, underscores, periods and slashes, each part beginning and ending with a letter or digit"#);
    insta::assert_snapshot!(changed("[\"main-*\"]", "[\"main-*\", \"\", \"a b\", \"feature/*\"]"), @r#"
    line 4, column 21: builds[1]: "" is not a pattern for tags: use 1 to 128 letters, digits, underscores, periods and hyphens; * stands for any run of characters, ? for one
    line 4, column 25: builds[2]: "a b" is not a pattern for tags: use 1 to 128 letters, digits, underscores, periods and hyphens; * stands for any run of characters, ? for one
    line 4, column 32: builds[3]: "feature/*" is not a pattern for tags: use 1 to 128 letters, digits, underscores, periods and hyphens; * stands for any run of characters, ? for one
    "#);
    insta::assert_snapshot!(changed("lead@example.com", "lead@example.com\\r\\nBcc: x@example.com"), @r#"line 8, column 8: approver[0].mail: "lead@example.com\r\nBcc: x@example.com" is not a valid mail address: write it as name@example.com"#);
    for (sign, written) in
        ["`", "$", ";", "|", "&", "<", ">", "(", ")", "!", "*", "?", "{", "}", "~", "#", "^"]
            .map(|sign| (sign, sign.to_owned()))
            .into_iter()
            .chain([("\"", "\\\"".to_owned()), ("\\", "\\\\".to_owned())])
    {
        let hostile = SMALLEST.replace("lead@example.com", &format!("a{written}id{written}@example.com"));
        let said = new_errors(&hostile);
        assert!(
            said.ends_with(&format!(
                "has a {sign}, which a shell may read as a command: write an address without it"
            )),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let stored = SMALLEST.replace("lead@example.com", "o&m@example.com");
    assert!(Application::parse(&stored, None).is_ok(), "a stored file is still readable");
    for mail in ["o'brien@example.com", "first.last+builds@example.co.uk", "a_b-c=d/e%f@example.com"] {
        assert_eq!(changed("lead@example.com", mail), "no error", "{mail}");
    }
    insta::assert_snapshot!(changed("lead@example.com", "a b@example.com"), @r#"line 8, column 8: approver[0].mail: "a b@example.com" is not a valid mail address: write it as name@example.com"#);
    insta::assert_snapshot!(extended("stable_tag = \"-stable\""), @r#"line 12, column 14: environment[0].stable_tag: "-stable" is not a valid image tag: use 1 to 128 letters, digits, underscores, periods and hyphens, not beginning with a period or hyphen"#);
    insta::assert_snapshot!(extended(&format!("stable_tag = \"{}\"", "a".repeat(101))), @r#"line 12, column 14: environment[0].stable_tag: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"… is too long: use 100 characters at most"#);
    insta::assert_snapshot!(extended("deploy = \"always\"\nservices = [\"web\", \"prod/web\", \"a/b/c\", \"prod/wéb\"]"), @r#"
    line 12, column 10: environment[0].deploy: "always" is not known here: write "on_approval" or "never"
    line 13, column 13: environment[0].services[0]: "web" is not a valid service: write the cluster's name, a slash and the service's name, such as prod/web; each has letters, digits, hyphens and underscores
    line 13, column 32: environment[0].services[2]: "a/b/c" is not a valid service: write the cluster's name, a slash and the service's name, such as prod/web; each has letters, digits, hyphens and underscores
    line 13, column 41: environment[0].services[3]: "prod/wéb" is not a valid service: write the cluster's name, a slash and the service's name, such as prod/web; each has letters, digits, hyphens and underscores
    "#);
    insta::assert_snapshot!(extended("after = \"Staging\"\nrequires = [\"staging tests\"]\nrole = \"admin\""), @r#"
    line 12, column 9: environment[0].after: "Staging" is not a valid environment name: use 1 to 40 lower-case letters, digits and single hyphens, beginning with a letter
    line 13, column 13: environment[0].requires[0]: "staging tests" is not a valid check name: use 1 to 64 letters, digits, hyphens, underscores and periods
    line 14, column 8: environment[0].role: "admin" is not a valid role: write the ARN of an IAM role, such as arn:aws:iam::111122223333:role/stablepin-spoke
    "#);
    insta::assert_snapshot!(
        extended("verify.endpoints = [\"ftp://a\"]\nvalidate = { platforms = [\"amd64\"], labels = [\"\"], signature = \"gpg\" }"),
        @r#"
    line 12, column 21: environment[0].verify.endpoints[0]: "ftp://a" is not a valid endpoint: write a URL of http:// or https://, a host name and a path, without user, password or fragment
    line 13, column 27: environment[0].validate.platforms[0]: "amd64" is not a valid platform: write system and architecture, such as linux/amd64
    line 13, column 47: environment[0].validate.labels[0]: "" is not a valid label: use 1 to 255 characters without spaces, such as org.opencontainers.image.revision
    line 13, column 64: environment[0].validate.signature: "gpg" is not known here: write "off" or "managed" or "cosign"
    "#
    );
    insta::assert_snapshot!(
        changed("mail =", "principals = [\"*\", \"arn:aws:sts::111122223333:assumed-role/lead/anna\"]\nmail ="),
        @r#"
    line 8, column 15: approver[0].principals[0]: "*" is not a valid principal: write the ARN of an IAM role or user, such as arn:aws:iam::111122223333:role/lead, without wildcards; sessions count only under AWSReservedSSO_* roles
    line 8, column 20: approver[0].principals[1]: "arn:aws:sts::111122223333:assumed-role/lead/anna" is not a valid principal: write the ARN of an IAM role or user, such as arn:aws:iam::111122223333:role/lead, without wildcards; sessions count only under AWSReservedSSO_* roles
    "#
    );
}

#[test]
fn values_outside_their_range_are_refused() {
    insta::assert_snapshot!(
        extended("approval.required = -1\n[retention]\ndays = 0\nbackup_days = 99999\nkeep = 4"),
        @"
    line 12, column 21: environment[0].approval.required: is -1, and must be from 0 to 20
    line 14, column 8: retention.days: is 0, and must be from 1 to 3650
    line 15, column 15: retention.backup_days: is 99999, and must be from 1 to 3650
    line 16, column 8: retention.keep: is 4, and must be from 5 to 1000
    "
    );
    insta::assert_snapshot!(
        extended("approval.expires = \"2 weeks\"\nsoak = \"40d\"\nverify = { bake = \"25h\", timeout = \"1s\" }"),
        @r#"
    line 12, column 20: environment[0].approval.expires: "2 weeks" is not a duration: write a whole number and s, m, h or d, such as "30m"
    line 13, column 8: environment[0].soak: "40d" is out of range: write from "0s" to "30d"
    line 14, column 19: environment[0].verify.bake: "25h" is out of range: write from "0s" to "1d"
    line 14, column 36: environment[0].verify.timeout: "1s" is out of range: write from "1m" to "1d"
    "#
    );
    insta::assert_snapshot!(extended("validate.max_size = \"1GiB\""), @r#"line 12, column 21: environment[0].validate.max_size: "1GiB" is not a size: write a whole number and KB, MB or GB, such as "500MB""#);
    insta::assert_snapshot!(extended("validate.max_size = \"1KB\""), @r#"line 12, column 21: environment[0].validate.max_size: "1KB" is out of range: write from "1MB" to "100GB""#);
}
