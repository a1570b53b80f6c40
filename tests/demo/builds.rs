//! Builds from the push to the pin: the demo pushes each build, and views and approves it on the
//! approval page.

use std::time::Instant;

use anyhow::Result;
use serde_json::{Value, json};
use stablepin_tests::Link;
use xtask::image::{self, Mode, Spec};
use xtask::inbox::Mail;
use xtask::process::wait_for;
use xtask::step::{note, seconds};

use crate::claims::SOON;
use crate::page::Page;
use crate::run::{Demo, ENVIRONMENT, REPOSITORY, STABLE};
use crate::text::{brief, quote};

/// The pipeline's builds. Each has a version, a commit, and the behaviour of its container.
const BUILDS: [(&str, &str, Mode); 9] = [
    ("1.0", "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334", Mode::Healthy),
    ("2.0", "b2c3d4e5f60718293a4b5c6d7e8f900112233445", Mode::Healthy),
    ("3.0", "c3d4e5f60718293a4b5c6d7e8f90011223344556", Mode::Unhealthy),
    ("4.0", "d4e5f60718293a4b5c6d7e8f9001122334455667", Mode::Healthy),
    ("5.0", "e5f60718293a4b5c6d7e8f900112233445566778", Mode::Crash),
    ("6.0", "f60718293a4b5c6d7e8f90011223344556677889", Mode::Unhealthy),
    ("7.0", "0718293a4b5c6d7e8f900112233445566778899a", Mode::Healthy),
    ("9.0", "18293a4b5c6d7e8f900112233445566778899aab", Mode::Healthy),
    ("10.0", "293a4b5c6d7e8f900112233445566778899aabbc", Mode::Healthy),
];

/// The number of views of the approval page before the approval.
const LOOKS: usize = 100;

/// A pushed build.
#[derive(Clone, Debug)]
pub(crate) struct PushedBuild {
    pub(crate) number: usize,
    pub(crate) version: &'static str,
    pub(crate) digest: String,
    pub(crate) tag: String,
    /// The approval link in the lead's mail.
    pub(crate) link: Link,
    mode: Mode,
}

impl PushedBuild {
    /// Returns the status with which the build's `/health` responds.
    pub(crate) fn health(&self) -> u16 {
        if self.mode == Mode::Healthy { 200 } else { 500 }
    }
}

impl Demo {
    /// Pushes a build, approves it, and deploys it to the containers.
    pub(crate) fn release(&self, number: usize) -> Result<PushedBuild> {
        let build = self.push(number)?;
        self.approve(&build, u64::try_from(number)?)?;
        self.deploy(&build)?;
        Ok(build)
    }

    pub(crate) fn push(&self, number: usize) -> Result<PushedBuild> {
        self.push_then(number, |_| Ok(()))
    }

    /// Pushes a build, and acts on its digest before the lead's mail is expected.
    pub(crate) fn push_then(
        &self,
        number: usize,
        act: impl FnOnce(&str) -> Result<()>,
    ) -> Result<PushedBuild> {
        let (version, commit, mode) = BUILDS[number - 1];
        let image = image::build(&Spec::new(version).mode(mode).revision(commit))?;
        let digest = self.app.push_image(Some("main"), &image);
        let pushed = Instant::now();
        note(format!("pushed {REPOSITORY}:main, version {version}, commit {}, {digest}", &commit[..8]));
        act(&digest)?;

        let mail = self.mail_about(&digest)?;
        note(format!("a mail came after {}:", seconds(pushed.elapsed())));
        if number == 1 {
            let to = mail.approver.as_deref().unwrap_or("everybody");
            quote(&format!("To: {to}\nSubject: {}\n\n{}", mail.subject, mail.body));
        } else {
            quote(&mail.subject);
        }
        let (tag, link) = (self.app.build_tag(&digest), Link::of(&mail));
        let build = PushedBuild { number, version, digest, tag, link, mode };
        self.is_named(&build, &mail, &commit[..8])?;
        self.is_asked_for(&build)?;
        Ok(build)
    }

    fn is_named(&self, build: &PushedBuild, mail: &Mail, commit: &str) -> Result<()> {
        let tag = build.tag.as_str();
        let zeros = |text: &str| text.replace(|one: char| one.is_ascii_digit(), "0");
        let shape = zeros(&format!("{ENVIRONMENT}-00000000-000000-{commit}"));
        self.claims.equal(&format!("the build tag is {tag}"), &zeros(tag), &shape)?;
        let on = self.app.tag(tag);
        self.claims.equal("ECR has it on the pushed digest", &on, &Some(build.digest.clone()))?;
        self.claims.equal("the mail names it", &mail.body.contains(tag), &true)
    }

    fn is_asked_for(&self, build: &PushedBuild) -> Result<()> {
        let promotion = wait_for("the mail's own record", SOON, || {
            let operation = self.app.operation(&format!("PROMOTION#{}", build.link.promotion()));
            let promotion = &operation["work"]["Promotion"];
            let is_quiet = operation["lease"].is_null() && !promotion["asked"]["lead"].is_null();
            Ok(is_quiet.then(|| promotion.clone()))
        })?;
        self.claims.equal("the table has its promotion, Pending", &promotion["state"], "Pending")?;
        let mails = self.mails()?.iter().filter(|mail| mail.body.contains(&build.digest)).count();
        self.claims.equal("the lead got one mail about it", &mails, &1)
    }

    /// Opens the approval page once, and then many times more.
    pub(crate) fn look(&self, build: &PushedBuild) -> Result<()> {
        let before = self.table()?;
        let page = build.link.get();
        self.claims.equal("the link opens without a login", &page.status, &200)?;
        let page = Page::read(&page.text());
        quote(&page.heading);
        quote(&page.lines.join("\n"));
        self.claims.equal("the page shows the whole digest", page.fact("Digest"), build.digest.as_str())?;
        self.claims.equal("and the build tag", page.fact("Build"), build.tag.as_str())?;
        let (shown, before, after) = self.looks(build, before)?;
        self.claims.equal(&format!("{LOOKS} more GETs of the link show it"), &shown, &LOOKS)?;
        let claim = format!("and change nothing: all {} items of the table are the same", before.len());
        let changed: Vec<_> = after.iter().filter(|item| !before.contains(item)).collect();
        self.claims.equal(&claim, &(changed, after.len()), &(vec![], before.len()))
    }

    /// Opens the approval page many times. Returns how often the page was shown, and the table's
    /// items before and after.
    ///
    /// On a slow machine, a tick of the promoter may change the table meanwhile. In that case the
    /// demo repeats the views and the comparison once.
    fn looks(&self, build: &PushedBuild, mut before: Vec<Value>) -> Result<(usize, Vec<Value>, Vec<Value>)> {
        let mut again = true;
        loop {
            let shown = (0..LOOKS).filter(|_| build.link.get().status == 200).count();
            let after = self.table()?;
            if after == before || !again {
                return Ok((shown, before, after));
            }
            (before, again) = (after, false);
        }
    }

    /// Approves the build on the page. Checks that the build is the pin, and that the lead gets a
    /// vote confirmation.
    pub(crate) fn approve(&self, build: &PushedBuild, pin: u64) -> Result<()> {
        self.say_yes(build)?;
        self.is_pinned(build, pin)?;
        self.lead_gets_a_confirmation(build)
    }

    /// Checks that the lead gets a vote confirmation soon. The confirmation informs the lead if
    /// another person has used the lead's link.
    fn lead_gets_a_confirmation(&self, build: &PushedBuild) -> Result<()> {
        let mail = wait_for("the vote confirmation", SOON, || {
            let is_it = |mail: &Mail| {
                mail.subject.starts_with("Your link was used") && mail.body.contains(&build.digest)
            };
            let found = self.mails()?.into_iter().find(is_it);
            if found.is_none() {
                self.app.tick();
            }
            Ok(found)
        })?;
        quote(&mail.subject);
        self.claims.equal("the lead's vote confirmation has no link", &mail.link(), &None)
    }

    /// Approves the build on the page.
    pub(crate) fn say_yes(&self, build: &PushedBuild) -> Result<()> {
        let pressed = Instant::now();
        let answer = build.link.approve();
        let page = Page::read(&answer.text());
        note(format!("the lead approves build {} ({}):", build.number, seconds(pressed.elapsed())));
        // The promotion may wait for a last read of its checks. The page's heading then says so.
        let line = page.lines.first().cloned().unwrap_or_default();
        quote(&line);
        let said = (answer.status, line.starts_with("You approved it on"));
        self.claims.equal("the page says so", &said, &(200, true))
    }

    /// Checks that the table, ECR and the registry agree on the pin.
    pub(crate) fn is_pinned(&self, build: &PushedBuild, pin: u64) -> Result<()> {
        let digest = build.digest.as_str();
        let record = self.app.environment();
        self.claims.equal(&format!("the table says pin {pin}"), &record["pin"]["number"], &json!(pin))?;
        self.claims.equal("at the pushed digest", &record["pin"]["digest"], digest)?;
        let last = self.app.pins().pop();
        self.claims.equal("its history has it", &last, &Some((pin, digest.to_owned())))?;
        self.stable_tag_shows(digest)?;
        let state = self.app.promotion(build.link.promotion())["state"].take();
        self.claims.equal("the promotion is Completed", &state, "Completed")
    }

    pub(crate) fn stable_tag_shows(&self, digest: &str) -> Result<()> {
        let wanted = Some(digest.to_owned());
        let claim = format!("{STABLE} is {} in ECR", brief(digest));
        self.claims.becomes(&claim, &wanted, || Ok(self.app.tag(STABLE)))?;
        self.claims.equal("and in the registry", &self.tag_in_registry(STABLE)?, &wanted)
    }

    pub(crate) fn link_is_used(&self, build: &PushedBuild, pin: u64) -> Result<()> {
        let again = build.link.get();
        let page = Page::read(&again.text());
        quote(&page.lines[..page.lines.len().min(3)].join("\n"));
        let seen = (again.status, page.heading.as_str());
        self.claims.equal(
            "the same link has nothing left to decide",
            &seen,
            &(409, "Approved and pinned"),
        )?;
        self.claims.equal("pressing again is refused: 409", &build.link.approve().status, &409)?;
        let number = &self.app.environment()["pin"]["number"];
        self.claims.equal("and the pin stays", number, &json!(pin))
    }
}
