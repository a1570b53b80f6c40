//! The Chromium process and its [DevTools
//! protocol](https://chromedevtools.github.io/devtools-protocol/).

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use xtask::{setup, workspace};

/// The shell command that starts Chromium and then removes its profile. Chromium reads commands
/// from file descriptor 3 and writes responses to 4. Chromium ends when the test program closes the
/// pipes or crashes. The shell then removes the profile.
const START: &str = r#"profile=$1; shift; "$@" 3<&0 4>&1 0</dev/null 1>&2; rm -rf "$profile""#;

const FLAGS: [&str; 11] = [
    "--remote-debugging-pipe",
    "--headless",
    "--no-sandbox", // Chromium has no sandbox for root, and opens only our own pages
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    // No page can send a request to another machine.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE *.localhost, EXCLUDE localhost",
    "about:blank",
];

/// The time limit for one command. The limit is long enough even on two busy cores.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Chromium {
    commands: Mutex<ChildStdin>,
    count: AtomicU64,
    heard: Mutex<Heard>,
    more: Condvar,
}

#[derive(Default)]
struct Heard {
    answers: HashMap<u64, Value>,
    /// The events of each session, oldest first.
    events: HashMap<String, Vec<Value>>,
    /// True after the Chromium process has ended.
    over: bool,
}

/// Returns the Chromium that all tests of this test program share.
pub(super) fn chromium() -> &'static Chromium {
    static CHROMIUM: LazyLock<Chromium> = LazyLock::new(|| {
        let mut child = start();
        let commands = child.stdin.take().expect("stdin is piped");
        thread::spawn(|| CHROMIUM.listen(child));
        Chromium {
            commands: Mutex::new(commands),
            count: AtomicU64::new(1),
            heard: Mutex::default(),
            more: Condvar::new(),
        }
    });
    &CHROMIUM
}

fn start() -> Child {
    let program = setup::chromium().expect("Chromium: run `cargo xtask setup`");
    let folder = workspace::target().join("chromium");
    let profile = folder.join(std::process::id().to_string());
    fs::create_dir_all(&profile).expect("a folder for the profile");
    let log = File::create(folder.join("chromium.log")).expect("a log");
    Command::new("sh")
        .args(["-c", START, "sh"])
        .arg(&profile)
        .arg(program)
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(FLAGS)
        .process_group(0) // Ctrl-C in a terminal must not kill the shell, which removes the profile
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .expect("Chromium starts")
}

impl Chromium {
    /// Sends a command and waits for Chromium's response. An error contains Chromium's own text.
    pub(super) fn call(
        &self,
        session: Option<&str>,
        method: &str,
        parameters: &Value,
    ) -> Result<Value, String> {
        let id = self.count.fetch_add(1, Ordering::Relaxed);
        let mut command = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = session {
            command["sessionId"] = json!(session);
        }
        let bytes = [command.to_string().as_bytes(), b"\0"].concat();
        let mut pipe = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        pipe.write_all(&bytes).map_err(|error| format!("Chromium accepts no command: {error}"))?;
        drop(pipe);

        let waits = |heard: &mut Heard| !heard.over && !heard.answers.contains_key(&id);
        let (mut heard, _) = self
            .more
            .wait_timeout_while(self.heard(), PATIENCE, waits)
            .unwrap_or_else(PoisonError::into_inner);
        let mut answer = heard.answers.remove(&id).ok_or_else(|| {
            let why = if heard.over { "has ended: target/chromium/chromium.log" } else { "does not respond" };
            format!("{method}: Chromium {why}")
        })?;
        match answer["error"]["message"].as_str() {
            Some(message) => Err(format!("{method}: {message}")),
            None => Ok(answer["result"].take()),
        }
    }

    /// Returns the events of a session so far, oldest first.
    pub(super) fn events(&self, session: &str) -> Vec<Value> {
        self.heard().events.get(session).cloned().unwrap_or_default()
    }

    fn listen(&self, mut child: Child) {
        let mut answers = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut message = Vec::new();
        while answers.read_until(0, &mut message).is_ok_and(|read| read > 0) {
            message.pop();
            self.hear(serde_json::from_slice(&message).expect("Chromium speaks JSON"));
            message.clear();
        }
        self.heard().over = true;
        self.more.notify_all();
        let _ = child.wait();
    }

    fn hear(&self, message: Value) {
        let mut heard = self.heard();
        if let Some(id) = message["id"].as_u64() {
            heard.answers.insert(id, message);
            self.more.notify_all();
        } else if let Some(session) = message["sessionId"].as_str() {
            heard.events.entry(session.to_owned()).or_default().push(message);
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
