//! What a function's zip may weigh: a cold start loads all of it.

use crate::deploy::{Build, Function};
use crate::step::note;
use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::fs;
use std::io::Write as _;

/// In bytes, of the zip that `sam deploy` uploads.
fn budget(function: &str) -> usize {
    match function {
        "promoter" | "retention" => 6_000_000,
        // Over the 3 MB of the others by a part of ECS's SDK, whose types are the largest of all.
        "rollback" => 3_250_000,
        _ => 3_000_000,
    }
}

/// Prints each function's size beside its budget, and fails when one is over.
pub fn check(build: &Build) -> Result<()> {
    let mut over = Vec::new();
    for Function { resource, name } in &build.functions {
        let bootstrap = build.folder.join(resource).join("bootstrap");
        let program = fs::read(&bootstrap).with_context(|| format!("no {}", bootstrap.display()))?;
        let (zip, budget) = (zipped(&program)?, budget(name));
        let verdict = if zip > budget { "  OVER" } else { "" };
        note(format!("{name:<9} {} of {} MB{verdict}", megabytes(zip), megabytes(budget)));
        if zip > budget {
            over.push(name.as_str());
        }
    }
    if !over.is_empty() {
        bail!("too large: {}. `cargo tree` in its folder shows what came in", over.join(", "));
    }
    Ok(())
}

/// Compressed as SAM does, at zlib's default level. What a zip adds to one file is 150 bytes.
fn zipped(program: &[u8]) -> Result<usize> {
    let mut zip = DeflateEncoder::new(Vec::new(), Compression::default());
    zip.write_all(program)?;
    Ok(zip.finish()?.len())
}

fn megabytes(bytes: usize) -> String {
    format!("{}.{:02}", bytes / 1_000_000, bytes % 1_000_000 / 10_000)
}

#[cfg(test)]
mod tests {
    use super::{megabytes, zipped};

    #[test]
    fn a_size_is_told_in_megabytes() {
        assert_eq!(megabytes(3_019_999), "3.01");
        assert_eq!(megabytes(999), "0.00");
    }

    #[test]
    fn what_repeats_is_small() {
        assert!(zipped(&[7; 100_000]).unwrap() < 1000);
    }
}
