//! `cargo xtask bench`: measures the cost of a dry run of retention and of a copy of an image, and
//! compares both with other tools for the same task.
//!
//! Each tool works on the same repositories of the ECR fake. The checks concern ratios, counts and
//! memory sizes, but no absolute time.

mod checks;
mod copies;
mod examples;
mod measured;
mod registry;
mod served;
mod table;
mod tool;

use anyhow::{Result, bail};

use self::checks::{LARGE, MIDDLE};
use self::registry::MeasuredRegistry;
use self::table::{End, Row, table, thousands};
use self::tool::{Run, Tool};
use crate::setup;
use crate::step::{note, step};

const SMALL: usize = 1_000;

pub fn bench(quick: bool) -> Result<()> {
    setup::peers()?;
    step("Building the measured programs and the fakes in release mode", examples::build)?;
    let sizes: &[usize] = if quick { &[SMALL, MIDDLE] } else { &[SMALL, MIDDLE, LARGE] };
    let mut rows = Vec::new();
    for images in sizes {
        step(&format!("Planning a repository of {} images", thousands(*images)), || {
            let mut registry = MeasuredRegistry::start(*images)?;
            for tool in Tool::ALL {
                rows.push(measured(&mut registry, tool)?);
                note(tool.name());
            }
            Ok(())
        })?;
    }
    println!("\n{}", table(&rows));
    let mut checks = checks::all(&rows);
    checks.extend(copies::bench(quick)?);
    for check in &checks {
        println!("{:<7} {}", if check.holds { "ok" } else { "FAILED" }, check.what);
    }
    match checks.iter().filter(|check| !check.holds).count() {
        0 => Ok(()),
        failed => bail!("{failed} of {} checks failed", checks.len()),
    }
}

/// Measures the lowest CPU time and the highest memory of a tool's runs. Other work on the machine
/// only adds CPU time, so the lowest value is the most exact.
fn measured(registry: &mut MeasuredRegistry, tool: Tool) -> Result<Row> {
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
