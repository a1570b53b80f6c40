//! Votes on a promotion: quorum, rejection, expiry and simultaneous clicks.

use std::thread;

use stablepin_tests::wait::until;
use stablepin_tests::{Link, Plan};
use xtask::aws::Response;
use xtask::image::Spec;

#[test]
fn rejection_cancels_a_promotion_and_stores_the_reason() {
    let app = Plan::new("reject").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);

    let answer = link.reject("");
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("write a reason"), "{}", answer.text());
    assert_eq!(link.decide("maybe", "").status, 400);
    assert_eq!(app.promotion(link.promotion())["state"], "Pending", "nothing was decided");

    assert_eq!(link.reject("breaks the <login> page").status, 200);
    let (state, reason) = app.ended(link.promotion());
    assert_eq!(state, "Cancelled");
    assert_eq!(reason, format!("rejected by {}: breaks the <login> page", app.approver("lead")));
    let last = app.audit().pop().expect("an audit record");
    assert_eq!(
        (&last["to"], &last["actor"]["approver"]),
        (&"Cancelled".into(), &app.approver("lead").into())
    );
    assert!(last["reason"].as_str().is_some_and(|reason| reason.ends_with("breaks the <login> page")));
    assert!(link.get().text().contains("breaks the &lt;login&gt; page"), "escaped on the page");
    assert_eq!((app.pins(), app.tag("prod-stable")), (vec![], None));
}

#[test]
fn quorum_of_two_needs_two_approvers() {
    let app = Plan::new("quorum").approvers(["lead", "deputy", "third"], 2).create();
    let digest = app.push("main", &Spec::new("1"));
    let [lead, deputy, third] = ["lead", "deputy", "third"].map(|name| app.link_of(name, &digest));

    assert!(lead.approve().text().contains("1 more approval is needed."));
    assert_eq!(lead.approve().status, 409, "a second vote of the same person");
    assert_eq!(app.pins(), []);

    assert_eq!(deputy.approve().status, 200);
    assert_eq!(app.pins(), [(1, digest)]);
    // Another invocation may still be mailing the lead's vote confirmation and may move the stable
    // tag only afterwards, so the test waits for the page.
    until("the pin on the page", || deputy.get().text().contains("It is pin 1").then_some(()));
    assert_eq!(third.approve().status, 409, "the promotion is decided already");
    assert_eq!(app.audited("Pin Change"), ["- → 1"]);
}

/// A changed application file also applies to open promotions. The promoter checks open promotions
/// immediately, so that no approver must vote again.
#[test]
fn changed_application_file_applies_to_open_promotions() {
    let app = Plan::new("fewer").approvers(["lead", "deputy", "third"], 3).create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    link.approve();
    app.settled(&digest);
    let mut plan = app.plan.clone();
    plan.required = 1;
    assert_eq!(app.put(&plan.toml()).status, 200);
    until("the pin", || (app.pins() == [(1, digest.clone())]).then_some(()));

    let app = Plan::new("more").approvers(["lead", "deputy"], 1).create();
    let mut fewer = app.plan.clone();
    fewer.approvers.retain(|name| name.starts_with("lead"));
    assert_eq!(app.put(&fewer.toml()).status, 200);
    let digest = app.push("main", &Spec::new("1"));
    app.link(&digest);
    app.settled(&digest);
    assert_eq!(app.mails("deputy").len(), 0);
    assert_eq!(app.put(&app.plan.toml()).status, 200);
    app.link_of("deputy", &digest);
}

#[test]
fn one_rejection_cancels_a_promotion() {
    let app = Plan::new("veto").approvers(["lead", "deputy"], 2).create();
    let digest = app.push("main", &Spec::new("1"));
    let [lead, deputy] = ["lead", "deputy"].map(|name| app.link_of(name, &digest));
    lead.approve();
    assert_eq!(deputy.reject("no").status, 200);
    assert_eq!(app.ended(lead.promotion()).0, "Cancelled");
    assert_eq!(app.pins(), []);
}

/// The current application file decides who may vote, not the file at the time of the mail.
#[test]
fn removed_approver_cannot_vote() {
    let plan = Plan::new("removed").approvers(["lead", "deputy"], 1);
    let app = plan.clone().create();
    let digest = app.push("main", &Spec::new("1"));
    let [lead, deputy] = ["lead", "deputy"].map(|name| app.link_of(name, &digest));

    let mut without = plan;
    without.approvers.retain(|name| !name.starts_with("deputy"));
    assert_eq!(app.put(&without.toml()).status, 200);
    let answer = deputy.approve();
    assert_eq!(answer.status, 410);
    assert!(answer.text().contains("no longer an approver"), "{}", answer.text());
    assert_eq!(app.pins(), []);
    assert_eq!(lead.approve().status, 200);
}

#[test]
fn undecided_promotion_expires() {
    let app = Plan::new("expires").create();
    let link = app.link(&app.push("main", &Spec::new("1")));
    let sk = format!("PROMOTION#{}", link.promotion());
    // The tagger sends the mail first and records the mail afterwards, so the test waits for the
    // tagger.
    until("the tagger has ended", || {
        app.items(&sk).iter().any(|item| item["record"]["operation"]["lease"].is_null()).then_some(())
    });
    app.rewrite(&sk, "record.operation.work.Promotion.expires_at", "2026-01-01T00:00:00Z");
    app.pause_ends(link.promotion());
    let answer = link.approve();
    assert_eq!(answer.status, 410);
    assert!(answer.text().contains("has expired"), "{}", answer.text());

    app.tick();
    let (state, reason) = app.ended(link.promotion());
    assert_eq!((state.as_str(), reason.as_str()), ("Cancelled", "expired: nobody decided in time"));
    assert_eq!(app.pins(), []);
}

/// A wrong link reveals nothing, not even whether the promotion exists.
#[test]
fn wrong_approval_links_get_identical_responses() {
    let app = Plan::new("oracle").create();
    let other = Plan::new("oracle-b").create();
    let build = app.push("main", &Spec::new("1"));
    let link = app.link(&build);
    let others = other.link(&other.push("main", &Spec::new("1")));
    app.settled(&build);

    let nowhere = link.page.replace(link.promotion(), "019b0000-0000-7000-8000-000000000000");
    let wrong = [
        link.with_token("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
        link.with_token(""),
        link.with_token("x"),
        link.with_token(&others.token),
        Link { page: nowhere, ..link.clone() },
        Link { page: link.page.replace("/production/", "/staging/"), ..link.clone() },
        Link { page: link.page.replace(&app.plan.name, &other.plan.name), ..link.clone() },
        Link { page: link.page.replace(&app.plan.name, "no-such-app"), ..link.clone() },
    ];
    let before = app.everything();
    for wrong in &wrong {
        let (get, post) = (wrong.get(), wrong.approve());
        assert_eq!((get.status, post.status), (404, 404), "{}", wrong.page);
        assert!(get.text().contains("This link is not known"), "{}", get.text());
        let unknown = answered(&link.with_token("BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB").get());
        assert_eq!([answered(&get), answered(&post)], [unknown.clone(), unknown], "{}", wrong.page);
        let status = wrong.status();
        assert_eq!((status.status, answered(&status)), (404, answered(&get)));
    }
    assert_eq!(app.everything(), before);
    assert_eq!(link.approve().status, 200, "the correct link still works");
}

/// Returns the body and the headers of a response, without the headers that differ in every
/// response.
fn answered(answer: &Response) -> (Vec<u8>, Vec<(String, String)>) {
    let own = ["date", "apigw-requestid", "x-amzn-requestid", "x-amz-request-id", "x-amz-id-2"];
    let headers = answer.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    (answer.body.clone(), headers.cloned().collect())
}

/// Simultaneous clicks can come from several open browsers or from a forged request.
#[test]
fn simultaneous_clicks_on_a_link_count_once() {
    let app = Plan::new("clicks").create();
    let digest = app.push("main", &Spec::new("1"));
    let link = app.link(&digest);
    let statuses: Vec<u16> = thread::scope(|scope| {
        let clicks: Vec<_> = (0..8).map(|_| scope.spawn(|| link.approve().status)).collect();
        clicks.into_iter().map(|click| click.join().expect("an answer")).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 200 | 409)), "{statuses:?}");
    assert_eq!(app.pins(), [(1, digest)]);
    assert_eq!(app.audited("Pin Change"), ["- → 1"]);
}

/// Rule 3: simultaneous approvals of several builds leave no gap in the pin numbers.
#[test]
fn simultaneous_approvals_leave_no_gap_in_pin_numbers() {
    let app = Plan::new("race").create();
    let builds: Vec<_> =
        (0..4).map(|at| app.push(&format!("main-{at}"), &Spec::new(&at.to_string()))).collect();
    let links: Vec<_> = builds.iter().map(|digest| app.link(digest)).collect();
    thread::scope(|scope| {
        for link in &links {
            scope.spawn(|| link.approve());
        }
    });
    for link in &links {
        app.ended(link.promotion());
    }
    let pins = app.pins();
    assert!(!pins.is_empty());
    let numbers: Vec<_> = pins.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=pins.len() as u64).collect::<Vec<_>>());
    assert_eq!(app.tag("prod-stable").as_ref(), pins.last().map(|(_, digest)| digest), "stable tag = pin");
    assert_eq!(app.audited("Pin Change").len(), pins.len());
}
