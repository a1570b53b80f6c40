//! The files of one local cloud, and its stored state.

use crate::workspace;
use anyhow::{Context, Result};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The access key of the account's root user. The key is random for each cloud, so neither a page
/// in a browser nor another program can guess it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RootKey {
    pub access_key: String,
    pub secret_key: String,
}

impl RootKey {
    pub(crate) fn random() -> Result<Self> {
        let mut bytes = [0; 46];
        let read = File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes));
        read.context("cannot read random bytes from /dev/urandom")?;
        let (id, secret) = bytes.split_at(16);
        let letters = id.iter().map(|byte| char::from(ACCESS_KEY_LETTERS[usize::from(byte % 32)]));
        Ok(Self {
            access_key: "AKIA".chars().chain(letters).collect(),
            secret_key: BASE64_STANDARD.encode(secret),
        })
    }
}

const ACCESS_KEY_LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The files of one local cloud.
#[derive(Clone, Debug)]
pub struct Home(PathBuf);

impl Home {
    /// Returns the files of the cloud in `target/{name}`.
    pub fn named(name: &str) -> Self {
        Self(workspace::target().join(name))
    }

    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    pub fn folder(&self) -> &Path {
        &self.0
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.0.join("logs").join(name)
    }

    /// Returns the path of the file with `export` lines for a shell. `Stack::read` also reads this
    /// file.
    pub fn env(&self) -> PathBuf {
        self.0.join("env")
    }

    /// Returns the temporary folder of the cloud's processes. The clean-up recognizes the processes
    /// by this folder.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.0.join("tmp")
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.0.join("cloud.json")
    }

    /// Returns the path of the cloud's Unix socket. The system limits such a path to 107 bytes.
    pub(crate) fn socket(&self, port: u16) -> PathBuf {
        let inside = self.0.join("podman.sock");
        if inside.as_os_str().len() < 100 {
            inside
        } else {
            std::env::temp_dir().join(format!("stablepin-{port}.sock"))
        }
    }
}

/// The state of a running cloud, stored as `cloud.json` in its directory.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct State {
    pub(crate) port: u16,
    pub(crate) socket: Option<PathBuf>,
    /// True if the socket belongs to this machine's own container engine.
    #[serde(default)]
    pub(crate) machine: bool,
    /// The reason why ECS tasks are simulated, if there is no socket.
    pub(crate) simulated: Option<String>,
    pub(crate) root_key: RootKey,
}

pub(crate) fn write_state(home: &Home, state: &State) -> Result<()> {
    write_private(&home.state(), &serde_json::to_vec_pretty(state)?)
}

/// Writes a file that only this user may read, because the file contains the root key.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes))
        .with_context(|| format!("cannot write {}", path.display()))
}

pub(super) fn read_state(home: &Home) -> Result<State> {
    let text = fs::read(home.state()).context("cannot read cloud.json")?;
    serde_json::from_slice(&text)
        .context("cannot read cloud.json; `cargo xtask down` stops a cloud that another version started")
}

#[cfg(test)]
mod tests {
    use super::{RootKey, write_private};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn root_key_is_random_and_has_the_format_of_aws_keys() {
        let [one, other] = [(); 2].map(|()| RootKey::random().unwrap());
        for key in [&one, &other] {
            let letters = key.access_key.strip_prefix("AKIA").unwrap();
            assert!(letters.len() == 16 && letters.chars().all(|one| matches!(one, 'A'..='Z' | '2'..='7')));
            assert_eq!(key.secret_key.len(), 40);
            // `env` puts the key between single quotes.
            assert!(!key.secret_key.contains('\''));
        }
        assert_ne!(one.access_key, other.access_key);
        assert_ne!(one.secret_key, other.secret_key);
    }

    #[test]
    fn only_the_owner_can_read_a_private_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cloud.json");
        write_private(&file, b"{}").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
