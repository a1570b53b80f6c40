//! Tests of the size, the escaping and the security headers of the console's pages.

use stablepin_http::page::{STYLE as FRAME, source};
use stablepin_rules::name::ApplicationName;
use stablepin_rules::records::{Aftermath, PromotionReason, PromotionState, RolloutFailure, Verdict};

use super::fixtures::{
    body, build_tag, digest, frozen, healthy, healthy_environment, held, lists, of_production, pin,
    promotion, settings, shows, subjects, visit, voted,
};
use crate::console::page::{
    Environment, Found, Pending, STYLE, Shown, internal_error, no_such_application, overview, refused,
};

/// A text for a commit, tag or reason. Its markup tries to change the page.
const HOSTILE: &str = "</textarea><script>alert(\"1\")</script> 'x' &amp;\r\n\u{202e}evorppa";

/// Returns environments with the most and the longest values that can exist. Their reasons are
/// hostile.
fn full(name: &str, environments: usize) -> Vec<Environment> {
    let of = |subject| {
        let mut environment = held(frozen(healthy(subject), &HOSTILE.repeat(9)), &"\"".repeat(500));
        environment.subject.environment.applied = None;
        environment.pending = Pending { count: 30, newest: Some(build_tag(9).to_string()) };
        environment.pins = (2..=7).rev().map(pin).collect();
        environment.live[0].found = Found::Tasks((10..13).map(|number| (Some(digest(number)), 9)).collect());
        environment
    };
    subjects(name, environments).into_iter().map(of).collect()
}

#[test]
fn console_pages_are_small_and_link_to_omitted_values() {
    let name = |number: usize| format!("{}{number}", "a".repeat(38));
    let shown: Vec<Shown> = (0..10)
        .map(|number| Shown {
            name: ApplicationName::parse(&name(number)).unwrap(),
            environments: Some(full(&name(number), 6)),
        })
        .collect();
    let page = overview(visit(), &shown, true);
    assert!(body(&page).len() < 20_000, "{}", body(&page).len());
    let sections = body(&page).matches("<section").count();
    assert!((1..10).contains(&sections));
    assert!(body(&page).contains(&format!("/console?after={}\"", name(sections - 1))));
    assert!(body(&page).contains("2 more environments"));

    let history: Vec<_> = (10..30)
        .rev()
        .map(|number| {
            let mut promotion =
                voted(promotion(number, PromotionState::Failed), Verdict::Approve, &"\"".repeat(500));
            promotion.reason = Some(failed(&HOSTILE.repeat(9)));
            of_production(promotion)
        })
        .collect();
    let page = shows(&full("web", 9), &history);
    let text = body(&page);
    assert!(text.len() < 20_000, "{}", text.len());
    let sections = text.matches("<section").count();
    assert!(
        (1..9).contains(&sections) && text.contains(&format!("?from=production-{sections}\"")),
        "{sections}"
    );
    let entries = text.matches("<li id").count();
    assert!((1..20).contains(&entries));
    assert!(text.contains(&format!("?before={}\"", history[entries - 1].1.id())));
    let page = shows(&[], &history);
    assert!(body(&page).len() < 20_000 && body(&page).matches("<li id").count() > entries);

    let calm: Vec<Shown> = (0..10)
        .map(|number| Shown {
            name: ApplicationName::parse(&name(number)).unwrap(),
            environments: Some(subjects(&name(number), 2).into_iter().map(healthy).collect()),
        })
        .collect();
    let page = overview(visit(), &calm, false);
    assert!(body(&page).len() < 20_000, "{}", body(&page).len());
}

fn failed(text: &str) -> PromotionReason {
    let failure = RolloutFailure::Reported(text.to_owned());
    PromotionReason::Failed { failure, aftermath: Aftermath::Unchanged }
}

#[test]
fn console_escapes_hostile_values() {
    let mut rejected = voted(promotion(6, PromotionState::Cancelled), Verdict::Reject, HOSTILE);
    rejected.reason = Some(failed(HOSTILE));
    let environment = held(frozen(healthy_environment(), HOSTILE), HOSTILE);
    let pages = [
        shows(&[environment], &[of_production(rejected)]),
        lists(held(frozen(healthy_environment(), HOSTILE), HOSTILE)),
    ];
    for page in &pages {
        let text = body(page);
        assert!(
            !text.contains("<script") && !text.contains('\u{202e}') && !text.contains("</textarea>&"),
            "{text}"
        );
        assert!(text.contains(
            "&lt;/textarea&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; 'x' &amp;amp; evorppa"
        ));
    }
}

#[test]
fn console_pages_forbid_scripts_framing_and_caching() {
    let pages = [
        overview(visit(), &[], false),
        shows(&[healthy_environment()], &[]),
        refused(&settings()),
        no_such_application(visit()),
        internal_error("0a1b"),
    ];
    for page in &pages {
        let header =
            |name: &str| page.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let style = body(page).split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        assert_eq!(style, format!("{FRAME}{STYLE}"));
        assert_eq!(
            header("content-security-policy"),
            format!(
                "default-src 'none'; style-src '{}'; img-src data:; form-action 'self'; base-uri 'none'; \
                 frame-ancestors 'none'",
                source(style)
            )
        );
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("x-robots-tag", "noindex"),
            ("cross-origin-opener-policy", "same-origin"),
            ("strict-transport-security", "max-age=63072000"),
        ] {
            assert_eq!(header(name), value);
        }
        assert!(!body(page).contains("style=\"") && !body(page).contains("<form"), "{}", body(page));
    }
}
