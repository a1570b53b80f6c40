//! Finds accessibility violations with axe-core.

use std::fs;
use std::sync::OnceLock;

use serde_json::Value;
use xtask::setup;

/// The audit that axe-core runs in the page, with the rules of WCAG and axe's best practices.
/// <https://www.deque.com/axe/core-documentation/api-documentation/#axecore-tags>
const RUN: &str = r"
    axe.run(document, {
        runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
        resultTypes: ['violations'],
    }).then(({ violations, passes }) => ({
        passed: passes.length,
        violations: violations.map(({ id, help, nodes }) => [`${id}: ${help}`, ...nodes.map(node => {
            const why = [...node.any, ...node.all, ...node.none].map(check => check.message).join('; ');
            return `    at ${node.target.join(' ')}: ${why}`;
        })].join('\n')),
    }))
";

/// Returns the script that runs in a page: axe-core, then the audit.
pub(super) fn audit() -> String {
    static AXE: OnceLock<String> = OnceLock::new();
    let axe =
        AXE.get_or_init(|| fs::read_to_string(setup::axe()).expect("axe-core: run `cargo xtask setup`"));
    format!("{axe};\n{RUN}")
}

/// Returns one text for each violated accessibility rule. The text lists the elements that violate
/// the rule.
pub(super) fn violations(answer: &Value) -> Vec<&str> {
    assert!(answer["passed"].as_u64() > Some(0), "axe has checked nothing: {answer}");
    answer["violations"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
