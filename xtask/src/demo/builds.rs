//! Builds from the push to the pin: the demo pushes each build, and views and approves it on the
//! approval page.

use super::claims::SOON;
use super::page::Page;
use super::run::{APPLICATION, Demo, ENVIRONMENT, REPOSITORY, STABLE};
use super::text::{brief, quote};
use super::witness::form;
use crate::aws::Response;
use crate::image::{self, Mode, Spec};
use crate::inbox::Mail;
use crate::process::wait_for;
use crate::step::{note, seconds};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::time::Instant;

/// The pipeline's builds. Each has a version, a commit, and the behaviour of its container.
const BUILDS: [(&str, &str, Mode); 7] = [
    ("1.0", "a1b2c3d4e5f60718293a4b5c6d7e8f9001122334", Mode::Healthy),
    ("2.0", "b2c3d4e5f60718293a4b5c6d7e8f900112233445", Mode::Healthy),
    ("3.0", "c3d4e5f60718293a4b5c6d7e8f90011223344556", Mode::Unhealthy),
    ("4.0", "d4e5f60718293a4b5c6d7e8f9001122334455667", Mode::Healthy),
    ("5.0", "e5f60718293a4b5c6d7e8f900112233445566778", Mode::Crash),
    ("6.0", "f60718293a4b5c6d7e8f90011223344556677889", Mode::Unhealthy),
    ("7.0", "0718293a4b5c6d7e8f900112233445566778899a", Mode::Healthy),
];

/// The number of views of the approval page before the approval.
const LOOKS: usize = 100;

/// A pushed build.
#[derive(Clone, Debug)]
pub(super) struct PushedBuild {
    pub(super) number: usize,
    pub(super) version: &'static str,
    pub(super) digest: String,
    pub(super) tag: String,
    pub(super) mail: Mail,
    mode: Mode,
}

impl PushedBuild {
    /// Returns the status with which the build's `/health` responds.
    pub(super) fn health(&self) -> u16 {
        if self.mode == Mode::Healthy { 200 } else { 500 }
    }

    fn link(&self) -> Result<&str> {
        self.mail.link().context("the mail has no link")
    }

    /// Returns the secret of the approval link.
    fn secret(&self) -> Result<&str> {
        self.link()?.split_once("?t=").map(|(_, secret)| secret).context("the link has no secret")
    }

    pub(super) fn promotion(&self) -> Result<&str> {
        let path = self.link()?.split('?').next().unwrap_or_default();
        path.rsplit('/').next().context("the link names no promotion")
    }
}

impl Demo<'_> {
    /// Pushes a build, approves it, and deploys it to the containers.
    pub(super) fn release(&self, number: usize) -> Result<PushedBuild> {
        let build = self.push(number)?;
        self.approve(&build, u64::try_from(number)?)?;
        self.deploy(&build)?;
        Ok(build)
    }

    pub(super) fn push(&self, number: usize) -> Result<PushedBuild> {
        let (version, commit, mode) = BUILDS[number - 1];
        let image = image::build(&Spec::new(version).mode(mode).revision(commit))?;
        let digest = self.witness.registry.push(REPOSITORY, Some("main"), &image)?;
        let pushed = Instant::now();
        note(format!("pushed {REPOSITORY}:main, version {version}, commit {}, {digest}", &commit[..8]));

        let mail = self.witness.mail_about(&digest, SOON)?;
        note(format!("a mail came after {}:", seconds(pushed.elapsed())));
        if number == 1 {
            quote(&format!(
                "To: {}\nSubject: {}\n\n{}",
                mail.approver.as_deref().unwrap_or("everybody"),
                mail.subject,
                mail.body
            ));
        } else {
            quote(&mail.subject);
        }
        let record = self.witness.record(&format!("APP#{APPLICATION}"), &format!("BUILD#{digest}"))?;
        let tag = record["build_tag"].as_str().unwrap_or_default().to_owned();
        let build = PushedBuild { number, version, digest, tag, mail, mode };
        self.is_named(&build, &commit[..8])?;
        self.is_asked_for(&build)?;
        Ok(build)
    }

    fn is_named(&self, build: &PushedBuild, commit: &str) -> Result<()> {
        let (tag, digest) = (&build.tag, Some(build.digest.clone()));
        let digits = tag.replace(|one: char| one.is_ascii_digit(), "0");
        let shape =
            format!("{ENVIRONMENT}-00000000-000000-{commit}").replace(|one: char| one.is_ascii_digit(), "0");
        self.claims.equal(&format!("the build tag is {tag}"), &digits, &shape)?;
        self.claims.equal(
            "ECR has it on the pushed digest",
            &self.witness.aws.tag(REPOSITORY, tag)?,
            &digest,
        )?;
        self.claims.equal("the mail names it", &build.mail.body.contains(tag.as_str()), &true)
    }

    fn is_asked_for(&self, build: &PushedBuild) -> Result<()> {
        let promotion = wait_for("the mail's own record", SOON, || {
            let operation = self.promotion_record(build)?;
            let quiet =
                operation["lease"].is_null() && !operation["work"]["Promotion"]["asked"]["lead"].is_null();
            Ok(quiet.then_some(operation))
        })?;
        self.claims.equal(
            "the table has its promotion, Pending",
            &promotion["work"]["Promotion"]["state"],
            "Pending",
        )?;
        let mails = self.witness.mails()?.iter().filter(|mail| mail.body.contains(&build.digest)).count();
        self.claims.equal("the lead got one mail about it", &mails, &1)
    }

    pub(super) fn promotion_record(&self, build: &PushedBuild) -> Result<Value> {
        let sk = format!("PROMOTION#{}", build.promotion()?);
        Ok(self.witness.record(&format!("APP#{APPLICATION}"), &sk)?["operation"].take())
    }

    /// Opens the approval page once, and then many times more.
    pub(super) fn look(&self, build: &PushedBuild) -> Result<()> {
        let before = self.witness.table()?;
        let page = self.open(build)?;
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
    /// On a slow machine the promoter's tick may write meanwhile. In that case the views are
    /// repeated and compared once more.
    fn looks(&self, build: &PushedBuild, mut before: Vec<Value>) -> Result<(usize, Vec<Value>, Vec<Value>)> {
        let mut again = true;
        loop {
            let mut shown = 0;
            for _ in 0..LOOKS {
                shown += usize::from(self.open(build)?.status == 200);
            }
            let after = self.witness.table()?;
            if after == before || !again {
                return Ok((shown, before, after));
            }
            (before, again) = (after, false);
        }
    }

    /// Approves the build on the page. Checks that the build is the pin, and that the lead gets a
    /// vote confirmation.
    pub(super) fn approve(&self, build: &PushedBuild, pin: u64) -> Result<()> {
        self.say_yes(build)?;
        self.is_pinned(build, pin)?;
        self.lead_gets_a_confirmation(build)
    }

    /// Checks that the lead gets a vote confirmation soon. The confirmation matters because another
    /// person who has the mail could vote in the lead's name.
    fn lead_gets_a_confirmation(&self, build: &PushedBuild) -> Result<()> {
        let mail = wait_for("the vote confirmation", SOON, || {
            let mails = self.witness.mails()?;
            let of = |mail: &&Mail| {
                mail.subject.starts_with("Your link was used") && mail.body.contains(&build.digest)
            };
            let found = mails.iter().find(of).cloned();
            if found.is_none() {
                self.tick()?;
            }
            Ok(found)
        })?;
        quote(&mail.subject);
        self.claims.equal("the lead's vote confirmation has no link", &mail.link(), &None)
    }

    /// Approves the build on the page.
    pub(super) fn say_yes(&self, build: &PushedBuild) -> Result<()> {
        let pressed = Instant::now();
        let answer = self.press(build)?;
        let page = Page::read(&answer.text());
        note(format!("the lead approves build {} ({}):", build.number, seconds(pressed.elapsed())));
        quote(&page.lines.first().cloned().unwrap_or_default());
        let said = (answer.status, page.heading.starts_with("Approved"));
        self.claims.equal("the page says so", &said, &(200, true))
    }

    /// Checks that the table, ECR and the registry agree on the pin.
    pub(super) fn is_pinned(&self, build: &PushedBuild, pin: u64) -> Result<()> {
        let digest = build.digest.as_str();
        let record = self.environment_record()?;
        self.claims.equal(&format!("the table says pin {pin}"), &record["pin"]["number"], &json!(pin))?;
        self.claims.equal("at the pushed digest", &record["pin"]["digest"], digest)?;
        let history =
            self.witness.record(&format!("APP#{APPLICATION}"), &format!("PIN#{ENVIRONMENT}#{pin:06}"))?;
        self.claims.equal("its history has it", &history["digest"], digest)?;
        self.stable_tag_shows(digest)?;
        let promotion = self.promotion_record(build)?;
        let state = &promotion["work"]["Promotion"]["state"];
        self.claims.equal("the promotion is Completed", state, "Completed")
    }

    pub(super) fn stable_tag_shows(&self, digest: &str) -> Result<()> {
        let wanted = Some(digest.to_owned());
        let claim = format!("{STABLE} is {} in ECR", brief(digest));
        self.claims.becomes(&claim, &wanted, || Ok(self.witness.aws.tag(REPOSITORY, STABLE)?))?;
        self.claims.equal("and in the registry", &self.witness.tag_in_registry(REPOSITORY, STABLE)?, &wanted)
    }

    pub(super) fn link_is_used(&self, build: &PushedBuild, pin: u64) -> Result<()> {
        let again = self.open(build)?;
        let page = Page::read(&again.text());
        quote(&page.lines[..page.lines.len().min(3)].join("\n"));
        let seen = (again.status, page.heading.as_str());
        self.claims.equal(
            "the same link has nothing left to decide",
            &seen,
            &(409, "Approved and pinned"),
        )?;
        self.claims.equal("pressing again is refused: 409", &self.press(build)?.status, &409)?;
        let number = &self.environment_record()?["pin"]["number"];
        self.claims.equal("and the pin stays", number, &json!(pin))
    }

    pub(super) fn open(&self, build: &PushedBuild) -> Result<Response> {
        Ok(self.witness.aws.call("GET", build.link()?, None, None, false)?)
    }

    /// Sends the request that the form of the page sends.
    pub(super) fn press(&self, build: &PushedBuild) -> Result<Response> {
        let action = build.link()?.split('?').next().unwrap_or_default();
        let code = build.mail.code().context("the mail has no code")?;
        let body = format!("t={}&code={}&decision=approve&reason=", form(build.secret()?), form(code));
        let kind = Some("application/x-www-form-urlencoded");
        Ok(self.witness.aws.call("POST", action, Some(body.as_bytes()), kind, false)?)
    }
}
