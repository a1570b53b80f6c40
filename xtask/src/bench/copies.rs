//! The cost of a copy of an image between two repositories of the ECR fake, beside `skopeo copy`.

mod checks;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::checks::Check;
use super::examples::example;
use super::measured::{at_the_fake, folder, limited, used_by};
use super::served::Served;
use super::table::thousands;
use crate::process::{output, tail};
use crate::setup;
use crate::step::{note, step};

/// The limit of a copy's CPU time.
const CPU_LIMIT: Duration = Duration::from_secs(300);

/// The image's sizes in bytes. Each image has eight equal layers.
const SMALL: u64 = 40_000_000;
const LARGE: u64 = 1_000_000_000;
const LAYERS: u64 = 8;

/// The number of layers that the target has already where most of them are there.
const MOST: u64 = 6;

/// The number of Stablepin's runs for a large image, and for the small one. The small image has so
/// few parts that three of them are not always in memory together: the large image took more than
/// 1.10 times the memory of nine of twenty single runs. In ten runs, the three parts meet.
const RUNS: usize = 3;
const SMALL_RUNS: usize = 10;

/// The size of a part in the runs that are compared, in bytes: a whole layer of the small image.
const WINDOW: u64 = SMALL / LAYERS;

/// The size of a part that the fake asks for by default: the most that ECR accepts.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
const LARGEST_PART: u64 = 10 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copyist {
    /// The program `functions/promoter/examples/copy.rs`.
    Ours,
    /// <https://github.com/containers/skopeo>
    Skopeo,
}

/// The promoter's setting of glibc's allocator in `template.yaml`. Without the setting, glibc keeps
/// the memory of earlier parts of layers.
/// <https://man7.org/linux/man-pages/man3/mallopt.3.html>
const ALLOCATOR: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "1048576");

/// A variable that makes skopeo keep its cache of blobs below the home directory. Without it, root
/// has one cache for all runs, in `/var/lib/containers/cache`.
/// <https://github.com/containers/image/blob/v5.23.1/pkg/blobinfocache/default.go>
const OWN_CACHE: (&str, &str) = ("_CONTAINERS_ROOTLESS_UID", "65534");

/// The folder of skopeo's cache below the home directory.
const CACHE: &str = ".local/share/containers/cache";

/// What is copied, and where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Case {
    bytes: u64,
    /// The number of layers that the target has already.
    there: u64,
    /// The size of a layer's parts. `None` for [`LARGEST_PART`].
    part: Option<u64>,
}

impl Case {
    const fn empty(bytes: u64) -> Self {
        Self { bytes, there: 0, part: Some(WINDOW) }
    }

    fn missing_bytes(self) -> u64 {
        self.bytes / LAYERS * (LAYERS - self.there)
    }

    fn runs(self) -> usize {
        if self.bytes == SMALL { SMALL_RUNS } else { RUNS }
    }

    /// Returns the number of bytes of a part.
    fn part_bytes(self) -> u64 {
        self.part.unwrap_or(LARGEST_PART)
    }

    /// Returns the size of a part for people.
    fn part_size(self) -> String {
        self.part.map_or_else(|| "10 MiB".to_owned(), megabytes)
    }

    /// Returns the image's size and the number of layers that are there.
    fn described(self) -> String {
        format!("{}, {} of {LAYERS} layers there", megabytes(self.bytes), self.there)
    }
}

/// The result of one copy.
struct Row {
    copyist: Copyist,
    case: Case,
    cpu: Duration,
    peak_bytes: u64,
    traffic: Traffic,
    /// Whether skopeo reads the same manifest from both repositories. From the target, skopeo reads
    /// it by its tag. `None` without skopeo.
    read_alike: Option<bool>,
}

#[derive(Deserialize)]
struct LayersReady {
    ecr: String,
    from: String,
    to: String,
    digest: String,
    tag: String,
}

/// The calls of a copy, as the fake has counted them.
#[derive(Deserialize)]
struct Traffic {
    calls: BTreeMap<String, usize>,
    /// The bytes of all bodies that the fake has received.
    received: u64,
    /// The bytes of all bodies that the fake has sent.
    sent: u64,
    /// Whether the target has the image under its tag, with the same bytes and all layers.
    same: bool,
}

pub(super) fn bench(quick: bool) -> Result<Vec<Check>> {
    let skopeo = setup::skopeo()?;
    match &skopeo {
        Ok(()) => note(output(Command::new("skopeo").arg("--version"))?.trim()),
        Err(reason) => note(format!("skopeo is left out: {reason}")),
    }
    let small = Case::empty(SMALL);
    let large = Case::empty(LARGE);
    let most = Case { there: MOST, ..large };
    let mut cases = vec![small, large];
    if !quick {
        cases.extend([Case { part: None, ..large }, most]);
    }
    let mut rows = Vec::new();
    for case in cases {
        step(&format!("Copying {}, in parts of {}", case.described(), case.part_size()), || {
            rows.push(most_memory(case, skopeo.is_ok())?);
            // skopeo sends a layer in one request, so it has no parts.
            if skopeo.is_ok() && case.part.is_some() {
                rows.push(copied(Copyist::Skopeo, case, true)?);
            }
            Ok(())
        })?;
    }
    println!("\n{}", table(&rows));
    Ok(checks::all(&rows))
}

/// Copies the image several times. Returns the run with the highest memory: the number of parts
/// that are in memory at the same time differs between runs.
fn most_memory(case: Case, has_skopeo: bool) -> Result<Row> {
    let mut most = copied(Copyist::Ours, case, has_skopeo)?;
    for _ in 1..case.runs() {
        let row = copied(Copyist::Ours, case, has_skopeo)?;
        if row.peak_bytes > most.peak_bytes {
            most = row;
        }
    }
    Ok(most)
}

/// Copies the image of a case in a fresh process, to a fresh fake.
fn copied(copyist: Copyist, case: Case, has_skopeo: bool) -> Result<Row> {
    let numbers = [case.bytes, case.there, case.part.unwrap_or_default()].map(|number| number.to_string());
    let (mut served, ready) = Served::start::<LayersReady>("layers", numbers)?;
    let log = folder()?.join(format!("copy {copyist:?} {} {}.log", case.bytes, case.there));
    let mut command = limited(CPU_LIMIT, &copyist.arguments(&ready));
    let home = empty_home()?;
    match copyist {
        Copyist::Ours => command.env(ALLOCATOR.0, ALLOCATOR.1),
        Copyist::Skopeo => command.env(OWN_CACHE.0, OWN_CACHE.1),
    };
    command.env("HOME", &home).env_remove("XDG_DATA_HOME").env_remove("XDG_RUNTIME_DIR");
    let used = used_by(at_the_fake(&mut command, &ready.ecr), copyist.name(), &log)?;
    ensure!(used.status.success(), "{} failed: {}", copyist.name(), tail(&log, 1));
    if copyist == Copyist::Skopeo {
        ensure!(home.join(CACHE).is_dir(), "skopeo did not use the empty cache below {}", home.display());
    }
    let traffic = served.ask::<Traffic>(&())?;
    let read_alike = has_skopeo.then(|| ready.is_read_alike());
    Ok(Row {
        copyist,
        case,
        cpu: used.cpu,
        peak_bytes: used.peak_bytes,
        traffic,
        read_alike: read_alike.transpose()?,
    })
}

impl LayersReady {
    fn host(&self) -> &str {
        self.ecr.trim_start_matches("http://")
    }

    /// Returns whether skopeo reads the same bytes from both repositories.
    fn is_read_alike(&self) -> Result<bool> {
        let source = self.read_by_skopeo(&format!("{}@{}", self.from, self.digest))?;
        Ok(source == self.read_by_skopeo(&format!("{}:{}", self.to, self.tag))?)
    }

    /// Returns the bytes of a manifest as skopeo reads them.
    fn read_by_skopeo(&self, image: &str) -> Result<String> {
        let image = format!("docker://{}/{image}", self.host());
        let mut command = Command::new("skopeo");
        command.args(["inspect", "--raw", "--tls-verify=false", "--creds", "AWS:token", &image]);
        output(&mut command)
    }
}

impl Copyist {
    fn name(self) -> &'static str {
        match self {
            Self::Ours => "Stablepin",
            Self::Skopeo => "skopeo copy",
        }
    }

    fn arguments(self, ready: &LayersReady) -> Vec<PathBuf> {
        let LayersReady { from, to, digest, tag, .. } = ready;
        match self {
            Self::Ours => {
                [vec![example("copy")], [from, to, digest, tag].map(PathBuf::from).to_vec()].concat()
            }
            Self::Skopeo => {
                let host = ready.host();
                let (from, to) =
                    (format!("docker://{host}/{from}@{digest}"), format!("docker://{host}/{to}:{tag}"));
                let options = [
                    "skopeo",
                    "--insecure-policy",
                    "copy",
                    "--preserve-digests",
                    "--src-tls-verify=false",
                    "--dest-tls-verify=false",
                    "--src-creds=AWS:token",
                    "--dest-creds=AWS:token",
                ];
                options.into_iter().chain([from.as_str(), to.as_str()]).map(PathBuf::from).collect()
            }
        }
    }
}

/// Returns an empty home directory, so that skopeo knows nothing of an earlier copy.
fn empty_home() -> Result<PathBuf> {
    let home = folder()?.join("home");
    if home.exists() {
        fs::remove_dir_all(&home).context("cannot empty the home directory")?;
    }
    fs::create_dir_all(&home).context("cannot make the home directory")?;
    Ok(home)
}

/// Returns the results as a Markdown table.
fn table(rows: &[Row]) -> String {
    let head = "| image | layers there | parts | tool | CPU time | peak memory | requests | sent to ECR | read from ECR |\n\
                | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |\n";
    head.to_owned() + &rows.iter().map(line).collect::<String>()
}

fn line(row: &Row) -> String {
    // ECR's API takes parts as text in base64. The registry protocol takes the bytes as they are.
    let (part, form) = match row.copyist {
        Copyist::Ours => (row.case.part_size(), "base64"),
        Copyist::Skopeo => ("–".to_owned(), "raw"),
    };
    format!(
        "| {} | {} of {LAYERS} | {part} | {} | {:.2} s | {} | {} | {} {form} | {} |\n",
        megabytes(row.case.bytes),
        row.case.there,
        row.copyist.name(),
        row.cpu.as_secs_f64(),
        megabytes(row.peak_bytes),
        row.requests(),
        megabytes(row.traffic.received),
        megabytes(row.traffic.sent),
    )
}

impl Row {
    fn requests(&self) -> usize {
        self.traffic.calls.values().sum()
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", thousands((bytes / 1_000_000) as usize))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::ALLOCATOR;
    use crate::workspace::root;

    #[test]
    fn bench_sets_the_allocator_as_the_template_does() {
        let template = fs::read_to_string(root().join("template.yaml")).expect("the template");
        assert!(template.contains(&format!("{}: \"{}\"", ALLOCATOR.0, ALLOCATOR.1)));
    }
}
