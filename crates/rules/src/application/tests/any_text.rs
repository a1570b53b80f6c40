//! Property tests: the parser of application files reads random text.

use proptest::prelude::*;

use super::fixtures::{EVERYTHING, EXAMPLE, SMALLEST};
use crate::application::{Application, difference};

proptest! {
    #[test]
    fn file_parser_never_panics(text in "\\PC{0,200}|[a-z\\[\\]{}=\"'.,#\n\t 0-9]{0,200}") {
        let _ = Application::parse(&text, None);
        let _ = difference(Some(EXAMPLE), &text);
        let _ = difference(Some(&text), EXAMPLE);
    }

    /// Makes a few random changes to a sample file. The parser must refuse the result at a position
    /// in the file, or return a consistent application.
    #[test]
    fn changed_file_is_refused_or_gives_a_consistent_application(
        base in proptest::sample::select(vec![EXAMPLE, EVERYTHING, SMALLEST]),
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), 0..6_usize, change()), 1..6),
    ) {
        let mut text: Vec<char> = base.chars().collect();
        for (place, removed, put) in changes {
            let place = place.index(text.len() + 1);
            let end = (place + removed).min(text.len());
            text.splice(place..end, put.chars());
        }
        let text: String = text.into_iter().collect();
        match Application::parse(&text, None) {
            Ok(application) => is_consistent(&application)?,
            Err(errors) => {
                prop_assert!(!errors.is_empty());
                for error in errors {
                    let lines: Vec<&str> = text.strip_prefix('\u{feff}').unwrap_or(&text).split('\n').collect();
                    prop_assert!((1..=lines.len()).contains(&error.line), "{}", error);
                    let columns = lines[error.line - 1].chars().count() + 1;
                    prop_assert!((1..=columns).contains(&error.column), "{}", error);
                    prop_assert!(!error.to_string().contains(['\n', '\r']), "{}", error);
                }
            }
        }
        prop_assert_eq!(difference(Some(&text), &text), []);
    }
}

fn change() -> impl Strategy<Value = String> {
    let words = [
        "",
        "\n",
        "\"",
        "[",
        "]",
        "{",
        "}",
        "=",
        ",",
        "#",
        ".",
        "-",
        "*",
        "!",
        "0",
        "1",
        "é",
        "\u{feff}",
        "\r\n",
        "\t",
        "\"\"\"",
        "[[environment]]\n",
        "[[approver]]\nname = \"second\"\nmail = \"second@example.com\"\n",
        "name = \"staging\"\n",
        "services = [\"a/b\"]\n",
        "deploy = \"never\"\n",
        "after = \"production\"\n",
        "required = 2",
        "\"lead\"",
        "99999999999",
    ];
    proptest::sample::select(words.to_vec()).prop_map(str::to_owned)
}

fn is_consistent(application: &Application) -> Result<(), TestCaseError> {
    prop_assert!(!application.builds.include.is_empty());
    prop_assert!(application.environment(&application.build_environment).is_some());
    let resources = application.resources();
    prop_assert_eq!(resources.stable_tags.len(), application.environments.len());
    let services: usize = application.environments.iter().map(|e| e.services.len()).sum();
    prop_assert_eq!(resources.services.len(), services);
    for environment in &application.environments {
        let approval = &environment.approval;
        prop_assert!(usize::from(approval.required) <= approval.approvers.len());
        prop_assert!(approval.approvers.iter().all(|name| application.approver(name).is_some()));
        prop_assert!(!application.builds.matches(&environment.stable_tag));
    }
    Ok(())
}
