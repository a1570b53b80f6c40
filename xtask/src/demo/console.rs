//! The console, as a person on call uses it.

use super::builds::PushedBuild;
use super::run::{APPLICATION, Demo};
use crate::step::note;
use anyhow::{Context, Result};

impl Demo<'_> {
    /// Checks that a signed request mints a console link. The link puts its secret into a cookie,
    /// and the cookie opens the pages.
    pub(super) fn console(&self, builds: &[PushedBuild; 3]) -> Result<()> {
        let before = self.witness.table()?.len();
        let mint = format!("{}/v1/console", self.stack.api());
        let refused = self.witness.aws.call("POST", &mint, None, None, false)?;
        self.claims.equal("nobody opens the console without a signature: 403", &refused.status, &403)?;
        let minted = self.operator.call("POST", &mint, None, None, true)?;
        self.claims.equal("the operator mints a link for an hour: 201", &minted.status, &201)?;
        let link = minted.json("console")?;
        let link = link["url"].as_str().context("the console has an address")?;

        let opened = self.witness.aws.call("GET", link, None, None, false)?;
        let cookie = opened.header("set-cookie").and_then(|cookie| cookie.split(';').next());
        let cookie = cookie.context("the link sets no cookie")?;
        let page = format!("{}/console/{APPLICATION}", self.stack.api());
        let page = self.witness.aws.call_with("GET", &page, &[("cookie", cookie)], None, false)?;
        let text = page.text();
        note(format!("{} bytes of HTML at /console/{APPLICATION}", text.len()));
        self.claims.equal("it opens the application's page: 200", &page.status, &200)?;
        let has = builds.iter().filter(|build| text.contains(&build.tag)).count();
        self.claims.equal("which has every build", &has, &builds.len())?;
        let command = text.contains("ROLLBACK") && text.contains("--aws-sigv4");
        self.claims.equal("and the command that rolls back, ready to copy", &command, &true)?;
        let after = self.witness.table()?.len();
        self.claims.equal("looking wrote nothing but the link itself", &after, &(before + 1))
    }
}
