//! Saves the state of an isolated application and copies it, so that many tests continue from the
//! same state.

use serde_json::Value;

use crate::ecr_fake::{EcrFake, Repository};
use crate::isolated::Isolated;
use crate::{App, Plan, unique, until};

/// A saved application. A copy has the original's name and links, but its own table, topic and
/// repository.
pub struct Seed {
    pub(crate) plan: Plan,
    items: Vec<Value>,
    web: Repository,
}

impl Seed {
    /// Waits until no effects of the application are pending, then saves the application.
    #[track_caller]
    pub fn of(app: &App) -> Self {
        let items = until("no effects are pending", || {
            let items = app.all_items();
            let busy = |item: &Value| {
                let operation = &item["record"]["M"]["operation"]["M"];
                operation["lease"]["M"].is_object()
                    || item["record"]["M"]["tagged"]["BOOL"] == false
                    || operation["work"]["M"]["Promotion"]["M"]["state"]["S"] == "InProgress"
            };
            (!items.iter().any(busy)).then_some(items)
        });
        let (_, web) = EcrFake::with_copy_of(app.web());
        Self { plan: app.plan.clone(), items, web }
    }

    /// Returns a copy of the application. In the copied items, the second text of each pair
    /// replaces the first text, as in `[("deploy = \"never\"", "verify = {}")]`.
    #[track_caller]
    pub fn copy(&self, others: &[(&str, &str)]) -> App {
        let mut text = Value::Array(self.items.clone()).to_string();
        for (word, other) in others {
            let (word, other) = (inner(word), inner(other));
            assert!(text.contains(&word), "{word} is nowhere");
            text = text.replace(&word, &other);
        }
        let items: Vec<Value> = serde_json::from_str(&text).expect("the items are still JSON");
        let mut app = App::unborn(self.plan.clone());
        let name = format!("{}-{}", app.plan.name, unique());
        app.isolated = Some(Isolated::open(&app.aws, &name, &items, EcrFake::with_copy_of(&self.web)));
        app
    }
}

/// Escapes a text as in a JSON string, without the quotes.
fn inner(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}
