//! Checks that every test that the security document names exists.

use std::fs;

use xtask::workspace;

#[test]
fn security_document_names_only_existing_tests() {
    let root = workspace::root();
    let text = fs::read_to_string(root.join("docs/security/tried.md")).expect("the document");
    let (_, table) = text.split_once("## What is tried").expect("its table");
    let named: Vec<_> = table.split('`').filter_map(|words| words.split_once("::")).collect();
    assert!(named.len() > 20, "{named:?}");
    for (file, test) in named {
        let stories = fs::read_to_string(root.join(format!("tests/tests/e2e/{file}.rs"))).expect(file);
        assert!(stories.contains(&format!("fn {test}()")), "{file}::{test}");
    }
}
