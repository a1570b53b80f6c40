//! Tests of the differences between two application files.

use super::fixtures::EXAMPLE;
use crate::application::{Difference, difference};

fn difference_lines(differences: &[Difference]) -> String {
    differences.iter().map(Difference::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn key_of_a_difference_contains_the_table_name() {
    let after = EXAMPLE
        .replace("expires = \"72h\"", "expires = \"24h\"")
        .replace("days = 90\n", "")
        .replace("\"prod/worker\"", "\"prod/worker\", \"prod/mail\"")
        .replace(
            "[[environment]]",
            "[[environment]]\nname = \"staging\"\ndeploy = \"never\"\n\n[[environment]]",
        );
    assert_ne!(after, EXAMPLE);
    insta::assert_snapshot!(difference_lines(&difference(Some(EXAMPLE), &after)), @r#"
    environment[production].approval.expires: "72h" → "24h"
    environment[production].services: ["prod/web", "prod/worker"] → ["prod/web", "prod/worker", "prod/mail"]
    environment[staging].deploy: – → "never"
    environment[staging].name: – → "staging"
    retention.days: 90 → –
    "#);
    assert_eq!(difference(Some(EXAMPLE), &EXAMPLE.replace('\n', "\r\n")), []);
    let first = "name = \"a\"\n[[environment]]\ndeploy = \"never\"\n[[environment]]\nvalidate.labels = [ # ours\n'é\"',\n]";
    insta::assert_snapshot!(difference_lines(&difference(None, first)), @r#"
    environment[0].deploy: – → "never"
    environment[1].validate.labels: – → ['é"']
    name: – → "a"
    "#);
}
