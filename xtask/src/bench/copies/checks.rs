//! The requirements on copies, which must be met on any machine.

use super::{Case, Copyist, LARGE, LAYERS, Row, SMALL, megabytes};
use crate::bench::checks::Check;

/// The highest allowed ratio of the peak memory of a large image's copy to that of a small image's.
const GROWTH: f64 = 1.10;

/// The highest allowed ratio of the bytes that ECR receives to the bytes of the missing layers. A
/// part is text in base64, which is a third longer, and each request has a few names around it.
const BASE64: f64 = 1.34;

pub(super) fn all(rows: &[Row]) -> Vec<Check> {
    let mut checks: Vec<Check> = rows.iter().map(same).collect();
    let ours: Vec<&Row> = rows.iter().filter(|row| row.copyist == Copyist::Ours).collect();
    checks.extend(ours.iter().map(|row| layers(row)));
    let find = |case: Case| ours.iter().find(|row| row.case == case);
    if let (Some(small), Some(large)) = (find(Case::empty(SMALL)), find(Case::empty(LARGE))) {
        checks.push(memory(small, large));
    }
    checks
}

/// Checks that the target has the same image, for the fake and for skopeo.
fn same(row: &Row) -> Check {
    Check {
        what: format!(
            "{}, {} MB, {} layers there: both repositories have the same manifest and layers",
            row.copyist.name(),
            megabytes(row.case.bytes),
            row.case.there
        ),
        holds: row.traffic.same && row.read_alike != Some(false),
    }
}

/// Checks that each missing layer is sent once, and no other layer. The configuration is a layer
/// too, in ECR's words.
fn layers(row: &Row) -> Check {
    let expected = (LAYERS - row.case.there + 1) as usize;
    let begun = row.traffic.calls.get("InitiateLayerUpload").copied().unwrap_or_default();
    let ratio = row.traffic.received as f64 / row.case.missing_bytes() as f64;
    Check {
        what: format!(
            "{} MB, {} layers there: {begun} uploads, {expected} expected; ECR receives {ratio:.3} × the missing bytes, {BASE64} × at most",
            megabytes(row.case.bytes),
            row.case.there
        ),
        holds: begun == expected && ratio <= BASE64,
    }
}

fn memory(small: &Row, large: &Row) -> Check {
    let ratio = large.peak_bytes as f64 / small.peak_bytes as f64;
    Check {
        what: format!(
            "a copy of {} MB takes {ratio:.2} × the memory of {} MB; {GROWTH} × at most",
            megabytes(LARGE),
            megabytes(SMALL)
        ),
        holds: ratio <= GROWTH,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Traffic, table};
    use super::*;

    fn row(copyist: Copyist, case: Case, peak_bytes: u64, received: u64) -> Row {
        let uploads = ("InitiateLayerUpload".to_owned(), (LAYERS - case.there + 1) as usize);
        let traffic = Traffic { calls: [uploads].into(), received, sent: case.missing_bytes(), same: true };
        Row { copyist, case, cpu: Duration::from_millis(1_234), peak_bytes, traffic, read_alike: Some(true) }
    }

    fn failed(rows: &[Row]) -> Vec<String> {
        all(rows).into_iter().filter(|check| !check.holds).map(|check| check.what).collect()
    }

    const MOST: Case = Case { there: 6, ..Case::empty(LARGE) };

    #[test]
    fn check_passes_if_copies_are_just_within_the_budgets() {
        let rows = [
            row(Copyist::Ours, Case::empty(SMALL), 50_000_000, 53_600_000),
            row(Copyist::Ours, Case::empty(LARGE), 55_000_000, 1_340_000_000),
            row(Copyist::Ours, MOST, 90_000_000, 335_000_000),
            row(Copyist::Skopeo, Case::empty(LARGE), 90_000_000, 1_000_000_000),
        ];
        assert_eq!(failed(&rows), Vec::<String>::new());
        assert_eq!(all(&rows).len(), 8);
    }

    #[test]
    fn check_fails_if_copies_are_just_beyond_the_budgets() {
        let mut torn = row(Copyist::Skopeo, MOST, 1, 1);
        torn.read_alike = Some(false);
        let mut twice = row(Copyist::Ours, MOST, 1, 1);
        twice.traffic.calls.insert("InitiateLayerUpload".to_owned(), 4);
        let rows = [
            row(Copyist::Ours, Case::empty(SMALL), 50_000_000, 53_700_000),
            row(Copyist::Ours, Case::empty(LARGE), 55_500_000, 1_000_000_000),
            torn,
            twice,
        ];
        insta::assert_snapshot!(failed(&rows).join("\n"), @"
    skopeo copy, 1000 MB, 6 layers there: both repositories have the same manifest and layers
    40 MB, 0 layers there: 9 uploads, 9 expected; ECR receives 1.343 × the missing bytes, 1.34 × at most
    1000 MB, 6 layers there: 4 uploads, 3 expected; ECR receives 0.000 × the missing bytes, 1.34 × at most
    a copy of 1000 MB takes 1.11 × the memory of 40 MB; 1.1 × at most
    ");
    }

    #[test]
    fn table_shows_sizes_in_megabytes() {
        let rows = [
            row(Copyist::Ours, Case { part: None, ..Case::empty(LARGE) }, 99_900_000, 1_340_000_000),
            row(Copyist::Skopeo, MOST, 20_000_000, 250_000_000),
        ];
        insta::assert_snapshot!(table(&rows), @"
    | image | layers there | parts | tool | CPU time | peak memory | requests | sent to ECR | read from ECR |
    | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |
    | 1000 MB | 0 of 8 | 10 MiB | Stablepin | 1.23 s | 99 MB | 9 | 1340 MB | 1000 MB |
    | 1000 MB | 6 of 8 | – | skopeo copy | 1.23 s | 20 MB | 3 | 250 MB | 250 MB |
    ");
    }
}
