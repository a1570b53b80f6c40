//! Makes the events that MiniStack does not: ECR image actions and ECS deployment state changes.
//!
//! It looks at the emulator's registry and services a few times a second, and puts what changed on
//! the default bus, in the shapes that AWS sends (`samples/`), with the sources `local.ecr` and
//! `local.ecs`, since `PutEvents` refuses `aws.*` here as on AWS. Rules, targets and functions behind it
//! are the real ones.
//!
//! What was there at the first look is not an event. Looking has a limit that AWS does not have: a
//! tag that is moved from A to B and back between two looks was, for the watcher, never moved, and
//! a tag moved twice is one event. MiniStack offers nothing better to look at: it keeps no history
//! of images, and its request log does not tell what `PutImage` put.

mod ecr;
mod ecs;
mod event;

use std::{collections::VecDeque, thread, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    aws::{Aws, AwsError},
    inbox::visible,
};
pub use event::Event;

/// How often it looks. A look takes about 2 ms for each repository, cluster and service.
pub const INTERVAL: Duration = Duration::from_millis(200);

/// `PutEvents` takes so many at once.
const BATCH: usize = 10;

pub struct Watcher {
    aws: Aws,
    seen: Option<Seen>,
    /// Noticed, and not yet accepted by the bus: sent again after an error, so that an event may
    /// come twice, as from EventBridge.
    outbox: VecDeque<Event>,
}

struct Seen {
    images: ecr::Repositories,
    services: ecs::Services,
}

/// What one look brought.
#[derive(Debug)]
pub enum Look {
    /// The first look, or the first after a restart of the emulator: what is there is no event.
    First { repositories: usize, services: usize },
    /// These were put on the bus.
    Sent(Vec<Event>),
}

impl Watcher {
    pub fn new(aws: Aws) -> Self {
        Self { aws, seen: None, outbox: VecDeque::new() }
    }

    /// Looks once, and sends what changed since the last look.
    pub fn look(&mut self) -> Result<Look, AwsError> {
        let now = Timestamp::now();
        let looked = Seen::look(&self.aws).inspect_err(|error| {
            // A restarted emulator has forgotten everything, which is not a deletion of everything.
            if error.is_connection_refused() {
                self.seen = None;
                self.outbox.clear();
            }
        })?;
        let Some(before) = &self.seen else {
            let look = Look::First { repositories: looked.images.len(), services: looked.services.len() };
            self.seen = Some(looked);
            return Ok(look);
        };
        let changes = ecr::changes(&before.images, &looked.images);
        let mut events: Vec<_> =
            changes.iter().map(|change| change.event(&self.aws, now)).collect::<Result<_, _>>()?;
        events.extend(ecs::changes(&before.services, &looked.services, now));
        // Only now: an error until here leaves the changes to the next look.
        self.outbox.extend(events);
        self.seen = Some(looked);
        self.send().map(Look::Sent)
    }

    /// Looks until the process ends, and writes a line for each event.
    pub fn run(mut self, interval: Duration) -> ! {
        let mut trouble = None;
        loop {
            match self.look() {
                Ok(look) => {
                    if trouble.take().is_some() {
                        log("the local cloud answers again");
                    }
                    match look {
                        Look::First { repositories, services } => {
                            log(&format!("watching {repositories} repositories and {services} services"));
                        }
                        Look::Sent(events) => events.iter().for_each(|event| log(&event.to_string())),
                    }
                }
                Err(error) => {
                    // Once, not five times a second.
                    let text = format!("{:#}", anyhow::Error::from(error));
                    if trouble.as_ref() != Some(&text) {
                        log(&format!("cannot look, and will try again: {text}"));
                        trouble = Some(text);
                    }
                }
            }
            thread::sleep(interval);
        }
    }

    fn send(&mut self) -> Result<Vec<Event>, AwsError> {
        let mut sent = Vec::new();
        while !self.outbox.is_empty() {
            let batch = self.outbox.len().min(BATCH);
            let entries: Vec<_> = self.outbox.iter().take(batch).map(Event::entry).collect();
            let answer = self.aws.events("PutEvents", &json!({ "Entries": entries }))?;
            for (at, event) in self.outbox.drain(..batch).enumerate() {
                match answer["Entries"][at]["ErrorCode"].as_str() {
                    None => sent.push(event),
                    // The emulator refuses for good only; sending it again would hold up the rest.
                    Some(code) => log(&format!("the bus refused, {code}: {event}")),
                }
            }
        }
        Ok(sent)
    }
}

impl Seen {
    fn look(aws: &Aws) -> Result<Self, AwsError> {
        Ok(Self { images: ecr::look(aws)?, services: ecs::look(aws)? })
    }
}

/// All pages of a list. MiniStack answers in one; a strict emulator does not.
fn pages(
    call: impl Fn(&str, Value) -> Result<Value, AwsError>,
    action: &str,
    request: Value,
    list: &str,
) -> Result<Vec<Value>, AwsError> {
    let mut all = Vec::new();
    let mut next = Value::Null;
    loop {
        let mut request = request.clone();
        if next.is_string() {
            request["nextToken"] = next;
        }
        let mut page = call(action, request)?;
        if let Value::Array(values) = page[list].take() {
            all.extend(values);
        }
        next = page["nextToken"].take();
        if !next.is_string() {
            return Ok(all);
        }
    }
}

fn log(line: &str) {
    // Names of tags come from pushes, and the emulator takes what ECR would refuse.
    println!("{} {}", Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ"), visible(line));
}
