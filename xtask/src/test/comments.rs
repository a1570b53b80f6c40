//! Checks the width of comments, because rustfmt's own `comment_width` needs a nightly compiler.

use crate::workspace::{root, short};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// The most columns of a comment line.
const WIDTH: usize = 100;
/// The folders with Rust code.
const FOLDERS: [&str; 4] = ["crates", "functions", "tests", "xtask"];

pub(super) fn check() -> Result<()> {
    let mut wide = Vec::new();
    for file in
        FOLDERS.iter().map(|folder| sources(&root().join(folder))).collect::<Result<Vec<_>>>()?.concat()
    {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        wide.extend(too_wide(&text).map(|line| format!("{}:{line}", short(&file).display())));
    }
    if !wide.is_empty() {
        bail!("comments are wider than {WIDTH} columns:\n{}", wide.join("\n"));
    }
    Ok(())
}

/// Returns the Rust files in a folder and in its subfolders.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

/// Returns the numbers of the lines whose comments are too wide. Lines with links or quotations may
/// be wider.
fn too_wide(text: &str) -> impl Iterator<Item = usize> {
    let is_too_wide = |line: &str| {
        let comment =
            line.trim_start().strip_prefix("//").map(|rest| rest.trim_start_matches(['/', '!', ' ']));
        comment.is_some_and(|said| !said.contains("://") && !said.starts_with('"'))
            && line.chars().count() > WIDTH
    };
    text.lines().enumerate().filter(move |(_, line)| is_too_wide(line)).map(|(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::{WIDTH, too_wide};

    #[test]
    fn check_finds_a_comment_that_is_too_wide() {
        let fits = format!("    //! {}", "é".repeat(WIDTH - 8));
        let wide = format!("{fits}.");
        let code = format!("let text = \"{wide}\";");
        let link = format!("{wide} <https://example.com/>");
        let quotation = wide.replacen("é", "\"", 1);
        let text = [fits.as_str(), &wide, &code, &link, &quotation].join("\n");
        assert_eq!(too_wide(&text).collect::<Vec<_>>(), [2]);
    }
}
