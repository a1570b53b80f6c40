//! A fake of EventBridge, EventBridge Scheduler, EventBridge Pipes and AWS Batch. The fake knows
//! only the calls that retention sends.
//!
//! From these services, retention learns which images EventBridge rules, schedules, pipes and jobs
//! may start. One loopback port serves all four services, since their requests differ.
//!
//! A page has at most 100 items. The fake responds to unknown calls and paths with status 501.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::fake::input::{Answer, Refused};
use crate::fake::json::answered;
use crate::server::{Request, Server};

/// The region in every ARN.
pub const REGION: &str = "us-east-1";
/// The account in every ARN.
pub const ACCOUNT: &str = "000000000000";

#[derive(Default)]
struct SourcesState {
    /// The targets of each EventBridge rule, by bus and rule name.
    buses: BTreeMap<String, BTreeMap<String, Vec<Value>>>,
    /// The target of each schedule, by group and schedule name.
    schedules: BTreeMap<(String, String), Value>,
    /// The description of each pipe, by name.
    pipes: BTreeMap<String, Value>,
    definitions: Vec<Value>,
    queues: Vec<String>,
    /// The description of each job, by id.
    jobs: BTreeMap<String, Value>,
    calls: Vec<String>,
    /// The HTTP status and the error code that a test has set for an operation, by operation.
    refusals: BTreeMap<String, (u16, String)>,
}

/// The running fake of the four services. Dropping the value stops the fake.
pub struct SourcesFake {
    server: Server,
    state: Arc<Mutex<SourcesState>>,
}

impl SourcesFake {
    /// Starts a fake that contains only the bus `default`.
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(SourcesState::default()));
        lock(&state).buses.insert("default".to_owned(), BTreeMap::new());
        let served = Arc::clone(&state);
        let server = Server::start_aws(move |request| answered(answer(&served, request)));
        Self { server, state }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Puts an EventBridge rule with these targets on a bus. Creates the bus if necessary.
    pub fn rule(&self, bus: &str, name: &str, targets: Value) {
        let targets = targets.as_array().cloned().unwrap_or_default();
        lock(&self.state).buses.entry(bus.to_owned()).or_default().insert(name.to_owned(), targets);
    }

    /// Creates a schedule in the group `default`.
    pub fn schedule(&self, name: &str, target: Value) {
        lock(&self.state).schedules.insert(("default".to_owned(), name.to_owned()), target);
    }

    /// Creates a pipe with a target and the parameters of this target.
    pub fn pipe(&self, name: &str, target: &str, parameters: Value) {
        let pipe = json!({ "Name": name, "Target": target, "TargetParameters": parameters });
        lock(&self.state).pipes.insert(name.to_owned(), pipe);
    }

    /// Registers a job definition with these fields in its description. The definition is active
    /// unless the fields contain another status.
    pub fn job_definition(&self, name: &str, revision: u64, members: Value) {
        let mut definition = json!({ "jobDefinitionName": name, "revision": revision, "status": "ACTIVE" });
        merge(&mut definition, members);
        lock(&self.state).definitions.push(definition);
    }

    /// Creates a job queue. Returns its ARN.
    pub fn job_queue(&self, name: &str) -> String {
        let arn = format!("arn:aws:batch:{REGION}:{ACCOUNT}:job-queue/{name}");
        lock(&self.state).queues.push(arn.clone());
        arn
    }

    /// Submits a job with these fields in its description.
    pub fn job(&self, id: &str, queue: &str, status: &str, members: Value) {
        let mut job = json!({ "jobId": id, "jobQueue": queue, "status": status });
        merge(&mut job, members);
        lock(&self.state).jobs.insert(id.to_owned(), job);
    }

    /// Responds to every later call of the operation with this error.
    pub fn refuses(&self, operation: &str, status: u16, code: &str) {
        lock(&self.state).refusals.insert(operation.to_owned(), (status, code.to_owned()));
    }

    /// Returns the number of calls of the operation.
    pub fn count(&self, operation: &str) -> usize {
        lock(&self.state).calls.iter().filter(|call| *call == operation).count()
    }
}

/// Returns the ARN of a cluster.
pub fn cluster(name: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{name}")
}

/// Returns the ARN of a task definition. `name` may contain a revision.
pub fn task_definition(name: &str) -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{name}")
}

/// Returns the operation of a request to one of the four services, or `None` for any other request.
pub(crate) fn operation(request: &Request) -> Option<&'static str> {
    let path = request.target.split('?').next().unwrap_or_default();
    let target = request.header("x-amz-target").unwrap_or_default();
    Some(match (target, path) {
        ("AWSEvents.ListEventBuses", _) => "ListEventBuses",
        ("AWSEvents.ListRuleNamesByTarget", _) => "ListRuleNamesByTarget",
        ("AWSEvents.ListTargetsByRule", _) => "ListTargetsByRule",
        (_, "/schedules") => "ListSchedules",
        (_, "/v1/pipes") => "ListPipes",
        (_, "/v1/describejobdefinitions") => "DescribeJobDefinitions",
        (_, "/v1/describejobqueues") => "DescribeJobQueues",
        (_, "/v1/listjobs") => "ListJobs",
        (_, "/v1/describejobs") => "DescribeJobs",
        (_, path) if path.starts_with("/schedules/") => "GetSchedule",
        (_, path) if path.starts_with("/v1/pipes/") => "DescribePipe",
        _ => return None,
    })
}

fn answer(state: &Mutex<SourcesState>, request: &Request) -> Answer {
    let mut state = lock(state);
    let Some(operation) = operation(request) else {
        return Err(Refused::unknown(format!("{} {} is not in the fake", request.method, request.target)));
    };
    state.calls.push(operation.to_owned());
    let service = match operation {
        "ListEventBuses" | "ListRuleNamesByTarget" | "ListTargetsByRule" => "events",
        "ListSchedules" | "GetSchedule" => "scheduler",
        "ListPipes" | "DescribePipe" => "pipes",
        _ => "batch",
    };
    let scope = format!("/{REGION}/{service}/aws4_request");
    if !request.header("authorization").is_some_and(|signed| signed.contains(&scope)) {
        return Err(Refused::new(403, "IncompleteSignature", format!("it is not signed for {scope}")));
    }
    if let Some((status, code)) = state.refusals.get(operation) {
        return Err(Refused::new(*status, code, "told by the test"));
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let asked = |name: &str| {
        let of = |pair: &str| {
            pair.split_once('=').filter(|(key, _)| *key == name).map(|(_, value)| decoded(value))
        };
        query.split('&').find_map(of)
    };
    let member = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let named = path.rsplit('/').next().map(decoded).unwrap_or_default();
    let gone = |code: &str| Refused::new(404, code, "it does not exist");
    match operation {
        "ListEventBuses" => {
            let buses = state.buses.keys().map(|name| json!({ "Name": name })).collect();
            Ok(page("EventBuses", buses, body["NextToken"].as_str(), "NextToken"))
        }
        "ListRuleNamesByTarget" => {
            let rules = state.buses.get(&member("EventBusName"));
            let rules = rules.ok_or_else(|| gone("ResourceNotFoundException"))?;
            let has = |targets: &Vec<Value>| targets.iter().any(|one| one["Arn"] == body["TargetArn"]);
            let names =
                rules.iter().filter(|(_, targets)| has(targets)).map(|(name, _)| json!(name)).collect();
            Ok(page("RuleNames", names, body["NextToken"].as_str(), "NextToken"))
        }
        "ListTargetsByRule" => {
            let targets =
                state.buses.get(&member("EventBusName")).and_then(|rules| rules.get(&member("Rule")));
            let targets = targets.ok_or_else(|| gone("ResourceNotFoundException"))?.clone();
            Ok(page("Targets", targets, body["NextToken"].as_str(), "NextToken"))
        }
        "ListSchedules" => {
            let summary = |((group, name), target): (&(String, String), &Value)| json!({ "GroupName": group, "Name": name, "Target": { "Arn": target["Arn"] } });
            let all = state.schedules.iter().map(summary).collect();
            Ok(page("Schedules", all, asked("NextToken").as_deref(), "NextToken"))
        }
        "GetSchedule" => {
            let key = (asked("groupName").unwrap_or_else(|| "default".to_owned()), named);
            let target = state.schedules.get(&key).ok_or_else(|| gone("ResourceNotFoundException"))?;
            Ok(json!({ "Name": key.1, "GroupName": key.0, "Target": target }))
        }
        "ListPipes" => {
            let summary = |pipe: &Value| json!({ "Name": pipe["Name"], "Target": pipe["Target"] });
            let all = state.pipes.values().map(summary).collect();
            Ok(page("Pipes", all, asked("NextToken").as_deref(), "NextToken"))
        }
        "DescribePipe" => state.pipes.get(&named).cloned().ok_or_else(|| gone("NotFoundException")),
        "DescribeJobDefinitions" => {
            let all = state.definitions.clone();
            Ok(page("jobDefinitions", all, body["nextToken"].as_str(), "nextToken"))
        }
        "DescribeJobQueues" => {
            let all = state.queues.iter().map(|arn| json!({ "jobQueueArn": arn })).collect();
            Ok(page("jobQueues", all, body["nextToken"].as_str(), "nextToken"))
        }
        "ListJobs" => {
            let is_listed =
                |job: &&Value| job["jobQueue"] == body["jobQueue"] && job["status"] == body["jobStatus"];
            let ids =
                state.jobs.values().filter(is_listed).map(|job| json!({ "jobId": job["jobId"] })).collect();
            Ok(page("jobSummaryList", ids, body["nextToken"].as_str(), "nextToken"))
        }
        _ => {
            let ids = body["jobs"].as_array().cloned().unwrap_or_default();
            if ids.len() > 100 {
                return Err(Refused::new(400, "ClientException", "at most 100 jobs"));
            }
            let found = ids.iter().filter_map(|id| state.jobs.get(id.as_str()?));
            Ok(json!({ "jobs": found.collect::<Vec<_>>() }))
        }
    }
}

/// Returns the page that begins at the position in the token. A page has at most 100 items.
fn page(member: &str, all: Vec<Value>, token: Option<&str>, next: &str) -> Value {
    let from: usize =
        token.and_then(|token| token.strip_prefix("from/")).map_or(0, |at| at.parse().unwrap_or(0));
    let until = (from + 100).min(all.len());
    let mut answer = json!({ member: all.get(from..until).unwrap_or_default() });
    if until < all.len() {
        answer[next] = json!(format!("from/{until}"));
    }
    answer
}

fn merge(into: &mut Value, members: Value) {
    if let Value::Object(members) = members {
        members.into_iter().for_each(|(name, value)| into[name] = value);
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn lock(state: &Mutex<SourcesState>) -> MutexGuard<'_, SourcesState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
