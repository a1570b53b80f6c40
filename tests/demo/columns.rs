//! Rows of text in columns. Each column is as wide as its widest cell.

pub(crate) fn columns<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    let heads = heads.map(str::to_owned);
    let all = || std::iter::once(&heads).chain(rows);
    let mut text = String::new();
    for row in all() {
        let cells = row.iter().enumerate().map(|(at, cell)| {
            let width = all().map(|row| row[at].chars().count()).max().unwrap_or_default();
            format!("{cell:<width$}")
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::columns;

    #[test]
    fn cells_are_aligned_in_columns() {
        let rows = [["1".to_owned(), "lead".to_owned()], ["12".to_owned(), "x".to_owned()]];
        assert_eq!(columns(["pin", "by"], &rows), "pin  by\n1    lead\n12   x\n");
    }
}
