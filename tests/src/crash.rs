//! Runs one invocation of a Lambda function's real program, and injects a fault into one of the
//! program's AWS requests.
//!
//! The program talks to a Lambda Runtime API that this module serves. A proxy between the program
//! and AWS numbers the requests and injects the fault. The program is the binary that SAM has built
//! and deployed. It has the environment variables and the role of the deployed Lambda function.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use xtask::workspace;

use crate::ecr_fake::EcrFake;
use crate::ecs_fake::EcsFake;
use crate::role::{Credentials, configuration};
use crate::server::{Connection, Request};
use crate::sources_fake::{self, SourcesFake};
use crate::{Console, Link, stack};

/// A fault that the proxy injects into one AWS request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The proxy kills the program before the request reaches AWS.
    KillBefore,
    /// AWS carries out the request. The proxy kills the program before the program gets the
    /// response.
    KillAfter,
    Throttle,
    /// AWS throttles this request and all later requests.
    KeepThrottling,
    /// AWS denies access. The AWS SDK does not retry such a request.
    Refuse,
    /// AWS responds with status 500 and does nothing.
    Fail,
    ResetBefore,
    /// AWS carries out the request. The proxy then closes the connection without a response.
    ResetAfter,
}

/// The fakes that replace AWS services of the emulator.
#[derive(Clone, Copy, Default)]
pub struct FakeEndpoints<'a> {
    pub ecs: Option<&'a EcsFake>,
    pub ecr: Option<&'a EcrFake>,
    pub sources: Option<&'a SourcesFake>,
}

impl<'a> From<&'a EcsFake> for FakeEndpoints<'a> {
    fn from(ecs: &'a EcsFake) -> Self {
        Self { ecs: Some(ecs), ..Self::default() }
    }
}

/// The result of an invocation.
#[derive(Debug)]
pub struct ProgramRun {
    /// The AWS operation of each request, in order, such as `BatchGetItem`.
    pub requests: Vec<String>,
    pub hit: bool,
    /// The response of the Lambda function. `None` if the proxy killed the program.
    pub answer: Option<Value>,
}

/// The time limit of an invocation. The lease of a killed program lasts until this limit, and later
/// ticks must wait for the end of the lease. A short limit therefore saves time.
const TIME: SignedDuration = SignedDuration::from_secs(8);
/// The time that the test waits after the time limit of an invocation. If the program has not
/// responded by then, the test fails.
const PATIENCE: Duration = Duration::from_secs(32);
/// The longest time that the proxy waits for a response of AWS. The program gives up earlier.
const SILENCE: Duration = Duration::from_secs(20);

/// Invokes a Lambda function once. `function` is the short name, such as `approval`. `fault`
/// contains the number of the request at which the fault occurs, counted from 1.
#[track_caller]
pub fn invoke(function: &str, event: &Value, fault: Option<(usize, Fault)>) -> ProgramRun {
    invoke_with(function, &[], event, fault)
}

/// Invokes a Lambda function with environment variables that override those of the deployed
/// function.
#[track_caller]
pub fn invoke_with(
    function: &str,
    others: &[(&str, &str)],
    event: &Value,
    fault: Option<(usize, Fault)>,
) -> ProgramRun {
    run(function, others, FakeEndpoints::default(), event, fault, TIME)
}

/// Invokes a Lambda function with fakes that replace AWS services of the emulator. The proxy
/// numbers requests to the fakes together with all other requests.
///
/// The deployed Lambda functions do not use the fakes. If the deployed functions find work in their
/// table, they carry the work out in the emulator.
#[track_caller]
pub fn invoke_with_fakes<'a>(
    fakes: impl Into<FakeEndpoints<'a>>,
    function: &str,
    others: &[(&str, &str)],
    event: &Value,
    fault: Option<(usize, Fault)>,
) -> ProgramRun {
    run(function, others, fakes.into(), event, fault, TIME)
}

/// Invokes a Lambda function with fakes and with this time limit.
#[track_caller]
pub fn invoke_within<'a>(
    time: SignedDuration,
    fakes: impl Into<FakeEndpoints<'a>>,
    function: &str,
    others: &[(&str, &str)],
    event: &Value,
    fault: Option<(usize, Fault)>,
) -> ProgramRun {
    run(function, others, fakes.into(), event, fault, time)
}

#[track_caller]
fn run(
    function: &str,
    others: &[(&str, &str)],
    fakes: FakeEndpoints<'_>,
    event: &Value,
    fault: Option<(usize, Fault)>,
    time: SignedDuration,
) -> ProgramRun {
    let (proxy, runtime) = (listener(), listener());
    let (sender, ended) = channel();
    let child = start(function, others, address(&proxy), address(&runtime));
    let program = Program {
        child: Mutex::new(Some(child)),
        event: event.clone(),
        handed_out: AtomicBool::new(false),
        ended: Mutex::new(sender),
        over: AtomicBool::new(false),
        time,
        fault,
        ecs: fakes.ecs.map(EcsFake::address),
        ecr: fakes.ecr.map(EcrFake::address),
        sources: fakes.sources.map(SourcesFake::address),
        requests: Mutex::default(),
    };
    let answer = thread::scope(|scope| {
        let program = &program;
        let servers = [
            (&proxy, serve(scope, program, &proxy, Program::forward)),
            (&runtime, serve(scope, program, &runtime, Program::control)),
        ];
        let answer = ended.recv_timeout(PATIENCE + Duration::try_from(time).unwrap_or_default());
        program.kill();
        program.over.store(true, Ordering::SeqCst);
        for (listener, server) in servers {
            // A server notices the end of the invocation only when it accepts a connection.
            while !server.is_finished() {
                let _ = TcpStream::connect_timeout(&address(listener), SILENCE);
                thread::yield_now();
            }
        }
        answer
    });
    let requests = program.requests.into_inner().unwrap_or_else(PoisonError::into_inner);
    let hit = fault.is_some_and(|(number, _)| number <= requests.len());
    let answer =
        answer.unwrap_or_else(|_| panic!("{function} sent no response and did not die, after {requests:?}"));
    ProgramRun { requests, hit, answer }
}

/// Returns the Lambda event of a decision that an approver makes through a link.
pub fn decision(link: &Link, decision: &str, reason: &str) -> Value {
    let path = link.page.strip_prefix(stack().api()).expect("a link leads to the API");
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    let parameters = json!({ "application": parts[1], "environment": parts[2], "promotion": parts[3] });
    let route = "POST /decide/{application}/{environment}/{promotion}";
    http(route, path, &parameters, &link.form(decision, reason))
}

/// Returns the Lambda event of a signed request that registers an application.
pub fn registration(name: &str, file: &str) -> Value {
    let path = format!("/v1/applications/{name}");
    let parameters = json!({ "application": name });
    signed(http("PUT /v1/applications/{application}", &path, &parameters, file))
}

/// Returns the event of a signed request to a route that names only the application.
pub fn application_request(name: &str, route: &str, body: &Value) -> Value {
    let (_, path) = route.split_once(' ').expect("a route has a method and a path");
    let parameters = json!({ "application": name });
    signed(http(route, &path.replace("{application}", name), &parameters, &body.to_string()))
}

/// Returns the Lambda event of a signed rollback request.
pub fn rollback(name: &str, body: &Value) -> Value {
    let route = "POST /v1/applications/{application}/environments/{environment}/rollback";
    let path = format!("/v1/applications/{name}/environments/production/rollback");
    let parameters = json!({ "application": name, "environment": "production" });
    signed(http(route, &path, &parameters, &body.to_string()))
}

/// Returns the Lambda event of a signed request that starts a run of retention. If `run` contains
/// the id of a run and `apply` or `undo`, the request applies or undoes that run.
pub fn retention(name: &str, run: Option<(&str, &str)>, body: &Value) -> Value {
    let mut route = "POST /v1/applications/{application}/retention".to_owned();
    let mut path = format!("/v1/applications/{name}/retention");
    let mut parameters = json!({ "application": name });
    if let Some((run, what)) = run {
        route += &format!("/{{run}}/{what}");
        path += &format!("/{run}/{what}");
        parameters["run"] = json!(run);
    }
    signed(http(&route, &path, &parameters, &body.to_string()))
}

/// Returns the Lambda event of a signed promotion request.
pub fn promotion(name: &str, body: &Value) -> Value {
    let route = "POST /v1/applications/{application}/environments/{environment}/promotions";
    let path = format!("/v1/applications/{name}/environments/production/promotions");
    let parameters = json!({ "application": name, "environment": "production" });
    signed(http(route, &path, &parameters, &body.to_string()))
}

/// Returns the Lambda event of a request for an application's page in the console, with the
/// console's cookie.
pub fn console(console: &Console, name: &str) -> Value {
    let path = format!("/console/{name}");
    let mut event = http("GET /console/{application}", &path, &json!({ "application": name }), "");
    event["cookies"] = json!([format!("stablepin-console={}", console.token)]);
    event
}

fn signed(mut event: Value) -> Value {
    let arn = "arn:aws:iam::000000000000:root";
    event["requestContext"]["authorizer"] = json!({ "iam": { "userArn": arn, "accountId": "000000000000" } });
    event
}

/// Returns the Lambda event of an HTTP request in API Gateway's format.
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
fn http(route: &str, path: &str, parameters: &Value, body: &str) -> Value {
    let method = route.split(' ').next();
    json!({
        "version": "2.0", "routeKey": route, "rawPath": path, "rawQueryString": "",
        "headers": { "content-type": "application/x-www-form-urlencoded" },
        "pathParameters": parameters,
        "requestContext": {
            "accountId": "000000000000", "apiId": "api", "domainName": "api", "domainPrefix": "api",
            "http": { "method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "-" },
            "requestId": "a-request", "routeKey": route, "stage": "$default",
            "time": "21/Nov/2026:10:00:00 +0000", "timeEpoch": 1_795_255_200_000_u64,
        },
        "body": body, "isBase64Encoded": false,
    })
}

/// Returns the environment variables of a deployed Lambda function. The variables do not change
/// while the tests run, so this process reads them only once.
fn variables(function: &str) -> Vec<(String, String)> {
    static KNOWN: Mutex<BTreeMap<String, Vec<(String, String)>>> = Mutex::new(BTreeMap::new());
    let mut known = lock(&KNOWN);
    let variables = known.entry(function.to_owned()).or_insert_with(|| {
        let all = configuration(function)["Environment"]["Variables"].as_object().cloned();
        let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
        all.unwrap_or_default().into_iter().map(|(name, value)| (name, text(value))).collect()
    });
    variables.clone()
}

/// Returns the path of the deployed program in SAM's build folder.
fn program(function: &str) -> PathBuf {
    let mut name = function.to_owned();
    name[..1].make_ascii_uppercase();
    workspace::target().join("sam/debug").join(format!("{name}Function")).join("bootstrap")
}

/// Starts the program. The variables in `others` replace the program's environment variables of the
/// same name, including its credentials.
fn start(function: &str, others: &[(&str, &str)], proxy: SocketAddr, runtime: SocketAddr) -> Child {
    let mut command = Command::new(program(function));
    command.env_clear();
    if !others.iter().any(|(name, _)| *name == "AWS_ACCESS_KEY_ID") {
        let role = Credentials::of(function);
        command
            .env("AWS_ACCESS_KEY_ID", role.access_key)
            .env("AWS_SECRET_ACCESS_KEY", role.secret_key)
            .env("AWS_SESSION_TOKEN", role.session_token);
    }
    command
        .envs(variables(function))
        .env("AWS_LAMBDA_RUNTIME_API", runtime.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", function)
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_LOG_STREAM_NAME", "-")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", "-")
        .env("AWS_ENDPOINT_URL", format!("http://{proxy}"))
        .env("AWS_REGION", stack().variable("AWS_REGION"))
        .envs(others.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the function's program")
}

fn listener() -> TcpListener {
    xtask::port::listen().expect("a free port")
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a listener has an address")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Handles each connection in its own thread, until the invocation is over.
fn serve<'scope>(
    scope: &'scope Scope<'scope, '_>,
    program: &'scope Program,
    listener: &'scope TcpListener,
    handle: fn(&Program, Connection),
) -> ScopedJoinHandle<'scope, ()> {
    scope.spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if program.over.load(Ordering::SeqCst) {
                return;
            }
            scope.spawn(move || handle(program, Connection::new(stream)));
        }
    })
}

/// The running program, its fault, and the requests so far.
struct Program {
    child: Mutex<Option<Child>>,
    event: Value,
    handed_out: AtomicBool,
    ended: Mutex<Sender<Option<Value>>>,
    over: AtomicBool,
    time: SignedDuration,
    fault: Option<(usize, Fault)>,
    /// The address of the fake of ECS, if the test has one.
    ecs: Option<SocketAddr>,
    ecr: Option<SocketAddr>,
    sources: Option<SocketAddr>,
    requests: Mutex<Vec<String>>,
}

impl Program {
    fn kill(&self) {
        if let Some(mut child) = lock(&self.child).take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn end(&self, answer: Option<Value>) {
        let _ = lock(&self.ended).send(answer);
    }

    /// Serves the Runtime API. <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>
    fn control(&self, mut connection: Connection) {
        while let Some(request) = connection.request() {
            if request.target.ends_with("/next") {
                if self.handed_out.swap(true, Ordering::SeqCst) {
                    continue; // without a response, the program waits until the test kills it
                }
                let deadline = (Timestamp::now() + self.time).as_millisecond().to_string();
                let headers = [
                    ("content-type", "application/json"),
                    ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
                    ("lambda-runtime-deadline-ms", &deadline),
                    (
                        "lambda-runtime-invoked-function-arn",
                        "arn:aws:lambda:us-east-1:000000000000:function:f",
                    ),
                    ("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Sampled=0"),
                ];
                let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
                let _ = connection.answer(200, &headers, self.event.to_string().as_bytes());
                continue;
            }
            let _ = connection.answer(202, &[], b"");
            self.end(Some(serde_json::from_slice(&request.body).unwrap_or_default()));
        }
    }

    /// Forwards requests to AWS. Injects the fault at the request with the fault's number.
    fn forward(&self, mut connection: Connection) {
        while let Some(request) = connection.request() {
            // The programs of the Lambda functions open their connections to AWS with this request,
            // before they get the event.
            if request.target == "/ping" {
                let _ = connection.answer(200, &[], b"");
                continue;
            }
            let number = {
                let mut requests = lock(&self.requests);
                requests.push(action(&request));
                requests.len()
            };
            let is_hit = |(wanted, fault): &(usize, Fault)| {
                *wanted == number || (*fault == Fault::KeepThrottling && *wanted < number)
            };
            let fault = self.fault.filter(is_hit).map(|(_, fault)| fault);
            let went_on = match fault {
                None => self.answer_of_aws(&request).and_then(|answer| connection.send(&answer)),
                Some(Fault::KillBefore) => {
                    self.kill();
                    return self.end(None);
                }
                Some(Fault::KillAfter) => {
                    let _ = self.answer_of_aws(&request);
                    self.kill();
                    return self.end(None);
                }
                Some(Fault::Throttle | Fault::KeepThrottling) => {
                    let body = br#"{"__type":"ThrottlingException","message":"Rate exceeded"}"#;
                    connection.answer(400, &[("x-amzn-errortype".into(), "ThrottlingException".into())], body)
                }
                Some(Fault::Refuse) => {
                    let kind = "AccessDeniedException";
                    let body = format!(r#"{{"__type":"{kind}","message":"told by the test"}}"#);
                    connection.answer(400, &[("x-amzn-errortype".into(), kind.into())], body.as_bytes())
                }
                Some(Fault::Fail) => connection.answer(500, &[], br#"{"__type":"InternalServerError"}"#),
                Some(Fault::ResetBefore) => return,
                Some(Fault::ResetAfter) => {
                    let _ = self.answer_of_aws(&request);
                    return;
                }
            };
            // The response of AWS contains the header `connection: close`, so the proxy closes the
            // connection.
            if went_on.is_err() || fault.is_none() {
                return;
            }
        }
    }

    /// Sends the request to the emulator or to a fake. Returns the response unchanged. The response
    /// ends the connection.
    fn answer_of_aws(&self, request: &Request) -> io::Result<Vec<u8>> {
        let target = request.header("x-amz-target").unwrap_or_default();
        let ecs = self.ecs.filter(|_| target.starts_with("AmazonEC2ContainerService"));
        // The fake of ECR also serves the download URLs of layers on its port.
        let of_registry =
            target.starts_with("AmazonEC2ContainerRegistry") || request.target.starts_with("/v2/");
        let ecr = self.ecr.filter(|_| of_registry);
        let sources = self.sources.filter(|_| sources_fake::operation(request).is_some());
        let address = ecs.or(ecr).or(sources).unwrap_or_else(emulator);
        let mut aws = TcpStream::connect_timeout(&address, SILENCE)?;
        aws.set_read_timeout(Some(SILENCE))?;
        aws.write_all(&request.to_last_bytes())?;
        let mut answer = Vec::new();
        // If the emulator never responds, the read timeout ends this call, so that the test does
        // not wait forever.
        aws.read_to_end(&mut answer).inspect_err(|error| {
            eprintln!(
                "{} from {:?}: {error}, after {} bytes",
                action(request),
                aws.peer_addr(),
                answer.len()
            );
        })?;
        Ok(answer)
    }
}

fn emulator() -> SocketAddr {
    let port = stack().registry().rsplit(':').next().and_then(|port| port.parse().ok());
    SocketAddr::from((Ipv4Addr::LOCALHOST, port.unwrap_or_default()))
}

fn action(request: &Request) -> String {
    if let Some(operation) = sources_fake::operation(request) {
        return operation.to_owned();
    }
    let target = request.header("x-amz-target").and_then(|target| target.split('.').next_back());
    let of_form = || {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        body.split('&').find_map(|field| field.strip_prefix("Action=").map(str::to_owned))
    };
    let other = || format!("{} {}", request.method, request.target);
    target.map(str::to_owned).or_else(of_form).unwrap_or_else(other)
}
