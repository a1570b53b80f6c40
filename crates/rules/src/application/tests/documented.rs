//! Tests that docs/application.md lists every key that the parser knows and marks every key that
//! the parser refuses.

use std::collections::BTreeSet;

use super::fixtures::{EVERYTHING, SMALLEST, errors};

const PAGE: &str = include_str!("../../../../../docs/application.md");

/// A key, with the title of its section in docs/application.md.
type Key = (String, String);

fn key(section: &str, name: &str) -> Key {
    (section.to_owned(), name.to_owned())
}

/// Returns the documented keys whose last table cell begins with `carried_out`.
fn documented(carried_out: &str) -> BTreeSet<Key> {
    let keys = PAGE.split_once("\n## Keys\n").unwrap().1.split_once("\n### Units\n").unwrap().0;
    let mut section = "";
    let mut found = BTreeSet::new();
    for line in keys.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            section = title.trim_matches(['`', '[', ']']);
        }
        let cells: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").collect();
        if let [name, _, _, _, last] = cells[..]
            && let Some(name) = name.split('`').nth(1)
            && last.starts_with(carried_out)
        {
            found.insert(key(section, name.trim_matches(['[', ']'])));
        }
    }
    found
}

/// Returns the keys that the parser lists as known in its error about the unknown key `zz`.
fn known(section: &str, file: &str) -> BTreeSet<Key> {
    let errors = errors(file);
    let known = errors.split_once("zz: is not known here (known: ").map(|(_, rest)| rest);
    let known =
        known.and_then(|rest| rest.split_once(')')).unwrap_or_else(|| panic!("{section}: {errors}")).0;
    known.split(", ").map(|name| key(section, name)).collect()
}

#[test]
fn documentation_lists_every_known_key() {
    let mail = "mail = \"lead@example.com\"\n";
    let mut parsed = known("The application", &format!("zz = 1\n{SMALLEST}"));
    parsed.extend(known("approver", &SMALLEST.replace(mail, &format!("{mail}zz = 1\n"))));
    parsed.extend(known("environment", &format!("{SMALLEST}zz = 1\n")));
    for table in ["approval", "verify", "validate"] {
        parsed.extend(known(table, &format!("{SMALLEST}{table}.zz = 1\n")));
    }
    parsed.extend(known("retention", &format!("{SMALLEST}[retention]\nzz = 1\n")));
    assert_eq!(documented(""), parsed);
}

#[test]
fn documentation_marks_every_refused_key() {
    let errors = errors(EVERYTHING);
    let refused = errors.lines().filter(|line| line.contains("is not available in this version"));
    let refused = refused.map(|line| {
        let path: Vec<&str> = line.split(": ").nth(1).unwrap().split('.').collect();
        match path[..] {
            [name] => key("The application", name),
            [_, name] => key("environment", name),
            _ => key(path[path.len() - 2], path[path.len() - 1]),
        }
    });
    let refused: BTreeSet<Key> = refused.collect();
    assert!(refused.len() >= 2, "{errors}");
    assert_eq!(documented("only"), refused);
}
