//! The requirements on copies, which must be met on any machine.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::{Case, Copyist, LARGE, LAYERS, Row, SMALL, megabytes};
use crate::bench::checks::Check;
use crate::bench::table::thousands;

/// The highest allowed ratio of the peak memory of a large image's copy to that of a small image's.
const GROWTH: f64 = 1.10;

/// The allowed ratio of the bytes that ECR receives to the bytes of the missing layers. A part is
/// text in base64, which is a third longer, and each request has a few names around it.
const BASE64: RangeInclusive<f64> = 1.33..=1.34;

/// The allowed ratio of the bytes that are read from ECR to the bytes of the missing layers.
/// Manifests and the other answers are read too.
const READ: RangeInclusive<f64> = 1.00..=1.01;

pub(super) fn all(rows: &[Row]) -> Vec<Check> {
    let mut checks: Vec<Check> = rows.iter().map(same).collect();
    let ours: Vec<&Row> = rows.iter().filter(|row| row.copyist == Copyist::Ours).collect();
    checks.extend(ours.iter().flat_map(|row| [calls(row), bytes(row)]));
    let find = |case: Case| ours.iter().find(|row| row.case == case);
    if let (Some(small), Some(large)) = (find(Case::empty(SMALL)), find(Case::empty(LARGE))) {
        checks.push(memory(small, large));
    }
    checks
}

/// Checks that the target has the same image, for the fake and for skopeo.
fn same(row: &Row) -> Check {
    let by_skopeo = if row.read_alike.is_some() { ", also as skopeo reads it" } else { "" };
    Check {
        what: format!(
            "{}, {}: both repositories have the same manifest{by_skopeo}, and all layers",
            row.copyist.name(),
            row.case.described()
        ),
        holds: row.traffic.same && row.read_alike != Some(false),
    }
}

/// Checks that a copy sends each part of each missing layer once, and makes no other call than it
/// needs. ECR counts the configuration as a layer.
fn calls(row: &Row) -> Check {
    let expected = expected_calls(row.case);
    let layers = LAYERS - row.case.there + 1;
    Check {
        what: format!(
            "{}, in parts of {}: {layers} uploads with {} parts, and {} requests in all; {} made",
            row.case.described(),
            row.case.part_size(),
            thousands(expected["UploadLayerPart"]),
            thousands(expected.values().sum()),
            thousands(row.requests())
        ),
        holds: row.traffic.calls.iter().map(|(operation, count)| (operation.as_str(), *count)).eq(expected),
    }
}

/// Returns the calls for a copy of an image that nothing refers to, in an account that does not
/// mount layers.
fn expected_calls(case: Case) -> BTreeMap<&'static str, usize> {
    let missing = LAYERS - case.there;
    // The configuration is one more layer, of one part.
    let layers = (missing + 1) as usize;
    let parts = (missing * (case.bytes / LAYERS).div_ceil(case.part_bytes()) + 1) as usize;
    BTreeMap::from([
        // The image, the target's image, and manifests that only a tag connects with the image.
        ("BatchGetImage", 3),
        ("ListImageReferrers", 1),
        // The digest, and before the tag is put, the tag.
        ("DescribeImages", 2),
        ("BatchCheckLayerAvailability", 1),
        // The attempt to mount the first layer.
        ("GetAuthorizationToken", 1),
        ("POST uploads", 1),
        ("GetDownloadUrlForLayer", layers),
        ("GET blobs", layers),
        ("InitiateLayerUpload", layers),
        ("UploadLayerPart", parts),
        ("CompleteLayerUpload", layers),
        // The manifest without a tag, and then the tag.
        ("PutImage", 2),
    ])
}

/// Checks that the missing layers are read and sent once, and no other layer.
fn bytes(row: &Row) -> Check {
    let missing = row.case.missing_bytes() as f64;
    let (sent, read) = (row.traffic.received as f64 / missing, row.traffic.sent as f64 / missing);
    Check {
        what: format!(
            "{}, in parts of {}: ECR receives {sent:.3} × the missing bytes as base64, {} to {}; it sends {read:.3} ×, {:.2} to {}",
            row.case.described(),
            row.case.part_size(),
            BASE64.start(),
            BASE64.end(),
            READ.start(),
            READ.end()
        ),
        holds: BASE64.contains(&sent) && READ.contains(&read),
    }
}

fn memory(small: &Row, large: &Row) -> Check {
    let ratio = large.peak_bytes as f64 / small.peak_bytes as f64;
    Check {
        what: format!(
            "a copy of {} takes {ratio:.2} × the memory of {}; {GROWTH} × at most",
            megabytes(LARGE),
            megabytes(SMALL)
        ),
        holds: ratio <= GROWTH,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Traffic, WINDOW, table};
    use super::*;

    fn row(copyist: Copyist, case: Case, peak_bytes: u64, received: u64) -> Row {
        let calls = expected_calls(case).into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        let traffic = Traffic { calls, received, sent: case.missing_bytes(), same: true };
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
        assert_eq!(all(&rows).len(), 11);
    }

    #[test]
    fn check_fails_if_copies_are_just_beyond_the_budgets() {
        let mut torn = row(Copyist::Skopeo, MOST, 1, 1);
        torn.read_alike = Some(false);
        let mut lost = row(Copyist::Ours, MOST, 1, 332_000_000);
        lost.traffic.same = false;
        lost.read_alike = None;
        let mut twice = row(Copyist::Ours, MOST, 1, 335_000_000);
        *twice.traffic.calls.get_mut("UploadLayerPart").unwrap() += 1;
        twice.traffic.sent = 255_000_000;
        let rows = [
            row(Copyist::Ours, Case::empty(SMALL), 50_000_000, 53_700_000),
            row(Copyist::Ours, Case::empty(LARGE), 55_500_000, 1_333_000_000),
            torn,
            lost,
            twice,
        ];
        insta::assert_snapshot!(failed(&rows).join("\n"), @r"
        skopeo copy, 1,000 MB, 6 of 8 layers there: both repositories have the same manifest, also as skopeo reads it, and all layers
        Stablepin, 1,000 MB, 6 of 8 layers there: both repositories have the same manifest, and all layers
        40 MB, 0 of 8 layers there, in parts of 5 MB: ECR receives 1.343 × the missing bytes as base64, 1.33 to 1.34; it sends 1.000 ×, 1.00 to 1.01
        1,000 MB, 6 of 8 layers there, in parts of 5 MB: ECR receives 1.328 × the missing bytes as base64, 1.33 to 1.34; it sends 1.000 ×, 1.00 to 1.01
        1,000 MB, 6 of 8 layers there, in parts of 5 MB: 3 uploads with 51 parts, and 74 requests in all; 75 made
        1,000 MB, 6 of 8 layers there, in parts of 5 MB: ECR receives 1.340 × the missing bytes as base64, 1.33 to 1.34; it sends 1.020 ×, 1.00 to 1.01
        a copy of 1,000 MB takes 1.11 × the memory of 40 MB; 1.1 × at most
        ");
    }

    #[test]
    fn unexpected_request_of_a_copy_fails_the_check() {
        let mut rows = [row(Copyist::Ours, Case::empty(SMALL), 1, 53_400_000)];
        rows[0].traffic.calls.insert("HEAD blobs".to_owned(), 1);
        insta::assert_snapshot!(
            failed(&rows).join("\n"),
            @"40 MB, 0 of 8 layers there, in parts of 5 MB: 9 uploads with 9 parts, and 56 requests in all; 57 made"
        );
    }

    #[test]
    fn larger_parts_need_fewer_calls() {
        let parts = |part| expected_calls(Case { part, ..Case::empty(LARGE) })["UploadLayerPart"];
        // A layer of 125 MB has 25 parts of 5 MB, or 12 of 10 MiB. The configuration is one more.
        assert_eq!([Some(WINDOW), None].map(parts), [201, 97]);
    }

    #[test]
    fn table_shows_sizes_in_megabytes() {
        let rows = [
            row(Copyist::Ours, Case { part: None, ..Case::empty(LARGE) }, 99_900_000, 1_340_000_000),
            row(Copyist::Skopeo, MOST, 20_000_000, 250_000_000),
        ];
        insta::assert_snapshot!(table(&rows), @r"
        | image | layers there | parts | tool | CPU time | peak memory | requests | sent to ECR | read from ECR |
        | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |
        | 1,000 MB | 0 of 8 | 10 MiB | Stablepin | 1.23 s | 99 MB | 144 | 1,340 MB base64 | 1,000 MB |
        | 1,000 MB | 6 of 8 | – | skopeo copy | 1.23 s | 20 MB | 74 | 250 MB raw | 250 MB |
        ");
    }
}
