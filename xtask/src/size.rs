//! The size budgets of the Lambda functions' zip files. A cold start loads the whole zip file.

use crate::deploy::{Build, Function};
use crate::step::note;
use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use std::fs;
use std::io::Write as _;

/// Returns the budget in bytes of a Lambda function's zip file, as `sam deploy` uploads the file.
fn budget(function: &str) -> usize {
    match function {
        "promoter" | "retention" => 6_000_000,
        // `docs/decisions/0085-zips-beyond-three-megabytes.md` says why the other zip files exceed
        // 3 MB.
        "rollback" => 3_300_000,
        _ => 3_150_000,
    }
}

/// Prints the size and the budget of each Lambda function. Fails if a size exceeds its budget.
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

/// Returns the size after compression at zlib's default level, which SAM uses too. The result omits
/// the 150 bytes that the zip format adds.
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
    fn size_is_shown_in_megabytes() {
        assert_eq!(megabytes(3_019_999), "3.01");
        assert_eq!(megabytes(999), "0.00");
    }

    #[test]
    fn zip_size_is_measured_after_compression() {
        assert!(zipped(&[7; 100_000]).unwrap() < 1000);
    }
}
