//! The history and the audit trail of the demo. Repeated events change nothing, and each change has
//! its audit record.

use crate::builds::PushedBuild;
use crate::columns::columns;
use crate::run::{APPLICATION, Demo, ENVIRONMENT, STABLE};
use crate::text::brief;
use anyhow::{Context, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use xtask::step::note;

const AGAIN: usize = 5;

impl Demo {
    /// Delivers a push event several times after its first delivery. EventBridge may deliver an
    /// event more than once, with the same id and time.
    pub(crate) fn redeliver(&self, bad: &PushedBuild) -> Result<()> {
        let pushes = self.pushes.events(&self.app.aws)?;
        let event = pushes
            .iter()
            .find(|event| {
                event["detail"]["image-digest"] == bad.digest && event["detail"]["image-tag"] == "main"
            })
            .context("the push of build 3 never came over the bus")?;
        note(format!("event {} of {}", text(&event["id"]), text(&event["time"])));
        let before = (self.table()?, self.mails()?.len(), self.app.tag(STABLE));
        for _ in 0..AGAIN {
            self.app.deliver(event);
        }
        note(format!("the tagger handled it {AGAIN} times"));
        let after = (self.table()?, self.mails()?.len(), self.app.tag(STABLE));
        let count =
            |prefix: &str| before.0.iter().filter(|item| text(&item["sk"]).starts_with(prefix)).count();
        let claim = format!(
            "the table is the same, all {} items: {} promotions, {} pins, the audit trail",
            before.0.len(),
            count("PROMOTION#"),
            count("PIN#")
        );
        self.claims.equal(&claim, &(after.0 == before.0), &true)?;
        self.claims.equal(&format!("no more mails than the {}", before.1), &after.1, &before.1)?;
        self.claims.equal("and the stable tag stays", &after.2, &before.2)
    }

    pub(crate) fn history(&self, builds: &[PushedBuild; 3]) -> Result<()> {
        let pins = self.pins(builds)?;
        let audit = self.audit()?;
        let changes: Vec<_> = audit.iter().filter(|one| one["kind"] == "Pin Change").collect();
        let numbers: Vec<_> = changes.iter().map(|one| text(&one["to"]).to_owned()).collect();
        let expected: Vec<_> = (1..=pins).map(|number| number.to_string()).collect();
        self.claims.equal("each pin has its one audit record, in order", &numbers, &expected)?;

        // EventBridge delivers an event at least once, so the event of one record may arrive twice.
        let parts = |one: &Value, kind: &Value| {
            [kind, &one["id"], &one["from"], &one["to"], &one["at"], &one["reason"]].map(Value::to_string)
        };
        let wanted: BTreeSet<_> = audit.iter().map(|one| parts(one, &one["kind"])).collect();
        let claim = format!("all {} audit records came over the stack's bus too", audit.len());
        self.claims.becomes(&claim, &wanted, || {
            let events = self.published.events(&self.app.aws)?;
            Ok(events.iter().map(|event| parts(&event["detail"], &event["detail-type"])).collect())
        })
    }

    /// Prints the pins, newest last. Returns the number of pins.
    fn pins(&self, builds: &[PushedBuild; 3]) -> Result<usize> {
        let path = format!("/environments/{ENVIRONMENT}/pins?limit=100");
        let (_, mut answer) = self.api(&self.operator, "GET", &path, None);
        let mut pins: Vec<Value> = answer["pins"].as_array_mut().map(std::mem::take).unwrap_or_default();
        pins.sort_by_key(|pin| pin["number"].as_u64());
        let rows: Vec<_> = pins
            .iter()
            .map(|pin| {
                let build = builds.iter().find(|build| pin["digest"] == build.digest);
                [
                    pin["number"].to_string(),
                    build.map_or(String::new(), |build| build.version.to_owned()),
                    text(&pin["build_tag"]).to_owned(),
                    brief(text(&pin["digest"])).to_owned(),
                    clock(&pin["at"]),
                ]
            })
            .collect();
        note(columns(["pin", "version", "build tag", "digest", "at (UTC)"], &rows));
        let table = self.app.items(&format!("PIN#{ENVIRONMENT}#"));
        let table: Vec<Value> = table.into_iter().map(|mut item| item["record"].take()).collect();
        self.claims.equal("these are the table's pins", &pins, &table)?;
        let digests: Vec<_> = table.iter().map(|pin| text(&pin["digest"])).collect();
        let mut expected: Vec<_> = builds.iter().map(|build| build.digest.as_str()).collect();
        expected.push(&builds[1].digest);
        self.claims.equal("one for each approval and each rollback, without a gap", &digests, &expected)?;
        Ok(table.len())
    }

    /// Prints the audit trail, oldest first. Returns its records.
    fn audit(&self) -> Result<Vec<Value>> {
        let prefix = format!("AUDIT#{APPLICATION}#");
        let mut table: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for mut item in self.table()? {
            if let Some(month) =
                item["pk"].as_str().and_then(|pk| pk.strip_prefix(&prefix)).map(str::to_owned)
            {
                table.entry(month).or_default().push(item["record"].take());
            }
        }
        let mut shown = Vec::new();
        for month in table.keys() {
            let path = format!("/audit?month={month}&limit=100");
            let (_, mut answer) = self.api(&self.operator, "GET", &path, None);
            shown.extend(answer["audit"].as_array_mut().map(std::mem::take).unwrap_or_default());
        }
        let table: Vec<Value> = table.into_values().flatten().collect();
        shown.sort_by_key(|one| table.iter().position(|other| other == one));
        let rows: Vec<_> = shown
            .iter()
            .map(|one| {
                let kind = text(&one["kind"]);
                let change = match one["from"].as_str() {
                    Some(from) => format!("{from} -> {}", text(&one["to"])),
                    None => text(&one["to"]).to_owned(),
                };
                let kind = kind.trim_end_matches(" State Change").trim_end_matches(" Change");
                [clock(&one["at"]), kind.to_owned(), change, who(&one["actor"]), clip(text(&one["reason"]))]
            })
            .collect();
        note(columns(["at (UTC)", "what", "change", "who", "why"], &rows));
        self.claims.equal("these are the table's audit records", &shown, &table)?;
        Ok(shown)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Returns the time of day of a timestamp.
fn clock(at: &Value) -> String {
    text(at).get(11..19).unwrap_or_default().to_owned()
}

fn who(actor: &Value) -> String {
    match text(&actor["type"]) {
        "link" => format!("{}, by link", text(&actor["approver"])),
        "principal" => text(&actor["arn"]).rsplit(':').next().unwrap_or_default().to_owned(),
        other => other.to_owned(),
    }
}

fn clip(reason: &str) -> String {
    if reason.chars().count() <= 60 {
        return reason.to_owned();
    }
    reason.chars().take(57).chain("...".chars()).collect()
}
