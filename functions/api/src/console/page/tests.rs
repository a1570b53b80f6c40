use insta::assert_snapshot;
use stablepin_http::page::{STYLE as FRAME, source};
use stablepin_rules::application::Application as File;
use stablepin_rules::audit::Actor;
use stablepin_rules::build_tag::BuildTag;
use stablepin_rules::image::{ImageTag, RepositoryName};
use stablepin_rules::operation_id::OperationId;
use stablepin_rules::pin_number::PinNumber;
use stablepin_rules::records::{
    Build, Configuration, Current, Environment as Record, Freeze, Hold, NotPut, Occurrence, Promotion,
    Repair, Slot, SlotKind, TakenTag, Verdict, Vote,
};

use super::*;

/// A text for a commit, tag or reason that tries to change what the page says.
const HOSTILE: &str = "</textarea><script>alert(\"1\")</script> 'x' &amp;\r\n\u{202e}evorppa";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn visit() -> Visit {
    Visit { now: at("2026-11-21T15:00:00Z"), until: at("2026-11-21T15:40:00Z") }
}

fn settings() -> AllowedResources {
    AllowedResources::new("eu-central-1".to_owned(), "https://api.example.com".to_owned(), "", "").unwrap()
}

fn id(number: u32) -> OperationId {
    OperationId::parse(&format!("0198184a-0100-7000-8000-{number:012}")).unwrap()
}

fn digest(number: u32) -> ImageDigest {
    ImageDigest::parse(&format!("sha256:{number:064}")).unwrap()
}

fn build_tag(number: u32) -> BuildTag {
    serde_json::from_value(serde_json::json!(format!("production-20261121-1430{number:02}-a1b2c3d4")))
        .unwrap()
}

/// The subjects of an application with this many environments: `production`, `production-1`, …
fn subjects(name: &str, environments: usize) -> Vec<Subject> {
    let mut file = format!(
        "name = \"{name}\"\nrepository = \"web\"\nbuilds = [\"main\"]\n\
         [[approver]]\nname = \"lead\"\nmail = \"lead@example.com\"\n"
    );
    for number in 0..environments {
        let name = if number == 0 { "production".to_owned() } else { format!("production-{number}") };
        file += &format!("[[environment]]\nname = \"{name}\"\nservices = [\"prod/{name}\"]\n");
    }
    let application = File::parse(&file, None).unwrap();
    let names: Vec<_> = application.environments.iter().map(|policy| policy.name.clone()).collect();
    let configuration = Configuration { application, version: 1 };
    let of = |name| Subject {
        configuration: configuration.clone(),
        name,
        environment: Record::untouched(),
        build: None,
        operation: None,
    };
    names.into_iter().map(of).collect()
}

fn pin(number: u32) -> Pin {
    Pin {
        number: PinNumber::new(number.into()).unwrap(),
        digest: digest(number),
        build_tag: build_tag(number),
        commit: None,
        by: id(number),
        at: at("2026-11-21T14:40:00Z"),
        size_bytes: None,
        platforms: Vec::new(),
        revisions: BTreeMap::new(),
    }
}

/// An environment that runs pin 7 and whose stable tag shows it.
fn healthy(mut subject: Subject) -> Environment {
    let record = &mut subject.environment;
    record.pin = Some(pin(7));
    record.applied = Some(pin(7).number);
    record.current = Some(Current { digest: digest(7), by: id(7), tagged: true });
    let live = LiveRow {
        service: subject.policy().unwrap().services[0].clone(),
        found: Found::Tasks(BTreeMap::from([(Some(digest(7)), 2)])),
    };
    Environment { subject, pending: Pending::default(), live: vec![live], pins: vec![pin(7), pin(6), pin(5)] }
}

fn healthy_environment() -> Environment {
    healthy(subjects("web", 1).remove(0))
}

fn frozen(mut environment: Environment, reason: &str) -> Environment {
    let by = Actor::Principal { arn: "arn:aws:iam::111122223333:user/lead".to_owned() };
    let freeze = Freeze { since: at("2026-11-21T09:00:00Z"), reason: reason.to_owned(), by };
    environment.subject.environment.freeze = Some(freeze);
    environment
}

fn held(mut environment: Environment, reason: &str) -> Environment {
    let hold = Hold { since: at("2026-11-21T09:15:00Z"), reason: reason.to_owned(), by: id(3) };
    environment.subject.environment.hold = Some(hold);
    environment
}

fn promotion(number: u32, state: PromotionState) -> Promotion {
    let opened_at = at("2026-11-21T14:31:00Z");
    let build = Build {
        digest: digest(number),
        repository: RepositoryName::parse("web").unwrap(),
        build_tag: build_tag(number),
        tagged: true,
        names_taken: 0,
        commit: None,
        pushed_tag: ImageTag::parse("main").unwrap(),
        pushed_at: opened_at,
        media_type: String::new(),
        size_bytes: None,
        platforms: Vec::new(),
        version: 1,
    };
    Promotion {
        id: id(number),
        digest: digest(number),
        occurrence: Occurrence { at: opened_at, digest: digest(number) },
        build,
        state,
        reason: None,
        opened_at,
        asked_by: None,
        pushers: Default::default(),
        pushed_tag: None,
        ask_at: None,
        expires_at: at("2026-11-24T14:31:00Z"),
        asked: BTreeMap::new(),
        votes: BTreeMap::new(),
        vote_confirmations: Default::default(),
        unreachable: None,
        mail_refused: None,
        build_tag_refused: None,
        rollout: None,
        failure: None,
        revert: None,
        pin: None,
    }
}

fn voted(mut promotion: Promotion, verdict: Verdict, reason: &str) -> Promotion {
    let approver = stablepin_rules::name::ApproverName::parse("lead").unwrap();
    let actor = Actor::Link { approver: approver.clone() };
    let vote = Vote { verdict, reason: Some(reason.to_owned()), at: promotion.opened_at, actor, facts: None };
    promotion.votes.insert(approver, vote);
    promotion
}

fn of_production(promotion: Promotion) -> (EnvironmentName, Operation) {
    let name = EnvironmentName::parse("production").unwrap();
    (name, Operation::new(Work::Promotion(promotion), visit().now))
}

fn shows(environments: &[Environment], history: &[(EnvironmentName, Operation)]) -> Response {
    let name = ApplicationName::parse("web").unwrap();
    application(visit(), &settings(), &Application { name: &name, environments, history, older: false })
}

fn lists(environment: Environment) -> Response {
    let name = environment.subject.application().clone();
    overview(visit(), &[Shown { name, environments: Some(vec![environment]) }], false)
}

fn body(response: &Response) -> &str {
    std::str::from_utf8(response.body.as_ref().unwrap().as_ref()).unwrap()
}

/// The page's status, its title, and the content of `<main>`, one element a line.
fn shown(response: &Response) -> String {
    let (head, rest) = body(response).split_once("<main>").unwrap();
    let main = rest.split_once("</main>").unwrap().0.to_owned();
    let title = head.split_once("<title>").unwrap().1.split_once("</title>").unwrap().0;
    let elements =
        ["<p", "<h1", "<h2", "<h3", "<dl", "<dt", "<section", "<article", "<ol", "<li ", "<nav", "<details"];
    let main = elements.iter().fold(main, |main, element| main.replace(element, &format!("\n{element}")));
    format!("{} {title}{main}", response.status_code)
}

/// The lines that contain one of these words.
fn said(response: &Response, words: &[&str]) -> String {
    let shown = shown(response);
    let lines = shown.lines().filter(|line| words.iter().any(|word| line.contains(word)));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn overview_says_that_nothing_is_registered() {
    assert_snapshot!(shown(&overview(visit(), &[], false)), @r#"
    200 Applications · Stablepin
    <p class="brand"><a href="/console">Stablepin console</a></p>
    <h1>Applications</h1>
    <p>No application is registered here. One is put as a file, by <code>PUT /v1/applications/…</code>.</p>
    <p class="small">As of 2026-11-21 15:00 UTC. Your link ends on 2026-11-21 15:40 UTC. Nothing can be changed here: what changes something is a signed request.</p>
    "#);
}

#[test]
fn overview_shows_a_stable_environment() {
    assert_snapshot!(shown(&lists(healthy_environment())), @r#"
    200 Applications · Stablepin
    <p class="brand"><a href="/console">Stablepin console</a></p>
    <h1>Applications</h1><div class="cards">
    <section class="card">
    <h2><a href="/console/web">web</a></h2>
    <article>
    <h3>production <span class="badges"><b class="badge good">Stable</b></span></h3>
    <dl>
    <dt>Pin</dt><dd><strong>7</strong>, since 2026-11-21 14:40 UTC<br><code>production-20261121-143007-a1b2c3d4</code><br><code>sha256:000000000000</code></dd>
    <dt>Live</dt><dd>pin 7, when last proven</dd></dl></article></section></div>
    <p class="small">As of 2026-11-21 15:00 UTC. Your link ends on 2026-11-21 15:40 UTC. Nothing can be changed here: what changes something is a signed request.</p>
    "#);
}

#[test]
fn application_page_shows_history_and_rollback_commands() {
    let mut completed = voted(promotion(7, PromotionState::Completed), Verdict::Approve, "tried it");
    completed.pin = Some(pin(7).number);
    let mut rejected = voted(promotion(6, PromotionState::Cancelled), Verdict::Reject, "too slow");
    rejected.reason = Some("rejected by lead: too slow".to_owned());
    let repair = Repair {
        id: id(5),
        tag: ImageTag::parse("prod-stable").unwrap(),
        found: Some(digest(4)),
        detected_at: at("2026-11-21T14:00:00Z"),
        repaired_at: Some(at("2026-11-21T14:01:00Z")),
        moved_by: None,
        refused: false,
    };
    let (name, _) = of_production(promotion(1, PromotionState::Pending));
    let repair = (name, Operation::new(Work::Repair(repair), visit().now));
    let history = [of_production(completed), of_production(rejected), repair];
    assert_snapshot!(shown(&shows(&[healthy_environment()], &history)), @r#"
    200 web · Stablepin
    <p class="brand"><a href="/console">Stablepin console</a></p>
    <h1>web</h1>
    <section>
    <h2>production <span class="badges"><b class="badge good">Stable</b></span></h2>
    <dl>
    <dt>Pin</dt><dd><strong>7</strong>, since 2026-11-21 14:40 UTC<br><code>production-20261121-143007-a1b2c3d4</code><br><code>sha256:0000000000000000000000000000000000000000000000000000000000000007</code></dd>
    <dt>Live</dt><dd><div><code>prod/production</code>: pin 7 on 2 tasks</div></dd>
    <dt>Stable tag</dt><dd><code>production-stable</code> shows pin 7</dd>
    <dt>Pending</dt><dd>none</dd>
    <dt>Earlier pins</dt><dd><div>6, <code>production-20261121-143006-a1b2c3d4</code></div><div>5, <code>production-20261121-143005-a1b2c3d4</code></div></dd></dl>
    <details><summary>Roll back to pin 6, production-20261121-143006-a1b2c3d4</summary><label for="production-6">Back to pin 6, in a shell with your AWS credentials</label><textarea id="production-6" rows="7" readonly spellcheck="false">curl -sS --fail-with-body -X POST \
      --aws-sigv4 'aws:amz:eu-central-1:execute-api' \
      --user &quot;$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY&quot; \
      --header &quot;x-amz-security-token: ${AWS_SESSION_TOKEN:-}&quot; \
      --json '{&quot;confirm&quot;:&quot;ROLLBACK&quot;,&quot;reason&quot;:&quot;back to pin 6&quot;,&quot;to&quot;:&quot;6&quot;}' \
      'https://api.example.com/v1/applications/web/environments/production/rollback'</textarea></details></section>
    <h2 id="history">Builds, promotions, pins and rollbacks</h2>
    <ol>
    <li id="0198184a-0100-7000-8000-000000000007" class="done"><b>Promotion to production<i> Completed</i></b> <b class="badge good">Pin 7</b><span>2026-11-21 14:31 UTC, build <code>production-20261121-143007-a1b2c3d4</code> <code>sha256:000000000000</code>, pushed as <code>main</code></span><span>approved by lead (tried it)</span></li>
    <li id="0198184a-0100-7000-8000-000000000006" class="ahead"><b>Promotion to production<i> Cancelled</i></b><span>2026-11-21 14:31 UTC, build <code>production-20261121-143006-a1b2c3d4</code> <code>sha256:000000000000</code>, pushed as <code>main</code></span><span>rejected by lead: too slow</span></li>
    <li class="done"><b>Drift of production<i> put right</i></b><span>2026-11-21 14:00 UTC, <code>prod-stable</code> was found on <code>sha256:000000000000</code></span></li></ol>
    <p class="small">As of 2026-11-21 15:00 UTC. Your link ends on 2026-11-21 15:40 UTC. Nothing can be changed here: what changes something is a signed request.</p>
    "#);
}

#[test]
fn application_page_shows_an_untouched_environment() {
    let untouched = Environment {
        subject: subjects("web", 1).remove(0),
        pending: Pending::default(),
        live: Vec::new(),
        pins: Vec::new(),
    };
    assert_snapshot!(shown(&shows(&[untouched], &[])), @r#"
    200 web · Stablepin
    <p class="brand"><a href="/console">Stablepin console</a></p>
    <h1>web</h1>
    <section>
    <h2>production <span class="badges"><b class="badge">Nothing pinned</b></span></h2>
    <dl>
    <dt>Pin</dt><dd>none yet</dd>
    <dt>Live</dt><dd>its services are not named</dd>
    <dt>Stable tag</dt><dd><code>production-stable</code> is not put yet</dd>
    <dt>Pending</dt><dd>none</dd></dl></section>
    <h2 id="history">Builds, promotions, pins and rollbacks</h2>
    <p>Nothing has happened yet. A push to its repository begins it.</p>
    <p class="small">As of 2026-11-21 15:00 UTC. Your link ends on 2026-11-21 15:40 UTC. Nothing can be changed here: what changes something is a signed request.</p>
    "#);
}

#[test]
fn running_image_other_than_the_pin_is_drift() {
    let mut drifted = healthy_environment();
    drifted.live[0].found =
        Found::Tasks(BTreeMap::from([(Some(digest(6)), 1), (Some(digest(9)), 2), (None, 1)]));
    let page = shows(&[drifted], &[]);
    assert_snapshot!(said(&page, &["<h2", "note", "Live", "details", "stable"]), @r#"
    <h2>production <span class="badges"><b class="badge bad">Drift</b> </span></h2>
    <p class="note"><strong>Drift: </strong>prod/production does not run pin 7.</p>
    <dt>Live</dt><dd><div><code>prod/production</code>: a digest that is not known on 1 task, pin 6 on 1 task, <code>sha256:000000000000</code> on 2 tasks</div></dd>
    <dt>Stable tag</dt><dd><code>production-stable</code> shows pin 7</dd>
    <details open><summary>Roll back to pin 7, which does not run everywhere</summary><label for="production-7">Back to pin 7, in a shell with your AWS credentials</label><textarea id="production-7" rows="7" readonly spellcheck="false">curl -sS --fail-with-body -X POST \
      --json '{&quot;confirm&quot;:&quot;ROLLBACK&quot;,&quot;reason&quot;:&quot;back to pin 7&quot;,&quot;to&quot;:&quot;stable&quot;}' \
      'https://api.example.com/v1/applications/web/environments/production/rollback'</textarea></details>
    <details><summary>Roll back to pin 6, production-20261121-143006-a1b2c3d4</summary><label for="production-6">Back to pin 6, in a shell with your AWS credentials</label><textarea id="production-6" rows="7" readonly spellcheck="false">curl -sS --fail-with-body -X POST \
      'https://api.example.com/v1/applications/web/environments/production/rollback'</textarea></details></section>
    <h2 id="history">Builds, promotions, pins and rollbacks</h2>
    "#);
}

#[test]
fn proven_image_other_than_the_pin_is_drift() {
    let mut drifted = healthy_environment();
    drifted.live.clear();
    drifted.subject.environment.current = Some(Current { digest: digest(9), by: id(9), tagged: true });
    assert_snapshot!(said(&lists(drifted), &["<h3", "note", "Live"]), @r#"
    <h3>production <span class="badges"><b class="badge bad">Drift</b> </span></h3>
    <dt>Live</dt><dd><code>sha256:000000000000</code>, when last proven</dd></dl>
    <p class="note"><strong>Drift: </strong>What was last proven to run is not pin 7.</p></article></section></div>
    "#);
}

#[test]
fn live_drift_is_shown_without_asking_ecs() {
    let web = stablepin_rules::live_drift::Deviation {
        task_definition: Some("arn:aws:ecs:eu-central-1:111122223333:task-definition/web:6".to_owned()),
        digest: None,
        registered_by: Some("<script>".to_owned()),
    };
    let mut drift = stablepin_rules::live_drift::LiveDrift {
        id: id(9),
        since: visit().now,
        services: [(stablepin_rules::application::ServiceName::parse("prod/web").unwrap(), web)].into(),
        ended_at: None,
        notified_at: None,
    };
    let shown = |drift| {
        let mut drifted = healthy_environment();
        drifted.live.clear();
        drifted.subject.environment.live_drift = Some(drift);
        said(&lists(drifted), &["note"])
    };
    let text = shown(drift.clone());
    assert!(text.contains("prod/web runs another image (task definition web:6"), "{text}");
    assert!(!text.contains("<script>"), "{text}");
    drift.ended_at = Some(visit().now);
    assert_eq!(shown(drift), "", "drift that ended is not shown");
}

#[test]
fn outdated_stable_tag_is_drift() {
    let mut behind = healthy_environment();
    behind.subject.environment.applied = Some(pin(6).number);
    assert_snapshot!(said(&lists(behind), &["<h3", "note"]), @r#"
    <h3>production <span class="badges"><b class="badge bad">Drift</b> </span></h3>
    <p class="note"><strong>Drift: </strong>production-stable still shows pin 6, not pin 7.</p></article></section></div>
    "#);
    let mut never = healthy_environment();
    never.subject.environment.applied = None;
    assert_snapshot!(said(&lists(never), &["note"]), @r#"<p class="note"><strong>Drift: </strong>production-stable does not show pin 7 yet.</p></article></section></div>"#);
}

/// A promotion on its way is not drift, whatever the services run meanwhile.
#[test]
fn promotion_on_its_way_is_no_drift() {
    let mut moving = healthy_environment();
    let since = at("2026-11-21T14:55:00Z");
    let slot =
        Slot { operation: id(9), kind: SlotKind::Promotion, digest: digest(9), since, moving_until: None };
    moving.subject.environment.slot = Some(slot);
    moving.live[0].found = Found::Tasks(BTreeMap::from([(Some(digest(9)), 2)]));
    assert_snapshot!(said(&shows(&[moving], &[]), &["badges", "note", "On its way"]), @r#"
    <h2>production <span class="badges"><b class="badge now">Promotion on its way</b> </span></h2>
    <dt>On its way</dt><dd>a promotion to <code>sha256:000000000000</code>, since 2026-11-21 14:55 UTC</dd>
    "#);
}

#[test]
fn running_rollback_hides_the_rollback_commands() {
    let mut going_back = healthy_environment();
    let since = at("2026-11-21T14:55:00Z");
    let slot =
        Slot { operation: id(9), kind: SlotKind::Rollback, digest: digest(7), since, moving_until: None };
    going_back.subject.environment.slot = Some(slot);
    let page = shows(&[going_back], &[]);
    assert_snapshot!(said(&page, &["badges", "On its way", "details", "small"]), @r#"
    <h2>production <span class="badges"><b class="badge now">Rollback on its way</b> </span></h2>
    <dt>On its way</dt><dd>a rollback to pin 7, since 2026-11-21 14:55 UTC</dd>
    <p class="small">A rollback is on its way. Until it has ended, there is no other.</p></section>
    <p class="small">As of 2026-11-21 15:00 UTC. Your link ends on 2026-11-21 15:40 UTC. Nothing can be changed here: what changes something is a signed request.</p>
    "#);
}

#[test]
fn overview_counts_pending_promotions() {
    let mut waiting = healthy_environment();
    let history: Vec<_> =
        [(9, PromotionState::Pending), (8, PromotionState::Pending), (7, PromotionState::Completed)]
            .map(|(number, state)| of_production(promotion(number, state)))
            .into();
    waiting.pending = super::pending(&waiting.subject.name, &history);
    assert_eq!(super::pending(&EnvironmentName::parse("staging").unwrap(), &history).count, 0);
    assert_snapshot!(said(&lists(waiting), &["<h3", "Pending"]), @r#"
    <h3>production <span class="badges"><b class="badge now">2 pending</b> <b class="badge good">Stable</b></span></h3>
    <dt>Pending</dt><dd>2, the newest is<br><code>production-20261121-143009-a1b2c3d4</code></dd></dl></article></section></div>
    "#);
}

#[test]
fn overview_shows_freeze_and_hold() {
    let page = lists(held(frozen(healthy_environment(), "no releases until Monday"), "rollback to pin 6"));
    assert_snapshot!(said(&page, &["<h3", "note"]), @r#"
    <h3>production <span class="badges"><b class="badge bad">Held</b> <b class="badge now">Frozen</b> </span></h3>
    <p class="note"><strong>Held</strong> since 2026-11-21 09:15 UTC: rollback to pin 6 (<a href="/console/web#0198184a-0100-7000-8000-000000000003">what led to it</a>)</p>
    <p class="note"><strong>Frozen</strong> since 2026-11-21 09:00 UTC by arn:aws:iam::111122223333:user/lead: no releases until Monday</p></article></section></div>
    "#);
}

#[test]
fn page_says_what_could_not_be_read() {
    let mut unread = healthy_environment();
    unread.live[0].found = Found::Unreadable;
    assert_snapshot!(said(&shows(&[unread], &[]), &["Live", "badges"]), @r#"
    <h2>production <span class="badges"><b class="badge">Live not read</b></span></h2>
    <dt>Live</dt><dd><div><code>prod/production</code>: <em>could not be read</em></div></dd>
    "#);
    let name = ApplicationName::parse("web").unwrap();
    let page = overview(visit(), &[Shown { name, environments: None }], false);
    assert_snapshot!(said(&page, &["<h2", "note"]), @r#"
    <h2><a href="/console/web">web</a></h2>
    <p class="note">It could not be read. The function's log says why.</p></section></div>
    "#);
}

#[test]
fn refusals_and_failures_have_pages() {
    assert_snapshot!(shown(&refused(&settings())), @r#"
    404 This link does not open the console · Stablepin
    <p class="brand"><a href="/console">Stablepin console</a></p>
    <h1>This link does not open the console</h1>
    <p>The link is not known, or its hour is over. A new one is minted by whoever may call <code>POST /v1/console</code>:</p><label for="mint">A new link, in a shell with your AWS credentials</label><textarea id="mint" rows="7" readonly spellcheck="false">curl -sS --fail-with-body -X POST \
      --aws-sigv4 'aws:amz:eu-central-1:execute-api' \
      --user &quot;$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY&quot; \
      --header &quot;x-amz-security-token: ${AWS_SESSION_TOKEN:-}&quot; \
      'https://api.example.com/v1/console'</textarea>
    <p>Open the <code>url</code> of its answer. It works for an hour, as often as you like.</p>
    "#);
    assert_snapshot!(shown(&no_such_application(visit())), @r#"
    404 Not here · Stablepin
    <p class="brand"><a href="/console">Stablepin console</a></p>
    <h1>Not here</h1>
    <p>There is no application of that name.</p>
    <p><a href="/console">All applications</a></p>
    <p class="small">As of 2026-11-21 15:00 UTC. Your link ends on 2026-11-21 15:40 UTC. Nothing can be changed here: what changes something is a signed request.</p>
    "#);
    assert_snapshot!(shown(&internal_error("0a1b")), @r#"
    500 That did not work · Stablepin
    <p class="brand"><a href="/console">Stablepin console</a></p>
    <h1>That did not work</h1>
    <p>Something went wrong on our side. Reload the page to try again.</p>
    <p>If it stays so, quote <code>0a1b</code>.</p>
    "#);
}

/// Environments with the most and longest values that can exist, all of them hostile.
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
fn every_page_is_small_and_links_to_the_rest() {
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
            promotion.reason = Some(HOSTILE.repeat(9));
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

#[test]
fn console_escapes_hostile_values() {
    let mut rejected = voted(promotion(6, PromotionState::Cancelled), Verdict::Reject, HOSTILE);
    rejected.reason = Some(HOSTILE.to_owned());
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

/// The page shows the taken tag twice: beside the stable tag, and among the drift.
#[test]
fn application_page_shows_a_taken_tag_twice() {
    let mut environment = healthy_environment();
    let record = &mut environment.subject.environment;
    record.applied = None;
    record.tag_taken = Some(TakenTag {
        pin: pin(7).number,
        tag: ImageTag::parse("production-stable-000007").unwrap(),
        why: NotPut::Taken { on: digest(3), by: Some("arn:aws:iam::111122223333:user/anna".to_owned()) },
    });
    let words = format!(
        "the tag production-stable-000007 of pin 7 could not be put: it is on {}, put there by \
         arn:aws:iam::111122223333:user/anna, and the repository does not let it move",
        digest(3)
    );
    assert_eq!(standing::drift(&environment), [format!("{words}.")]);
    let name = ApplicationName::parse("web").unwrap();
    let environments = [environment];
    let shown = Application { name: &name, environments: &environments, history: &[], older: false };
    let response = application(visit(), &settings(), &shown);
    let page = body(&response);
    assert_eq!(page.matches(&words).count(), 2, "once as drift, once beside the stable tag: {page}");
}
