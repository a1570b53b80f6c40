//! `cargo xtask bench`: the cost of a dry run of retention, compared with other tools for the same
//! task.
//!
//! Each tool reads the same repository of the ECR fake. The checks cover ratios, counts and one
//! memory size, but no absolute time.

mod checks;
mod registry;
mod tool;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};

use self::registry::Registry;
use self::tool::{Run, Tool};
use crate::process::{bound, run};
use crate::setup;
use crate::step::{note, step};
use crate::workspace::{host, root, target};

const SMALL: usize = 1_000;
const MIDDLE: usize = 10_000;
/// The most images of a repository by AWS's default quota.
///
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/service-quotas.html>
const LARGE: usize = 100_000;

/// The result of one tool on one repository.
struct Row {
    images: usize,
    indexes: usize,
    tool: Tool,
    /// The CPU time, user and system together.
    cpu: Duration,
    /// The greatest resident memory.
    peak_bytes: u64,
    calls: BTreeMap<String, usize>,
    end: End,
}

/// The result of a tool.
enum End {
    Planned {
        deletes: usize,
        /// How many of these are children of indexes that stay, or signatures and the like of
        /// images that stay.
        torn: usize,
    },
    /// The tool exceeded its limit of CPU time.
    OutOfTime,
    /// The tool failed, with its last words.
    Failed(String),
}

pub fn bench(quick: bool) -> Result<()> {
    setup::peers()?;
    step("Building the plan and the registry in release mode", build)?;
    let sizes: &[usize] = if quick { &[SMALL, MIDDLE] } else { &[SMALL, MIDDLE, LARGE] };
    let mut rows = Vec::new();
    for images in sizes {
        step(&format!("Planning a repository of {} images", thousands(*images)), || {
            let mut registry = Registry::start(*images)?;
            for tool in Tool::ALL {
                rows.push(measured(&mut registry, tool)?);
                note(tool.name());
            }
            Ok(())
        })?;
    }
    println!("\n{}", table(&rows));
    let checks = checks::all(&rows);
    for check in &checks {
        println!("{:<7} {}", if check.holds { "ok" } else { "FAILED" }, check.what);
    }
    match checks.iter().filter(|check| !check.holds).count() {
        0 => Ok(()),
        failed => bail!("{failed} of {} checks failed", checks.len()),
    }
}

fn build() -> Result<()> {
    let mut cargo = bound("cargo");
    // cargo runs in the function's folder, as SAM does, since `.cargo/config.toml` there optimizes
    // for speed.
    cargo.current_dir(root().join("functions/retention")).args(["build", "--quiet", "--release"]);
    cargo.args(["--package", "stablepin-retention", "--example", "plan"]);
    run(cargo.args(["--package", "stablepin-tests", "--example", "registry"]))
}

/// The path of a program that was built as an example of its package.
fn example(name: &str) -> std::path::PathBuf {
    target().join(host()).join("release/examples").join(name)
}

/// Measures the least CPU time and the greatest memory of a tool's runs. Other work on the machine
/// only adds time.
fn measured(registry: &mut Registry, tool: Tool) -> Result<Row> {
    let mut row = None;
    for _ in 0..tool.runs() {
        let Run { cpu, peak_bytes, end } = tool.run(registry)?;
        let named = match &end {
            tool::Ended::Well(digests) => digests.as_slice(),
            tool::Ended::OutOfTime | tool::Ended::Badly(_) => &[],
        };
        let judged = registry.judge(named)?;
        let end = match end {
            tool::Ended::Well(_) => End::Planned { deletes: judged.deletes, torn: judged.torn },
            tool::Ended::OutOfTime => End::OutOfTime,
            tool::Ended::Badly(words) => End::Failed(words),
        };
        let row = row.get_or_insert(Row {
            images: registry.images,
            indexes: registry.indexes,
            tool,
            cpu,
            peak_bytes,
            calls: judged.calls,
            end,
        });
        row.cpu = row.cpu.min(cpu);
        row.peak_bytes = row.peak_bytes.max(peak_bytes);
    }
    row.ok_or_else(|| anyhow::anyhow!("{} never runs", tool.name()))
}

/// The results as a Markdown table.
fn table(rows: &[Row]) -> String {
    let head = "| images | tool | CPU time | peak memory | API calls | would delete | of these, parts of what stays |\n\
                | ---: | --- | ---: | ---: | --- | ---: | ---: |\n";
    head.to_owned() + &rows.iter().map(line).collect::<String>()
}

fn line(row: &Row) -> String {
    let calls: Vec<String> =
        row.calls.iter().map(|(operation, count)| format!("{operation} {}", thousands(*count))).collect();
    let cpu = match row.end {
        End::OutOfTime => format!("more than {:.0} s", tool::CPU_LIMIT.as_secs_f64()),
        End::Planned { .. } | End::Failed(_) => format!("{:.2} s", row.cpu.as_secs_f64()),
    };
    let end = match &row.end {
        End::Planned { deletes, torn } => format!("{} | {}", thousands(*deletes), thousands(*torn)),
        End::OutOfTime => "not known |".to_owned(),
        End::Failed(words) => format!("fails: {words} |"),
    };
    format!(
        "| {} | {} | {cpu} | {} MB | {} | {end} |\n",
        thousands(row.images),
        row.tool.name(),
        row.peak_bytes / 1_000_000,
        calls.join(", "),
    )
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let parts: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    parts.iter().map(|part| String::from_utf8_lossy(part)).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::{End, Row, Tool, table, thousands};
    use std::time::Duration;

    #[test]
    fn numbers_are_grouped_by_three_digits() {
        assert_eq!(
            [0, 999, 1_000, 10_000, 1_234_567].map(thousands),
            ["0", "999", "1,000", "10,000", "1,234,567"]
        );
    }

    #[test]
    fn table_shows_failures_and_timeouts() {
        let row = |tool, end| Row {
            images: 100_000,
            indexes: 2_000,
            tool,
            cpu: Duration::from_millis(1_234),
            peak_bytes: 99_900_000,
            calls: [("DescribeImages".to_owned(), 1_000)].into(),
            end,
        };
        let rows = [
            row(Tool::Ours, End::Planned { deletes: 77_500, torn: 0 }),
            row(Tool::EcrCleaner, End::OutOfTime),
            row(Tool::AwsEcrCleanup, End::Failed("no more".to_owned())),
        ];
        insta::assert_snapshot!(table(&rows), @r"
        | images | tool | CPU time | peak memory | API calls | would delete | of these, parts of what stays |
        | ---: | --- | ---: | ---: | --- | ---: | ---: |
        | 100,000 | Stablepin | 1.23 s | 99 MB | DescribeImages 1,000 | 77,500 | 0 |
        | 100,000 | ecr-cleaner 0.1.11 | more than 180 s | 99 MB | DescribeImages 1,000 | not known | |
        | 100,000 | aws-ecr-cleanup 0.1.5 | 1.23 s | 99 MB | DescribeImages 1,000 | fails: no more | |
        ");
    }
}
