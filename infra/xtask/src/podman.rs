//! Podman, kept inside one local cloud's directory: it runs the containers of ECS tasks.
//!
//! Two clouds side by side share nothing but the kernel: each has its own storage, its own state, its
//! own locks, and a bridge, a subnet and firewall chains of its own, named after its port.

use crate::process::{bound, on_path, output, run_logged, spawn, wait_for};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

/// The account's registry host, as task definitions name it. Podman is told that it is the local one.
pub const ECR_HOST: &str = "000000000000.dkr.ecr.us-east-1.amazonaws.com";

/// `podman` with the configuration of one local cloud.
#[derive(Clone, Debug)]
pub struct Podman {
    folder: PathBuf,
}

/// Why containers cannot be run on this machine, if they cannot.
pub fn unavailable() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("containers need Linux".to_owned());
    }
    if !rustix::process::geteuid().is_root() {
        return Some("its networks need root".to_owned());
    }
    let missing = ["podman", "iptables"].into_iter().find(|program| on_path(program).is_none())?;
    Some(format!("{missing} is not installed"))
}

impl Podman {
    /// The one of a local cloud that was configured before.
    pub fn of(cloud: &Path) -> Option<Self> {
        let folder = cloud.join("podman");
        folder.join("containers.conf").is_file().then_some(Self { folder })
    }

    /// Writes the configuration for a local cloud that serves on this port.
    pub fn configure(cloud: &Path, port: u16) -> Result<Self> {
        let folder = cloud.join("podman");
        let path = |name: &str| folder.join(name).display().to_string();
        fs::create_dir_all(folder.join("networks")).context("cannot make Podman's folder")?;

        // Without the ulimits, a container is refused where CAP_SYS_RESOURCE is missing ("setrlimit …
        // not permitted"). File locks, because the others are one shared segment per machine, which
        // each new Podman state empties.
        let network = network_name(port);
        // crun, the default, refuses hosts with both versions of cgroups.
        let runtime = if on_path("runc").is_some() { "runtime = \"runc\"\n" } else { "" };
        let containers = format!(
            r#"[containers]
default_ulimits = ["nofile=1000:1000", "nproc=1000:1000"]
log_driver = "k8s-file"
[engine]
{runtime}cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = {tmp:?}
volume_path = {volumes:?}
[network]
network_backend = "netavark"
network_config_dir = {networks:?}
default_network = {network:?}
"#,
            tmp = path("tmp"),
            volumes = path("volumes"),
            networks = path("networks"),
        );
        let storage = format!(
            "[storage]\ndriver = \"overlay\"\nrunroot = {:?}\ngraphroot = {:?}\n",
            path("run"),
            path("graph")
        );
        let registries = format!(
            r#"[[registry]]
prefix = "{ECR_HOST}"
location = "localhost:{port}"
insecure = true
[[registry]]
location = "localhost:{port}"
insecure = true
"#
        );
        for (name, text) in
            [("containers.conf", containers), ("storage.conf", storage), ("registries.conf", registries)]
        {
            fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))?;
        }
        // A default network that Podman makes itself is `podman0` everywhere, whatever its name.
        let [high, low] = port.to_be_bytes();
        let config = json!({
            "name": network,
            "id": format!("{port:064x}"),
            "driver": "bridge",
            "network_interface": format!("sp{port}"),
            "created": "2025-01-01T00:00:00Z",
            "subnets": [{ "subnet": format!("10.{high}.{low}.0/24"), "gateway": format!("10.{high}.{low}.1") }],
            "ipv6_enabled": false,
            "internal": false,
            "dns_enabled": false,
            "ipam_options": { "driver": "host-local" }
        });
        fs::write(folder.join(format!("networks/{network}.json")), format!("{config:#}"))
            .context("cannot write the network's configuration")?;
        Ok(Self { folder })
    }

    /// `podman` against this cloud's containers and images.
    pub fn command(&self) -> Command {
        self.with_configuration(Command::new("podman"))
    }

    /// The containers that run now, those of ECS tasks and any other of this cloud's.
    pub fn running(&self) -> Result<Vec<Container>> {
        let listed = output(self.command().args(["ps", "--format", "json"]))?;
        let listed: Vec<Listed> = serde_json::from_str(&listed).context("cannot read what Podman lists")?;
        Ok(listed.into_iter().map(Container::from).collect())
    }

    /// Serves the Docker API on a socket, for MiniStack. The first call also prepares the storage.
    pub(crate) fn serve(&self, socket: &Path, temporary: &Path, log: &Path) -> Result<Child> {
        let mut command = self.with_configuration(bound("podman"));
        command
            .args(["system", "service", "--time=0"])
            .arg(format!("unix://{}", socket.display()))
            .env("TMPDIR", temporary);
        spawn(command, log)
    }

    pub(crate) fn wait_until_it_serves(&self, socket: &Path, service: &mut Child) -> Result<()> {
        wait_for("Podman's socket", Duration::from_secs(60), || {
            if let Some(status) = service.try_wait()? {
                bail!("Podman has ended by itself: {status}");
            }
            Ok(UnixStream::connect(socket).ok().map(drop))
        })
    }

    /// Removes every container: all of them are this cloud's.
    pub(crate) fn remove_containers(&self, log: &Path) -> Result<()> {
        run_logged(self.command().args(["rm", "--all", "--force", "--time", "0"]), log)
    }

    fn with_configuration(&self, mut command: Command) -> Command {
        command
            .env("CONTAINERS_CONF", self.folder.join("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", self.folder.join("storage.conf"))
            .env("CONTAINERS_REGISTRIES_CONF", self.folder.join("registries.conf"))
            // A developer's own Podman or Docker is not to be asked.
            .env_remove("CONTAINER_HOST")
            .env_remove("DOCKER_HOST");
        command
    }
}

/// A running container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub id: String,
    pub name: String,
    /// As it was asked for: `host/repository@sha256:…` for the task of a deployment.
    pub image: String,
    /// The task, where ECS started it.
    pub task_arn: Option<String>,
    /// The ports of this machine that lead to it.
    pub host_ports: Vec<u16>,
}

impl Container {
    /// The digest that it was pulled and started by. What Podman itself calls an image's digest may be
    /// another one that the same image is known by.
    pub fn digest(&self) -> Option<&str> {
        self.image.split_once('@').map(|(_, digest)| digest)
    }
}

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
struct ListedPort {
    host_port: u16,
}

impl From<Listed> for Container {
    fn from(listed: Listed) -> Self {
        let Listed { id, names, image, labels, ports } = listed;
        Self {
            id,
            name: names.into_iter().next().unwrap_or_default(),
            image,
            task_arn: labels.and_then(|mut labels| labels.remove("com.amazonaws.ecs.task-arn")),
            host_ports: ports.unwrap_or_default().into_iter().map(|port| port.host_port).collect(),
        }
    }
}

fn network_name(port: u16) -> String {
    format!("stablepin-{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_container_is_known_by_the_digest_that_it_was_started_with() {
        // From Podman 4.3, shortened.
        let listed = r#"[{
            "Id": "0b5c", "Names": ["ministack-ecs-0cd25f3e-web"],
            "Image": "000000000000.dkr.ecr.us-east-1.amazonaws.com/web@sha256:c0af",
            "Labels": {"com.amazonaws.ecs.task-arn": "arn:aws:ecs:us-east-1:000000000000:task/prod/0cd25f3e"},
            "Ports": [{"host_ip": "", "container_port": 8080, "host_port": 40131, "range": 1, "protocol": "tcp"}],
            "State": "running", "Exited": false, "Pid": 4711
        }, {"Id": "1", "Names": ["other"], "Image": "localhost/other:latest", "Labels": null, "Ports": null}]"#;
        let listed: Vec<Listed> = serde_json::from_str(listed).unwrap();
        let [task, other] = listed.into_iter().map(Container::from).collect::<Vec<_>>().try_into().unwrap();
        assert_eq!(task.digest(), Some("sha256:c0af"));
        assert_eq!(task.host_ports, [40131]);
        assert!(task.task_arn.is_some_and(|arn| arn.ends_with("task/prod/0cd25f3e")));
        assert_eq!(other.digest(), None);
        assert_eq!((other.task_arn, other.host_ports), (None, vec![]));
    }
}
