//! The console, as a person on call uses it.

use crate::builds::PushedBuild;
use crate::run::{APPLICATION, Demo};
use anyhow::{Context, Result};
use stablepin_tests::{Console, stack};
use xtask::step::note;

impl Demo {
    /// Checks that a signed request mints a console link. The link puts its secret into a cookie,
    /// and the cookie opens the pages.
    pub(crate) fn console(&self, builds: &[PushedBuild; 3]) -> Result<()> {
        let before = self.table()?.len();
        let mint = format!("{}/v1/console", stack().api());
        let refused = self.app.aws.call("POST", &mint, None, None, false)?;
        self.claims.equal("nobody opens the console without a signature: 403", &refused.status, &403)?;
        let minted = self.operator.call("POST", &mint, None, None, true)?;
        self.claims.equal("the operator mints a link for an hour: 201", &minted.status, &201)?;
        let link = minted.json("console")?;
        let token =
            link["url"].as_str().and_then(|url| url.split_once("?t=")).context("a link with a token")?.1;
        let page = Console::of(token).get(&format!("/{APPLICATION}"));
        let text = page.text();
        note(format!("{} bytes of HTML at /console/{APPLICATION}", text.len()));
        self.claims.equal("it opens the application's page: 200", &page.status, &200)?;
        let has = builds.iter().filter(|build| text.contains(&build.tag)).count();
        self.claims.equal("which has every build", &has, &builds.len())?;
        let command = text.contains("ROLLBACK") && text.contains("--aws-sigv4");
        self.claims.equal("and the command that rolls back, ready to copy", &command, &true)?;
        let after = self.table()?.len();
        self.claims.equal("looking wrote nothing but the link itself", &after, &(before + 1))
    }
}
