//! Votes by link and by signed request: which votes count, and which votes Stablepin refuses.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use serde_json::{Value, json};
use stablepin_tests::crash::{Fault, decision, invoke};
use stablepin_tests::wait::until;
use stablepin_tests::{App, Link, Plan, runs_deep, stack};
use xtask::image::Spec;

fn signed(app: &App, approver: &str, link: &Link, decision: &str, reason: &str) -> (u16, Value) {
    let path = format!("/promotions/{}/decision", link.promotion());
    let body = json!({ "decision": decision, "reason": reason });
    app.api_as(&app.signs_as(approver), "POST", &path, Some(&body))
}

/// A mail scanner may open links and press buttons, but types no code. An attacker who guesses the
/// code has five tries.
#[test]
fn five_wrong_codes_disable_the_approval_link() {
    let app = Plan::new("codes").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    app.settled(&digest);
    for left in (1..=4).rev() {
        let answer = link.with_code("000-000").approve();
        assert_eq!(answer.status, 422);
        assert!(answer.text().contains(&format!("{left} more wrong codes")), "{}", answer.text());
    }
    let last = link.with_code("").reject("a rejection needs it too");
    assert_eq!(last.status, 410);
    assert!(last.text().contains("no longer works"), "{}", last.text());
    for burnt in [link.approve(), link.get()] {
        assert_eq!(burnt.status, 410, "the right code comes too late");
    }
    assert_eq!(app.promotion(link.promotion())["state"], "Pending", "the promotion is still open");
    let last = app.audit().pop().expect("an audit record");
    assert!(last["reason"].as_str().is_some_and(|reason| reason.contains("5 wrong codes")), "{last}");

    // The attacker has only the disabled link. The approver gets a new link.
    app.tick();
    let fresh = until("another mail", || app.mails("lead").get(1).map(Link::of));
    assert_ne!(fresh.token, link.token);
    assert_eq!(fresh.approve().status, 200);
    assert_eq!(app.pins(), [(1, digest)]);
}

#[test]
fn approval_accepts_a_code_in_lower_case_with_spaces() {
    let app = Plan::new("typing").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    let typed = format!(" {} ", link.code.to_lowercase().replace('-', " "));
    assert_eq!(link.with_code(&typed).approve().status, 200);
}

#[test]
fn approver_must_type_the_environment_name_to_approve() {
    let app = Plan::new("typed").approved_with("step = \"type\"").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    assert!(app.mails("lead")[0].code().is_none(), "the mail has no code when the page asks for none");
    let answer = link.approve();
    assert_eq!(answer.status, 422);
    assert!(answer.text().contains("Type the environment"), "{}", answer.text());
    assert_eq!(link.typing("staging").approve().status, 422);
    assert_eq!(link.typing("production").approve().status, 200);
}

/// A vote counts only if the facts that the page showed are still current.
#[test]
fn vote_from_an_outdated_page_is_refused() {
    let app = Plan::new("stale").create();
    let first = app.push("main", &Spec::new("1"));
    app.link(&first);
    let second = app.push_after(&first, &Spec::new("2"));
    let link = app.link(&second);
    let stale = link.seen();
    app.approve(&first);

    let answer = stale.approve();
    assert_eq!(answer.status, 409);
    let text = answer.text();
    assert!(text.contains("has changed since you opened it") && text.contains("pin 1"), "{text}");
    assert_eq!(app.pins().len(), 1);
    let seen = link.seen();
    assert_eq!(seen.approve().status, 200);
    let vote = app.promotion(link.promotion())["votes"][app.approver("lead")].clone();
    assert_eq!(
        vote["facts"].as_str(),
        seen.facts.as_deref(),
        "the vote records the facts that the approver saw"
    );
    let audit = app.audit();
    assert!(audit.iter().any(|one| one["facts"] == vote["facts"]), "the audit trail records them too");
}

#[test]
fn simultaneous_approvals_create_one_pin() {
    for (required, pinned) in [(1, 1), (2, 1)] {
        let app = Plan::new("at-once").approvers(["lead", "deputy"], required).create();
        let digest = app.push("main", &Spec::new("1"));
        let links = ["lead", "deputy"].map(|name| app.link_of(name, &digest));
        let answers = thread::scope(|scope| {
            let clicks = links.each_ref().map(|link| scope.spawn(|| link.approve()));
            clicks.map(|click| click.join().expect("an answer"))
        });
        app.ended(links[0].promotion());
        assert_eq!(app.pins().len(), pinned);
        assert_eq!(app.audited("Pin Change"), ["- → 1"]);
        let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
        assert_eq!(refused.len(), usize::from(required == 1), "{answers:?}");
        let votes = app.promotion(links[0].promotion())["votes"].clone();
        let first = votes.as_object().and_then(|votes| votes.keys().next()).expect("a vote").clone();
        assert_eq!(votes.as_object().map(serde_json::Map::len), Some(usize::from(required)));
        for answer in refused {
            assert_eq!(answer.status, 409);
            assert!(answer.text().contains(&format!("{first} approved it on ")), "{}", answer.text());
        }
    }
}

#[test]
fn approver_cannot_vote_by_link_and_again_by_signature() {
    let app = Plan::new("ways").approvers(["lead", "deputy"], 2).who_sign().create();
    let digest = app.push("main", &Spec::new("1"));
    let [lead, deputy] = ["lead", "deputy"].map(|name| app.link_of(name, &digest));
    assert_eq!(lead.approve().status, 200);
    let (status, problem) = signed(&app, "lead", &lead, "approve", "again");
    assert_eq!(
        (status, &problem["type"]),
        (409, &json!("urn:stablepin:problem:already-decided")),
        "{problem}"
    );
    assert_eq!(app.pins(), []);

    let (status, answer) = signed(&app, "deputy", &deputy, "approve", "tried it");
    assert_eq!(status, 200, "{answer}");
    assert_eq!(app.pins(), [(1, digest)]);
    // Another invocation may still be mailing the lead's vote confirmation and may move the stable
    // tag only afterwards, so the test waits for the end of the promotion.
    assert_eq!(app.ended(lead.promotion()).0, "Completed");
    assert_eq!(deputy.approve().status, 409, "the link decides nothing more");
    let vote = app.promotion(lead.promotion())["votes"][app.approver("deputy")].clone();
    let user = format!("arn:aws:iam::000000000000:user/{}", app.approver("deputy"));
    assert_eq!((&vote["actor"]["arn"], &vote["reason"]), (&json!(user), &json!("tried it")));
}

#[test]
fn signed_vote_of_a_non_approver_is_refused() {
    let app = Plan::new("outsider").create();
    let link = app.link(&app.push("main", &Spec::new("1")));
    let path = format!("/promotions/{}/decision", link.promotion());
    let (status, problem) = app.api("POST", &path, Some(&json!({ "decision": "approve" })));
    assert_eq!(
        (status, &problem["type"]),
        (403, &json!("urn:stablepin:problem:not-an-approver")),
        "{problem}"
    );
    let url = format!("{}/v1/applications/{}{path}", stack().api(), app.plan.name);
    let unsigned = app.aws.call("POST", &url, Some(b"{}"), None, false).expect("an answer");
    assert_eq!(unsigned.status, 403);
    let (status, _) = app.api("POST", &path, Some(&json!({ "decision": "perhaps" })));
    assert_eq!(status, 400);
    let nowhere = "/promotions/019b0000-0000-7000-8000-000000000000/decision";
    assert_eq!(app.api("POST", nowhere, Some(&json!({ "decision": "approve" }))).0, 404);
    assert_eq!(app.promotion(link.promotion())["state"], "Pending");
}

/// Stablepin refuses the requester's vote on the requester's own promotion, by link and by signed
/// request.
#[test]
fn requester_cannot_approve_own_request() {
    let plan = Plan::new("eyes").approvers(["lead", "deputy"], 1).who_sign();
    let app = plan.approved_with("four_eyes = \"strict\"").create();
    let digest = app.push("main", &Spec::new("1"));
    let pushed = app.link(&digest);
    let answer = pushed.approve();
    assert_eq!(answer.status, 410);
    assert!(answer.text().contains("The pusher is not known"), "{}", answer.text());

    let ask = json!({ "digest": digest, "reason": "the release of today" });
    let (status, answer) =
        app.api_as(&app.signs_as("lead"), "POST", "/environments/production/promotions", Some(&ask));
    assert_eq!(status, 202, "{answer}");
    let promotion = answer["promotion"].as_str().expect("an id").to_owned();
    assert_eq!(promotion, pushed.promotion(), "a recent promotion of the same build is reused");
    let lead = pushed;
    let own = lead.approve();
    assert_eq!(own.status, 410);
    assert!(own.text().contains("Somebody else must decide"), "{}", own.text());
    let path = format!("/promotions/{promotion}/decision");
    let (status, problem) =
        app.api_as(&app.signed_in("lead"), "POST", &path, Some(&json!({ "decision": "approve" })));
    assert_eq!((status, &problem["type"]), (403, &json!("urn:stablepin:problem:own-request")), "{problem}");
    assert_eq!(app.pins(), []);

    assert_eq!(app.link_of("deputy", &digest).approve().status, 200);
    assert_eq!(app.pins(), [(1, digest)]);
}

#[test]
fn signed_request_opens_a_new_promotion_without_a_push() {
    let app = Plan::new("ask").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    assert_eq!(link.reject("not today").status, 200);
    let path = "/environments/production/promotions";
    let (status, answer) = app.api("POST", path, Some(&json!({ "digest": digest })));
    assert_eq!(status, 202, "{answer}");
    let fresh = until("another mail", || {
        app.tick();
        let link = app.link(&digest);
        (link.promotion() == answer["promotion"].as_str().unwrap_or_default()).then_some(link)
    });
    assert!(app.mails("lead").pop().is_some_and(|mail| mail.body.contains("by a signed request")));
    assert_eq!(fresh.approve().status, 200);
    assert_eq!(app.pins(), [(1, digest)]);

    let never = format!("sha256:{}", "5eed".repeat(16));
    assert_eq!(app.api("POST", path, Some(&json!({ "digest": never }))).0, 404);
    assert_eq!(app.api("POST", path, Some(&json!({ "digest": "latest" }))).0, 400);
}

/// Stablepin orders builds by time in whole seconds. Within one second, retries or several people
/// may request the same build.
#[test]
fn simultaneous_requests_open_one_promotion() {
    let app = Plan::new("asks").create();
    let digest = app.push("main", &Spec::new("1"));
    app.link(&digest).reject("not today");
    let ask = json!({ "digest": digest });
    let path = "/environments/production/promotions";
    let answers: Vec<(u16, Value)> = thread::scope(|scope| {
        let asks: Vec<_> = (0..6).map(|_| scope.spawn(|| app.api("POST", path, Some(&ask)))).collect();
        asks.into_iter().map(|ask| ask.join().expect("an answer")).collect()
    });
    assert!(answers.iter().all(|(status, _)| *status == 202), "{answers:?}");
    let promotions: BTreeSet<&str> =
        answers.iter().map(|(_, answer)| answer["promotion"].as_str().expect("an id")).collect();
    assert_eq!(promotions.len(), 1, "{answers:?}");
    assert_eq!(app.promotions().len(), 2, "the rejected promotion and the new one");
}

/// The environment needs no approval, so a signed request alone is enough to pin the build and to
/// move the stable tag.
#[test]
fn signed_request_pins_the_build_if_no_approval_is_needed() {
    let mut plan = Plan::new("ask-none");
    plan.required = 0;
    let app = plan.create();
    let first = app.push("main", &Spec::new("1"));
    until("the first pin", || (app.pins().len() == 1).then_some(()));
    app.settled(&first);
    let second = app.push("main", &Spec::new("2"));
    until("the second pin", || (app.pins().len() == 2).then_some(()));
    app.settled(&second);
    let ask = json!({ "digest": first });
    assert_eq!(app.api("POST", "/environments/production/promotions", Some(&ask)).0, 202);
    // The promoter validates the image again, and then pins it.
    until("the third pin", || {
        app.tick();
        (app.pins().last() == Some(&(3, first.clone()))).then_some(())
    });
    until("the stable tag", || (app.tag("prod-stable").as_ref() == Some(&first)).then_some(()));
}

#[test]
fn withdrawn_promotion_cannot_be_approved() {
    let app = Plan::new("withdraw").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    let path = format!("/promotions/{}/withdraw", link.promotion());
    let (status, answer) = app.api("POST", &path, Some(&json!({ "reason": "wrong branch" })));
    assert_eq!((status, &answer["state"]), (200, &json!("Cancelled")), "{answer}");
    let page = link.get();
    assert!(page.text().contains("wrong branch"), "{}", page.text());
    assert_eq!(link.approve().status, 409);
    assert_eq!(app.api("POST", &path, None).0, 409, "a promotion is withdrawn once");
    assert_eq!(app.pins(), []);
}

/// DynamoDB may delete an expired item only days after its expiry. A link must stop working at its
/// expiry.
#[test]
fn vote_by_an_expired_link_is_refused() {
    let app = Plan::new("old-link").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    app.settled(&digest);
    let hash = app.promotion(link.promotion())["asked"][app.approver("lead")]["token"].clone();
    let ask = json!({
        "TableName": stack().table(),
        "Key": { "pk": { "S": format!("TOKEN#{}", hash.as_str().expect("a hash")) }, "sk": { "S": "TOKEN" } },
        "UpdateExpression": "SET #record.expires_at = :past",
        "ConditionExpression": "attribute_exists(pk)",
        "ExpressionAttributeNames": { "#record": "record" },
        "ExpressionAttributeValues": { ":past": { "S": "2026-01-01T00:00:00Z" } },
    });
    app.aws.dynamodb("UpdateItem", &ask).expect("the table accepts the change");
    let answer = link.approve();
    assert_eq!(answer.status, 410);
    assert!(answer.text().contains("This link has expired"), "{}", answer.text());
    assert_eq!(app.pins(), []);
}

/// Each kind of unusable link has its own page with the reason. No unusable link changes anything.
#[test]
fn page_of_an_unusable_link_shows_the_reason() {
    let app = Plan::new("why").approvers(["lead", "deputy"], 1).create();
    let first = app.push("main", &Spec::new("1"));
    let [lead, deputy] = ["lead", "deputy"].map(|name| app.link_of(name, &first));
    lead.reject("no");
    let second = app.push_after(&first, &Spec::new("2"));
    let third = app.push_after(&second, &Spec::new("3"));
    let overtaken = app.link(&second);
    app.approve(&third);
    app.ended(overtaken.promotion());
    let others = lead.with_token(&overtaken.token);
    let withdrawn = app.link(&app.push_after(&third, &Spec::new("4")));
    app.api("POST", &format!("/promotions/{}/withdraw", withdrawn.promotion()), None);
    // The first application has reached its limit of approval requests without a vote, so this part
    // needs a second application.
    let other = Plan::new("why-not").approvers(["lead", "deputy"], 1).create();
    let last = other.push("main", &Spec::new("5"));
    let [expired, removed] = ["lead", "deputy"].map(|name| other.link_of(name, &last));
    other.settled(&last);
    let mut without = other.plan.clone();
    without.approvers.retain(|name| !name.starts_with("deputy"));
    assert_eq!(other.put(&without.toml()).status, 200);
    let refused = removed.approve();
    assert!(refused.status == 410 && refused.text().contains("no longer an approver"), "{}", refused.text());
    let sk = format!("PROMOTION#{}", expired.promotion());
    other.rewrite(&sk, "record.operation.work.Promotion.expires_at", "2026-01-01T00:00:00Z");

    let titles: BTreeSet<String> = [&lead, &overtaken, &others, &withdrawn, &expired]
        .map(|link| {
            let page = link.approve();
            assert!(page.status >= 400, "{}", page.status);
            let text = page.text();
            text.split_once("<h1>")
                .and_then(|(_, rest)| rest.split_once("</h1>"))
                .expect("a title")
                .0
                .to_owned()
        })
        .into();
    assert_eq!(titles.len(), 5, "{titles:?}");
    assert!(deputy.get().text().contains("rejected it on"), "the page names the first voter");
    assert_eq!(app.pins(), [(1, third)]);
}

#[test]
fn hundred_simultaneous_clicks_count_as_one_vote() {
    let clicks = if runs_deep() { 1000 } else { 100 };
    let app = Plan::new("hundred").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    // The emulator accepts at most 100 connections at a time, so the test clicks in rounds of 100.
    let start = Barrier::new(100);
    let click = || {
        (0..clicks / 100)
            .map(|_| {
                start.wait();
                link.approve().status
            })
            .collect::<Vec<_>>()
    };
    let statuses: Vec<u16> = thread::scope(|scope| {
        let threads: Vec<_> = (0..100).map(|_| scope.spawn(click)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("answers")).collect()
    });
    let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((statuses.len(), count(200)), (clicks, 1), "{statuses:?}");
    // AWS throttled some requests, and others failed after many conflicts. Such a request does not
    // count as a vote.
    assert!(
        statuses.iter().all(|status| matches!(status, 200 | 409 | 429 | 500 | 502 | 503)),
        "{statuses:?}"
    );
    assert_eq!(app.pins(), [(1, digest)]);
    assert_eq!(app.audited("Pin Change"), ["- → 1"]);
    let votes = app.promotion(link.promotion())["votes"].as_object().map(serde_json::Map::len);
    assert_eq!(votes, Some(1));
}

/// DynamoDB throttles calls until the Lambda function gives up. If the vote was not stored, the
/// page says that the vote may be lost. API Gateway's own limits are not tested, because a request
/// over these limits never reaches the Lambda function.
#[test]
fn page_warns_that_a_throttled_vote_may_be_lost() {
    let mut untaken = 0;
    for at in 1.. {
        let app = Plan::new("throttled").create();
        let digest = app.push("main", &Spec::new("1"));
        let link = app.link(&digest);
        let run = invoke("approval", &decision(&link, "approve", ""), Some((at, Fault::KeepThrottling)));
        let answer = run.answer.expect("the function was not killed");
        let page = answer["body"].as_str().unwrap_or_default();
        let votes = app.promotion(link.promotion())["votes"].as_object().map_or(0, serde_json::Map::len);
        if votes == 0 {
            untaken += 1;
            assert_eq!(answer["statusCode"], 500, "{at}: {page}");
            assert!(page.contains("your decision may be lost") && page.contains("a-request"), "{at}: {page}");
            assert_eq!(app.pins(), [], "{at}");
            assert_eq!(link.get().status, 200, "{at}: the link still asks");
            assert_eq!(link.approve().status, 200, "{at}: now the vote counts");
        } else {
            assert_eq!(link.approve().status, 409, "{at}: a stored vote counts once");
        }
        assert_eq!(app.pins(), [(1, digest)], "{at}");
        if !run.hit {
            break;
        }
    }
    assert_eq!(untaken, 2, "throttling prevents the vote at the read and at the transaction");
}

#[test]
fn approved_promotion_expires_if_the_freeze_lasts_too_long() {
    let app = Plan::new("frozen").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    app.settled(&digest);
    app.api("PUT", "/environments/production/freeze", Some(&json!({ "reason": "sale" })));
    assert_eq!(link.approve().status, 200);
    let sk = format!("PROMOTION#{}", link.promotion());
    app.rewrite(&sk, "record.operation.work.Promotion.expires_at", "2026-01-01T00:00:00Z");
    app.pause_ends(link.promotion());
    app.tick();
    let ended = app.ended(link.promotion());
    let why = "expired: approved, but the environment is frozen (sale)";
    assert_eq!(ended, ("Cancelled".to_owned(), why.to_owned()));
    assert!(link.get().text().contains("but the environment is frozen (sale)"));
    app.api("DELETE", "/environments/production/freeze", None);
    app.tick();
    assert_eq!(app.pins(), [], "the end of the freeze does not revive the promotion");
}

/// The page's script reads a status document. Stablepin makes the document and the page from the
/// same records, so the document contains no more than the page.
#[test]
fn status_document_shows_the_progress_of_a_promotion() {
    let app = Plan::new("status").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    app.settled(&digest);
    let before = app.everything();
    let open = link.status().json("status").expect("JSON");
    assert_eq!((&open["title"], &open["over"]), (&json!("Waiting for approval"), &json!(false)));
    assert_eq!(open["steps"][0]["name"], "Validated");
    assert_eq!(open["steps"][1], json!({ "name": "Approved", "state": "now", "detail": "0 of 1 needed" }));
    assert_eq!(app.everything(), before);
    link.approve();
    let done = link.status().json("status").expect("JSON");
    assert_eq!((&done["over"], &done["steps"][2]["detail"]), (&json!(true), &json!("pin 1 of production")));
    let unknown = link.with_token("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").status();
    assert_eq!(unknown.status, 404);
}

/// Stablepin records an approval immediately, even during a freeze. Stablepin pins the build when
/// the freeze ends.
#[test]
fn approved_build_is_pinned_when_the_freeze_ends() {
    let app = Plan::new("thaw").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    app.settled(&digest);
    app.api("PUT", "/environments/production/freeze", Some(&json!({ "reason": "sale" })));
    assert!(
        link.get().text().contains("has been frozen since"),
        "the page shows the freeze before anybody decides"
    );
    let answer = link.approve();
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("waits: production is frozen (sale)"), "{}", answer.text());
    assert_eq!(app.pins(), []);
    app.api("DELETE", "/environments/production/freeze", None);
    app.pause_ends(link.promotion());
    until("the pin", || {
        app.tick();
        (app.pins() == [(1, digest.clone())]).then_some(())
    });
}
