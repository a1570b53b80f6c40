//! Tests of the pages for failed reads, refused links and errors.

use insta::assert_snapshot;
use stablepin_rules::name::ApplicationName;

use super::fixtures::{healthy_environment, said, settings, shown, shows, visit};
use crate::console::page::{Found, Shown, internal_error, no_such_application, overview, refused};

#[test]
fn console_marks_unreadable_services_and_applications() {
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
    <p class="note">This application could not be read. The function's log says why.</p></section></div>
    "#);
}

#[test]
fn console_explains_errors_and_refused_links() {
    assert_snapshot!(shown(&refused(&settings())), @r#"
    404 This link does not open the console · Stablepin
    <p class="brand"><a href="/console">Stablepin console</a></p>
    <h1>This link does not open the console</h1>
    <p>The link is not known, or older than an hour. To get a new one, call <code>POST /v1/console</code>:</p><label for="mint">A new link, in a shell with your AWS credentials</label><textarea id="mint" rows="7" readonly spellcheck="false">curl -sS --fail-with-body -X POST \
      --aws-sigv4 'aws:amz:eu-central-1:execute-api' \
      --user &quot;$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY&quot; \
      --header &quot;x-amz-security-token: ${AWS_SESSION_TOKEN:-}&quot; \
      'https://api.example.com/v1/console'</textarea>
    <p>Open the <code>url</code> of its answer. It works for an hour, as often as you like.</p>
    "#);
    assert_snapshot!(shown(&no_such_application(visit())), @r#"
    404 Not found · Stablepin
    <p class="brand"><a href="/console">Stablepin console</a></p>
    <h1>Not found</h1>
    <p>There is no application of that name.</p>
    <p><a href="/console">All applications</a></p>
    <p class="small">As of 2026-11-21 15:00 UTC. Your link expires on 2026-11-21 15:40 UTC. This page changes nothing: a change needs a signed request.</p>
    "#);
    assert_snapshot!(shown(&internal_error("0a1b")), @r#"
    500 That did not work · Stablepin
    <p class="brand"><a href="/console">Stablepin console</a></p>
    <h1>That did not work</h1>
    <p>Something went wrong on our side. Reload the page to try again.</p>
    <p>If it happens again, quote <code>0a1b</code>.</p>
    "#);
}
