//! The container engine, which runs the containers of ECS tasks. This module calls the engine
//! through the Docker API on the engine's socket.
//!
//! The container engine is Podman in the cloud's directory, or the machine's own Docker or Podman.

use crate::image::{self, PORT};
use crate::podman::ECR_HOST;
use crate::process::wait_for;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::env;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// The time limit of one response of the container engine.
const ANSWERS: Duration = Duration::from_secs(30);
/// The time limit of the probe container's response.
const PROBE_ANSWERS: Duration = Duration::from_secs(15);
/// The label of the containers that the emulator starts for ECS tasks.
const TASK: &str = "com.amazonaws.ecs.task-arn";

/// A container engine that serves one local cloud.
#[derive(Clone, Debug)]
pub struct Engine {
    socket: PathBuf,
    /// The port of the cloud, which is part of the names of the cloud's images.
    port: u16,
}

/// Returns the sockets on which this machine may have its own container engine.
pub(crate) fn machine_sockets() -> Vec<PathBuf> {
    let named = env::var("DOCKER_HOST").ok();
    let named = named.as_deref().and_then(|host| host.strip_prefix("unix://")).map(PathBuf::from);
    let own = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let own = own
        .into_iter()
        .flat_map(|folder| ["docker.sock", "podman/podman.sock"].map(|name| folder.join(name)));
    let shared = ["/var/run/docker.sock", "/run/podman/podman.sock"].map(PathBuf::from);
    named.into_iter().chain(own).chain(shared).filter(|socket| socket.exists()).collect()
}

impl Engine {
    pub fn new(socket: impl Into<PathBuf>, port: u16) -> Self {
        Self { socket: socket.into(), port }
    }

    /// Returns the running containers of this cloud's ECS tasks.
    pub fn running(&self) -> Result<Vec<Container>> {
        self.containers("/containers/json")
    }

    /// Removes the containers and the images of this cloud.
    pub(crate) fn clean(&self) -> Result<()> {
        for container in self.containers("/containers/json?all=true")? {
            self.call("DELETE", &format!("/containers/{}?force=true", container.id), None)?;
        }
        let images: Vec<Image> = self.json("GET", "/images/json", None)?;
        let own = self.registry();
        let names = images.iter().flat_map(|image| image.repo_digests.iter().flatten());
        for name in names.filter(|name| name.starts_with(&own)) {
            self.call("DELETE", &format!("/images/{name}?force=true"), None)?;
        }
        Ok(())
    }

    /// Runs a container, sends a request to its published port, and removes the container. An error
    /// says what the container engine cannot do.
    pub(crate) fn probe(&self) -> Result<()> {
        let tar = image::file_system()?;
        let answer = self
            .call("POST", "/images/create?fromSrc=-", Some(("application/x-tar", &tar)))
            .context("it does not take an image")?;
        let image = imported(&answer).context("it does not take an image")?;
        let ran = self.run_probe(&image);
        let _ = self.call("DELETE", &format!("/images/{image}?force=true"), None);
        ran
    }

    fn run_probe(&self, image: &str) -> Result<()> {
        let port = format!("{PORT}/tcp");
        let version = format!("probe-{}", self.port);
        let container = json!({
            "Image": image,
            "Cmd": ["/server"],
            "Env": [format!("APP_VERSION={version}"), format!("PORT={PORT}")],
            "ExposedPorts": { &port: {} },
            "HostConfig": {
                "PortBindings": { &port: [{ "HostIp": "", "HostPort": "0" }] },
                // The emulator sets the same entry.
                "ExtraHosts": ["host.docker.internal:host-gateway"],
            },
        });
        let created: Value =
            self.json("POST", "/containers/create", Some(&container)).context("it makes no container")?;
        let id = created["Id"].as_str().context("it names no container")?;
        let answers = || {
            self.call("POST", &format!("/containers/{id}/start"), None).context("it starts no container")?;
            let shown: Value = self.json("GET", &format!("/containers/{id}/json"), None)?;
            let published = shown["NetworkSettings"]["Ports"][&port][0]["HostPort"].as_str();
            let published = published.and_then(|port| port.parse().ok()).context("it publishes no port")?;
            wait_for("a container's answer on its published port", PROBE_ANSWERS, || {
                Ok(ask(published).is_ok_and(|answer| answer.ends_with(&version)).then_some(()))
            })?;
            self.call("POST", &format!("/containers/{id}/kill"), None).context("it kills no container")?;
            wait_for("the end of a container that was killed", PROBE_ANSWERS, || {
                let shown: Value = self.json("GET", &format!("/containers/{id}/json"), None)?;
                Ok((shown["State"]["Status"] == "exited").then_some(()))
            })
        };
        let answered = answers();
        let _ = self.call("DELETE", &format!("/containers/{id}?force=true"), None);
        answered
    }

    /// Checks that the container engine sends requests for an image to this machine's registry
    /// without TLS. The cloud's port must be free.
    pub(crate) fn reaches_registry(&self) -> Result<()> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).context("the port is taken")?;
        listener.set_nonblocking(true)?;
        let engine = self.clone();
        let pull = thread::spawn(move || {
            let path = format!("/images/create?fromImage={}probe&tag=1", engine.registry());
            engine.call("POST", &path, None).map(drop)
        });
        let end = Instant::now() + ANSWERS;
        while Instant::now() < end {
            if let Ok((mut stream, _)) = listener.accept() {
                let mut start = [0; 8];
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(Duration::from_secs(2)))?;
                let read = stream.read_exact(&mut start);
                let _ = stream.write_all(b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n");
                if read.is_ok() && &start == b"GET /v2/" {
                    return Ok(());
                }
            } else if pull.is_finished() {
                break;
            } else {
                thread::sleep(Duration::from_millis(20));
            }
        }
        bail!("it does not ask a registry on localhost without TLS")
    }

    /// Returns the prefix of this cloud's image names, for a container engine that cannot be
    /// configured with the registry's host.
    fn registry(&self) -> String {
        format!("localhost:{}/", self.port)
    }

    fn containers(&self, path: &str) -> Result<Vec<Container>> {
        let listed: Vec<Listed> = self.json("GET", path, None)?;
        let ours = |one: &Container| {
            one.image.starts_with(&self.registry()) || one.image.starts_with(&format!("{ECR_HOST}/"))
        };
        Ok(listed
            .into_iter()
            .map(Container::from)
            .filter(|one| one.task_arn.is_some() && ours(one))
            .collect())
    }

    fn json<T: serde::de::DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T> {
        let body = body.map(Value::to_string);
        let body = body.as_ref().map(|body| ("application/json", body.as_bytes()));
        let answer = self.call(method, path, body)?;
        serde_json::from_slice(&answer).with_context(|| format!("cannot read the engine's answer to {path}"))
    }

    /// Calls the container engine with HTTP/1.0, in which a response ends with the connection.
    fn call(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Result<Vec<u8>> {
        let socket = self.socket.display();
        let mut stream =
            UnixStream::connect(&self.socket).with_context(|| format!("cannot connect to {socket}"))?;
        stream.set_read_timeout(Some(ANSWERS))?;
        stream.set_write_timeout(Some(ANSWERS))?;
        let (kind, body) = body.unwrap_or(("application/json", b""));
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        )?;
        // A container engine may refuse a request before it has read the whole body. In that case,
        // the response says more than the error of the write.
        let sent = stream.write_all(body);
        let mut answer = Vec::new();
        stream
            .read_to_end(&mut answer)
            .with_context(|| format!("{socket} does not answer {method} {path}"))?;
        if answer.is_empty() {
            sent.with_context(|| format!("{socket} does not take {method} {path}"))?;
        }
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .context("the engine's answer is cut off")?;
        let body = answer.split_off(end + 4);
        let head = String::from_utf8_lossy(&answer);
        let status = head.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()).unwrap_or_default();
        ensure!((200..300).contains(&status), "{status}: {}", message(&body));
        Ok(body)
    }
}

/// Returns the id of an imported image. The container engine's response is a sequence of JSON
/// values, and the last status is the id.
fn imported(answer: &[u8]) -> Option<String> {
    let values = serde_json::Deserializer::from_slice(answer).into_iter::<Value>();
    let last = values.map_while(Result::ok).last()?;
    Some(last["status"].as_str()?.trim().to_owned())
}

/// Returns the container engine's own error message.
fn message(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let text =
        value["message"].as_str().map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned);
    text.trim().to_owned()
}

fn ask(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET /version HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A container of an ECS task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub id: String,
    pub name: String,
    /// The requested image: `host/repository@sha256:…` if the task belongs to a deployment.
    pub image: String,
    /// The ARN of the task, or `None` if ECS did not start the container.
    pub task_arn: Option<String>,
    /// The ports of this machine that lead to the container.
    pub host_ports: Vec<u16>,
}

impl Container {
    /// Returns the digest by which the container engine pulled and started the image. The engine
    /// itself may name another digest of the same image.
    pub fn digest(&self) -> Option<&str> {
        self.image.split_once('@').map(|(_, digest)| digest)
    }
}

/// An entry of the container list. See
/// <https://docs.docker.com/reference/api/engine/version/v1.44/#tag/Container/operation/ContainerList>
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    names: Vec<String>,
    image: String,
    labels: Option<BTreeMap<String, String>>,
    ports: Option<Vec<ListedPort>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedPort {
    public_port: Option<u16>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    repo_digests: Option<Vec<String>>,
}

impl From<Listed> for Container {
    fn from(listed: Listed) -> Self {
        let Listed { id, names, image, labels, ports } = listed;
        let mut host_ports: Vec<_> =
            ports.unwrap_or_default().into_iter().filter_map(|port| port.public_port).collect();
        // The container engine lists a port twice: once for IPv4 and once for IPv6.
        host_ports.dedup();
        let name = names.into_iter().next().unwrap_or_default();
        Self {
            id,
            name: name.trim_start_matches('/').to_owned(),
            image,
            task_arn: labels.and_then(|mut labels| labels.remove(TASK)),
            host_ports,
        }
    }
}

#[cfg(test)]
mod tests;
