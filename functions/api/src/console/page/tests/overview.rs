//! Tests of the overview of all applications.

use insta::assert_snapshot;
use stablepin_rules::name::EnvironmentName;
use stablepin_rules::records::PromotionState;

use super::fixtures::{
    frozen, healthy_environment, held, lists, of_production, promotion, said, shown, visit,
};
use crate::console::page::{overview, pending};

#[test]
fn overview_says_that_no_application_is_registered() {
    assert_snapshot!(shown(&overview(visit(), &[], false)), @r#"
    200 Applications · Stablepin
    <p class="brand"><a href="/console">Stablepin console</a></p>
    <h1>Applications</h1>
    <p>No application is registered here. Register one with a file: <code>PUT /v1/applications/…</code>.</p>
    <p class="small">As of 2026-11-21 15:00 UTC. Your link expires on 2026-11-21 15:40 UTC. This page changes nothing: a change needs a signed request.</p>
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
    <p class="small">As of 2026-11-21 15:00 UTC. Your link expires on 2026-11-21 15:40 UTC. This page changes nothing: a change needs a signed request.</p>
    "#);
}

#[test]
fn overview_counts_pending_promotions() {
    let mut waiting = healthy_environment();
    let history: Vec<_> =
        [(9, PromotionState::Pending), (8, PromotionState::Pending), (7, PromotionState::Completed)]
            .map(|(number, state)| of_production(promotion(number, state)))
            .into();
    waiting.pending = pending(&waiting.subject.name, &history);
    assert_eq!(pending(&EnvironmentName::parse("staging").unwrap(), &history).count, 0);
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
    <p class="note"><strong>Held</strong> since 2026-11-21 09:15 UTC: rollback to pin 6 (<a href="/console/web#0198184a-0100-7000-8000-000000000003">cause</a>)</p>
    <p class="note"><strong>Frozen</strong> since 2026-11-21 09:00 UTC by arn:aws:iam::111122223333:user/lead: no releases until Monday</p></article></section></div>
    "#);
}
