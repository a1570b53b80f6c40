//! An application as far as it has come once, copied for many stories: each goes on from there, aside.

use serde_json::Value;

use crate::aside::Aside;
use crate::{App, Plan, stack, unique, until};

/// The copies have the name, the images and the links of the one that they were made of; each has a table, a topic
/// and a stable tag of its own.
pub struct Seed {
    pub(crate) plan: Plan,
    items: Vec<Value>,
}

impl Seed {
    /// As it is when nothing is owed any more. The application must live as long as its copies.
    #[track_caller]
    pub fn of(app: &App) -> Self {
        let items = until("nothing is owed", || {
            let items = app.all_items();
            let busy = |item: &Value| {
                let operation = &item["record"]["M"]["operation"]["M"];
                operation["lease"]["M"].is_object()
                    || item["record"]["M"]["tagged"]["BOOL"] == false
                    || operation["work"]["M"]["Promotion"]["M"]["state"]["S"] == "InProgress"
            };
            (!items.iter().any(busy)).then_some(items)
        });
        Self { plan: app.plan.clone(), items }
    }

    /// Goes on aside, with other words in its items: `[("deploy = \"never\"", "verify = {}")]`.
    #[track_caller]
    pub fn copy(&self, others: &[(&str, &str)]) -> App {
        let own = unique();
        let mut plan = self.plan.clone();
        plan.stable_tag = format!("{}-{own}", plan.stable_tag);
        let mut text = Value::Array(self.items.clone()).to_string();
        text = text.replace(&self.plan.stable_tag, &plan.stable_tag);
        for (word, other) in others {
            let (word, other) = (inner(word), inner(other));
            assert!(text.contains(&word), "{word} is nowhere");
            text = text.replace(&word, &other);
        }
        let items: Vec<Value> = serde_json::from_str(&text).expect("still JSON");
        let aws = stack().aws();
        let aside = Aside::open(&aws, &format!("{}-{own}", plan.name), &items);
        App { aws, plan, mailbox: Vec::new(), aside: Some(aside), guest: true }
    }
}

/// As it is written within a JSON string.
fn inner(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}
