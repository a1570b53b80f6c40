//! The tests that a document names are there.

use std::fs;

use xtask::workspace;

#[test]
fn every_test_that_security_names_is_there() {
    let root = workspace::root();
    let text = fs::read_to_string(root.join("docs/security.md")).expect("the document");
    let (_, table) = text.split_once("## What is tried").expect("its table");
    let named: Vec<_> = table.split('`').filter_map(|words| words.split_once("::")).collect();
    assert!(named.len() > 20, "{named:?}");
    for (file, test) in named {
        let stories = fs::read_to_string(root.join(format!("tests/tests/e2e/{file}.rs"))).expect(file);
        assert!(stories.contains(&format!("fn {test}()")), "{file}::{test}");
    }
}
