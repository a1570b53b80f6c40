//! The conditions under which Stablepin asks for approval: the demo pushes a build that is too
//! large, and a build whose tests are reported later.

use crate::claims::SOON;
use crate::run::{CLUSTER, Demo, REPOSITORY, SERVICE};
use crate::team::file;
use crate::text::{brief, quote};
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use xtask::image::{self, Spec};
use xtask::process::wait_for;
use xtask::step::note;

/// The size of the layer that makes a build too large, in bytes. Its content cannot be compressed.
const LARGE: usize = 25_000_000;

impl Demo {
    pub(crate) fn conditions(&self) -> Result<()> {
        let deployment = format!(
            r#"deploy = "never"
services = ["{CLUSTER}/{SERVICE}"]
requires = ["staging-tests"]                # nobody is asked before these have passed
validate = {{ max_size = "20MB" }}            # compressed, for each platform"#
        );
        quote(&deployment);
        let put = self.put(&self.team, &file(&deployment), true)?;
        self.claims.equal("the team adds two conditions: 200", &put, &200)?;
        self.too_large()?;
        self.untested()
    }

    fn too_large(&self) -> Result<()> {
        let mut spec = Spec::new("8.0");
        spec.layers = vec![BTreeMap::from([("noise".to_owned(), noise())])];
        let digest = self.app.push_image(Some("main"), &image::build(&spec)?);
        note(format!("pushed {REPOSITORY}:main with a layer of {LARGE} bytes, {}", brief(&digest)));
        let ended = self.promotion_of(&digest, "its end", |one| one["state"] == "Failed")?;
        let defect = &ended["reason"]["invalid"]["defect"];
        self.claims.equal("a build above the limit of 20 MB fails", defect, "too-large")?;
        self.claims.equal("the lead was not asked about it", &self.questions(&digest)?, &0)
    }

    fn untested(&self) -> Result<()> {
        let digest = self.app.push_image(Some("main"), &image::build(&Spec::new("8.1"))?);
        note(format!("pushed {REPOSITORY}:main, version 8.1, {}", brief(&digest)));
        let tests = json!(["the check staging-tests"]);
        let waiting =
            self.promotion_of(&digest, "the wait for its tests", |one| one["waits_for"] == tests)?;
        self.claims.equal("a build waits for its tests", &waiting["state"], "Pending")?;
        self.claims.equal("the lead is not asked yet", &self.questions(&digest)?, &0)?;

        let link = "https://github.com/acme/web/actions/runs/42";
        let report = json!({ "digest": digest, "name": "staging-tests", "result": "passed", "link": link });
        let (refused, _) = self.api(&self.intern, "POST", "/checks", Some(&report));
        self.claims.equal("a user without the IAM permission cannot report: 403", &refused, &403)?;
        let (reported, _) = self.api(&self.pipeline, "POST", "/checks", Some(&report));
        self.claims.equal("the pipeline reports that they passed: 200", &reported, &200)?;
        let mail = self.mail_about(&digest)?;
        self.claims.equal(
            "now the lead is asked, with a link to the run",
            &mail.body.contains(link),
            &true,
        )?;

        let id = waiting["id"].as_str().unwrap_or_default();
        let (withdrawn, _) = self.api(&self.pipeline, "POST", &format!("/promotions/{id}/withdraw"), None);
        self.claims.equal("the pipeline withdraws it: 200", &withdrawn, &200)
    }

    /// Waits until a promotion of the digest satisfies `is_wanted`. Returns the promotion.
    fn promotion_of(&self, digest: &str, what: &str, is_wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        wait_for(what, SOON, || {
            let of_digest = self.app.promotions().into_iter().filter(|one| one["digest"] == digest);
            Ok(of_digest.into_iter().find(&is_wanted))
        })
    }

    /// Returns the number of mails that ask an approver about the digest.
    fn questions(&self, digest: &str) -> Result<usize> {
        let mails = self.mails()?;
        Ok(mails.iter().filter(|mail| mail.approver.is_some() && mail.body.contains(digest)).count())
    }
}

/// Returns bytes that gzip cannot compress: a SplitMix64 stream.
fn noise() -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LARGE + 64);
    let mut block = 0_u64;
    while bytes.len() < LARGE {
        let mut state = block.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xd1b5_4a32_d192_ed03;
        state ^= state >> 31;
        state = state.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state ^= state >> 27;
        state = state.wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend_from_slice(&(state ^ (state >> 31)).to_le_bytes());
        block += 1;
    }
    bytes
}
