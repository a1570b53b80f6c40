//! Tests of the limits that apply only to new files.

use super::fixtures::{SMALLEST, errors, new_errors};
use crate::application::Application;

#[test]
fn new_file_with_too_long_service_names_is_refused() {
    // 50 services with names of 160 characters exactly reach the limit.
    let with = |last: usize| {
        let name = |n: usize| {
            let letters = if n == 49 { last } else { 58 };
            format!("\"{}/{}{n:02}\"", "c".repeat(99), "s".repeat(letters))
        };
        let names: Vec<String> = (0..50).map(name).collect();
        format!("{SMALLEST}services = [{}]\n", names.join(", "))
    };
    assert!(!new_errors(&with(58)).contains("characters together"));
    let said = "environment: names services with 8001 characters together, and may have 8000";
    assert!(new_errors(&with(59)).contains(said), "{}", new_errors(&with(59)));
    assert!(!errors(&with(59)).contains("characters together"), "a stored file stays in force");
}

#[test]
fn new_file_with_too_long_lists_is_refused() {
    let list =
        |count: usize, item: fn(usize) -> String| format!("{:?}", (0..count).map(item).collect::<Vec<_>>());
    let principal = |n| format!("arn:aws:iam::111122223333:role/r{n}");
    let with = |key: &str, most: usize, item: fn(usize) -> String, beyond: usize| {
        let list = list(most + beyond, item);
        match key {
            "builds" => SMALLEST.replace("[\"main-*\"]", &list),
            "principals" => {
                SMALLEST.replace("[[environment]]", &format!("principals = {list}\n[[environment]]"))
            }
            "endpoints" => format!("{SMALLEST}verify.endpoints = {list}\n"),
            _ => format!("{SMALLEST}[retention]\n{key} = {list}\n"),
        }
    };
    for (key, place, most, item) in [
        ("builds", "builds", 50, (|n| format!("v{n}-*")) as fn(usize) -> String),
        ("principals", "approver[0].principals", 20, principal),
        ("endpoints", "environment[0].verify.endpoints", 20, |n| format!("https://web{n}.example.com/")),
        ("protect", "retention.protect", 50, |n| format!("v{n}")),
        ("waive", "retention.waive", 50, |n| format!("{n:012}")),
    ] {
        assert_eq!(new_errors(&with(key, most, item, 0)), "no error", "{key}, at its limit");
        let beyond = with(key, most, item, 1);
        let said = format!("{place}: has {} entries, and may have {most}", most + 1);
        assert!(new_errors(&beyond).ends_with(&said), "{}", new_errors(&beyond));
        assert!(Application::parse(&beyond, None).is_ok(), "a stored file is still readable");
    }
}
