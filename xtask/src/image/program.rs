//! Compiles the program in the images, once for each source and compiler.

use std::{
    env, fs,
    path::PathBuf,
    process::{self, Command},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{aws::sha256_hex, workspace};

const SOURCE: &str = include_str!("../../workload/server.rs");

/// The compiler's flags. They use `crt-static` with the host's own gnu target, because no other
/// target is installed everywhere.
const FLAGS: &[&str] =
    &["--edition=2024", "-O", "-Ctarget-feature=+crt-static", "-Cpanic=abort", "-Cstrip=symbols"];

/// Returns the program's bytes.
///
/// An ordinary Rust installation builds programs for Linux images on Linux only. On other systems
/// the image contains a text instead. Such an image can be pushed, copied, tagged and deleted, but
/// no container can run it.
pub(super) fn compiled() -> Result<Vec<u8>> {
    if !cfg!(target_os = "linux") {
        return Ok(b"Built where no program for Linux could be compiled; it cannot run.\n".to_vec());
    }
    let program = executable()?;
    fs::read(&program).with_context(|| format!("cannot read {}", program.display()))
}

/// Returns the path of the program. Compiles the program if it does not exist yet.
fn executable() -> Result<PathBuf> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(&rustc).arg("-vV").output().context("cannot run rustc")?;
    ensure!(version.status.success(), "rustc -vV failed");
    let key = [SOURCE.as_bytes(), FLAGS.join(" ").as_bytes(), &version.stdout].concat();
    let home = workspace::target().join("workload").join(&sha256_hex(&key)[..16]);
    let program = home.join("server");
    // One thread of this process compiles. The other threads use the result.
    static COMPILING: Mutex<()> = Mutex::new(());
    let _one = COMPILING.lock().unwrap_or_else(PoisonError::into_inner);
    if program.exists() {
        return Ok(program);
    }

    fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    // Several processes may compile at the same time, each in its own folder. The last rename
    // decides which file remains. All files have the same bytes, because rustc gets the same
    // relative paths.
    let own = home.join(process::id().to_string());
    fs::create_dir_all(&own)?;
    fs::write(own.join("server.rs"), SOURCE)?;
    let output = Command::new(&rustc)
        .args(FLAGS)
        .args(["--crate-name", "server", "-o", "server", "server.rs"])
        .current_dir(&own)
        .output()
        .context("cannot run rustc")?;
    if !output.status.success() {
        bail!(
            "cannot compile xtask/workload/server.rs, which needs the static C library (Debian: libc6-dev, \
             Fedora: glibc-static):\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    fs::rename(own.join("server"), &program)?;
    // The folder now contains only the source. A failure to remove it causes no damage.
    let _ = fs::remove_dir_all(&own);
    Ok(program)
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        process::{Child, Stdio},
    };

    use super::*;
    use crate::aws::Aws;

    /// Starts the program and waits for its port. The port is `None` if the program has ended.
    fn start(mode: &str) -> (Child, Option<u16>) {
        let mut child = Command::new(executable().unwrap())
            .env_clear()
            .envs([("PORT", "0"), ("APP_VERSION", "1.2.3"), ("APP_MODE", mode)])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("listening on ").and_then(|port| port.parse().ok()));
        (child, port)
    }

    fn ask(method: &str, port: u16, path: &str) -> (u16, String) {
        let url = format!("http://localhost:{port}{path}");
        let answer = Aws::new("http://localhost", "", "", "").call(method, &url, None, None, false).unwrap();
        (answer.status, answer.text())
    }

    #[test]
    fn running_program_can_be_broken_and_mended() {
        let (mut child, port) = start("healthy");
        let port = port.unwrap();
        assert_eq!(ask("GET", port, "/version"), (200, "1.2.3".into()));
        assert_eq!(ask("GET", port, "/health").0, 200);
        assert_eq!(ask("POST", port, "/break").0, 200);
        assert_eq!(ask("GET", port, "/health").0, 500);
        assert_eq!(ask("POST", port, "/mend").0, 200);
        assert_eq!(ask("GET", port, "/health?from=probe").0, 200);
        assert_eq!(ask("GET", port, "/else").0, 404);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn unhealthy_program_fails_its_health_check() {
        let (mut child, port) = start("unhealthy");
        assert_eq!(ask("GET", port.unwrap(), "/health").0, 500);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn crashing_program_exits_immediately() {
        let (mut child, port) = start("crash");
        assert_eq!(port, None);
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }
}
