//! Podman inside one local cloud's directory, for the containers of ECS tasks.
//!
//! Two parallel clouds share only the kernel. Each cloud has its own storage, state and locks. Its
//! bridge, subnet and firewall chains are named after its port.
//!
//! Root's Podman creates its networks on the machine. An ordinary user's Podman is rootless: its
//! networks are in its own namespace, and a small proxy serves each published port.

use crate::process::{bound, on_path, output, run_logged, spawn, sweep, wait_for};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::fs::{self, DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

/// The account's registry host, as task definitions name it. Podman's configuration maps the host
/// to the local registry.
pub const ECR_HOST: &str = "000000000000.dkr.ecr.us-east-1.amazonaws.com";

/// The name of the file with the path of the folder `runtime`.
const RUNTIME: &str = "runtime.txt";
const WITHOUT_TUN: &str = include_str!("../without_tun.sh");

/// The `podman` command with the configuration of one local cloud.
#[derive(Clone, Debug)]
pub struct Podman {
    folder: PathBuf,
    /// The folder for files that live as long as the containers, like `XDG_RUNTIME_DIR`.
    runtime: PathBuf,
}

/// The longest allowed path of a run root. With a longer path, Podman cannot clean up after an
/// ended container, so the container never appears ended.
const LONGEST_RUN_ROOT: usize = 50;

/// Returns why Podman cannot start on this machine, or `None` if it can.
pub fn unavailable() -> Option<String> {
    if !cfg!(target_os = "linux") {
        return Some("containers need Linux".to_owned());
    }
    // An ordinary user's network needs other programs, and Podman itself looks for them.
    let needed: &[&str] = if is_root() { &["podman", "iptables"] } else { &["podman"] };
    let missing = needed.iter().find(|program| on_path(program).is_none())?;
    Some(format!("{missing} is not installed"))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Podman {
    /// Returns the `podman` command of a local cloud. `None` if [`Self::configure`] has not
    /// configured it yet.
    pub fn of(cloud: &Path) -> Option<Self> {
        let folder = cloud.join("podman");
        let runtime = fs::read_to_string(folder.join(RUNTIME)).ok()?;
        folder.join("containers.conf").is_file().then_some(Self { folder, runtime: PathBuf::from(runtime) })
    }

    /// Writes the configuration for a local cloud that serves on this port.
    pub fn configure(cloud: &Path, port: u16) -> Result<Self> {
        let folder = cloud.join("podman");
        let path = |name: &str| folder.join(name).display().to_string();
        fs::create_dir_all(folder.join("networks")).context("cannot make Podman's folder")?;
        let runtime = runtime(&folder, port);
        // This file is written before the runtime folder is created, so that a clean-up finds that
        // folder.
        fs::write(folder.join(RUNTIME), runtime.display().to_string())
            .context("cannot write Podman's folder")?;
        // All users share the parent folder. So this process must create the folder itself, instead
        // of using an existing folder of another user.
        DirBuilder::new()
            .mode(0o700)
            .create(&runtime)
            .with_context(|| format!("cannot make {}", runtime.display()))?;

        // Without ulimits, a container fails if CAP_SYS_RESOURCE is missing ("setrlimit … not
        // permitted"). Locks must be files: Podman's locks in shared memory use one segment for the
        // whole machine, and each new Podman state empties the segment.
        let network = network_name(port);
        // crun, the default runtime, refuses hosts with both versions of cgroups.
        let oci_runtime = if on_path("runc").is_some() { "runtime = \"runc\"\n" } else { "" };
        let (rootless, rootless_network) =
            if is_root() { (String::new(), String::new()) } else { rootless_settings(&folder)? };
        let containers = format!(
            r#"[containers]
default_ulimits = ["nofile=1000:1000", "nproc=1000:1000"]
log_driver = "k8s-file"
netns = "bridge"
[engine]
{oci_runtime}cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
static_dir = {libpod:?}
tmp_dir = {tmp:?}
volume_path = {volumes:?}
{rootless}[network]
network_backend = "netavark"
network_config_dir = {networks:?}
default_network = {network:?}
{rootless_network}"#,
            // Podman's clean-up process for a container expects this path.
            libpod = path("graph/libpod"),
            tmp = path("tmp"),
            volumes = path("volumes"),
            networks = path("networks"),
        );
        let storage = format!(
            "[storage]\ndriver = \"overlay\"\nrunroot = {run:?}\ngraphroot = {graph:?}\nrootless_storage_path = {graph:?}\n",
            run = run_root(&runtime).display().to_string(),
            graph = path("graph")
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
        // If Podman creates its default network itself, the interface is always `podman0`, whatever
        // the network's name. So the configuration defines the network.
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
        Ok(Self { folder, runtime })
    }

    /// Returns the `podman` command for this cloud's containers and images.
    pub fn command(&self) -> Command {
        self.with_configuration(Command::new("podman"))
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

    /// Removes every container of this Podman. All of these containers belong to this cloud.
    pub(crate) fn remove_containers(&self, temporary: &Path, log: &Path) -> Result<()> {
        let mut command = self.command();
        // The command may leave processes running. The clean-up finds those processes by this
        // variable.
        command.args(["rm", "--all", "--force", "--time", "0"]).env("TMPDIR", temporary);
        run_logged(&mut command, log)
    }

    /// Returns the folder for files that live as long as the containers.
    pub(crate) fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// Removes the containers' files. Rootless containers wrote some files as other users, and only
    /// the containers' own namespace may remove those files.
    pub(crate) fn remove_storage(&self, temporary: &Path) -> Result<()> {
        let folders = ["graph", "volumes"].map(|name| self.folder.join(name));
        if !is_root() && folders.iter().any(|folder| remove(folder).is_err()) {
            // Podman mounts the folder of its layers onto itself.
            let script = r#"umount "$1/overlay" 2>/dev/null; exec rm -rf "$@""#;
            let mut command = self.command();
            command.args(["unshare", "sh", "-c", script, "sh"]).args(&folders).env("TMPDIR", temporary);
            output(&mut command)?;
            // The sweep ends the process that keeps the namespace.
            sweep("TMPDIR", temporary)?;
        }
        remove(&self.runtime).with_context(|| format!("cannot remove {}", self.runtime.display()))
    }

    fn with_configuration(&self, mut command: Command) -> Command {
        command
            .env("CONTAINERS_CONF", self.folder.join("containers.conf"))
            .env("CONTAINERS_STORAGE_CONF", self.folder.join("storage.conf"))
            .env("CONTAINERS_REGISTRIES_CONF", self.folder.join("registries.conf"))
            // The command must not use the developer's own Podman or Docker.
            .env_remove("CONTAINER_HOST")
            .env_remove("DOCKER_HOST");
        if !is_root() {
            // The command must not use the developer's own containers, caches and short names
            // either.
            command.env("HOME", &self.folder).env("XDG_RUNTIME_DIR", &self.runtime);
            for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"] {
                command.env_remove(name);
            }
        }
        command
    }
}

/// Returns Podman's settings for an ordinary user: the settings of the container engine, and the
/// settings of its networks.
fn rootless_settings(folder: &Path) -> Result<(String, String)> {
    if OpenOptions::new().read(true).write(true).open("/dev/net/tun").is_ok()
        && on_path("slirp4netns").is_some()
    {
        return Ok((String::new(), String::new()));
    }
    let program = folder.join("slirp4netns");
    fs::write(&program, WITHOUT_TUN).context("cannot write Podman's network program")?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let program = program.display().to_string();
    // Since version 5, Podman by default uses another program, which has other arguments.
    let network = "default_rootless_network_cmd = \"slirp4netns\"\n".to_owned();
    Ok((format!("network_cmd_path = {program:?}\n"), network))
}

fn remove(folder: &Path) -> std::io::Result<()> {
    if folder.exists() { fs::remove_dir_all(folder) } else { Ok(()) }
}

/// Returns the folder for files that live as long as the containers. It is in the cloud's
/// directory, or in `/tmp` if the path would be too long.
fn runtime(folder: &Path, port: u16) -> PathBuf {
    let inside = folder.join("run");
    if run_root(&inside).as_os_str().len() <= LONGEST_RUN_ROOT {
        inside
    } else {
        Path::new("/tmp").join(format!("stablepin-{port}-{}", std::process::id()))
    }
}

/// Returns Podman's run root. For an ordinary user, it is always in `XDG_RUNTIME_DIR`.
fn run_root(runtime: &Path) -> PathBuf {
    if is_root() { runtime.to_owned() } else { runtime.join("containers") }
}

fn network_name(port: u16) -> String {
    format!("stablepin-{port}")
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_RUN_ROOT, Podman, run_root, runtime};
    use std::path::Path;

    #[test]
    fn run_root_is_short_even_if_the_checkout_path_is_long() {
        let short = Path::new("/srv/stablepin/target/local");
        assert_eq!(runtime(short, 18000), Path::new("/srv/stablepin/target/local/run"));
        let long = Path::new("/home/somebody/source/work/stablepin/target/local-demo/podman");
        let outside = runtime(long, 18000);
        assert!(outside.starts_with("/tmp") && run_root(&outside).as_os_str().len() <= LONGEST_RUN_ROOT);
    }

    #[test]
    fn configured_podman_is_found_in_the_folder_of_its_cloud() {
        let cloud = tempfile::tempdir().unwrap();
        assert!(Podman::of(cloud.path()).is_none());
        let made = Podman::configure(cloud.path(), 18000).unwrap();
        let found = Podman::of(cloud.path()).unwrap();
        assert_eq!(found.runtime(), made.runtime());
        assert!(found.runtime().is_dir());
        found.remove_storage(cloud.path()).unwrap();
        assert!(!found.runtime().exists());
    }
}
