//! The table of the results.

use std::collections::BTreeMap;
use std::time::Duration;

use super::tool::{CPU_LIMIT, Tool};

/// The result of one tool on one repository.
pub(super) struct Row {
    pub(super) images: usize,
    pub(super) indexes: usize,
    pub(super) tool: Tool,
    /// The CPU time: the sum of user time and system time.
    pub(super) cpu: Duration,
    /// The highest resident memory.
    pub(super) peak_bytes: u64,
    pub(super) calls: BTreeMap<String, usize>,
    pub(super) end: End,
}

/// The result of a run of a tool.
pub(super) enum End {
    Planned {
        deletes: usize,
        /// The number of deleted images that belong to a kept image: images of kept image indexes,
        /// and signatures and other artifacts of kept images.
        torn: usize,
    },
    /// The tool exceeded its limit of CPU time.
    OutOfTime,
    /// The tool failed. The text is the last line of its output.
    Failed(String),
}

/// Returns the results as a Markdown table.
pub(super) fn table(rows: &[Row]) -> String {
    let head = "| images | tool | CPU time | peak memory | API calls | would delete | of these, parts of what stays |\n\
                | ---: | --- | ---: | ---: | --- | ---: | ---: |\n";
    head.to_owned() + &rows.iter().map(line).collect::<String>()
}

fn line(row: &Row) -> String {
    let calls: Vec<String> =
        row.calls.iter().map(|(operation, count)| format!("{operation} {}", thousands(*count))).collect();
    let cpu = match row.end {
        End::OutOfTime => format!("more than {:.0} s", CPU_LIMIT.as_secs_f64()),
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

pub(super) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let parts: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    parts.iter().map(|part| String::from_utf8_lossy(part)).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::{End, Row, Tool, table, thousands};
    use std::time::Duration;

    #[test]
    fn thousands_are_separated_by_commas() {
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
