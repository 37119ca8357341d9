//! The records as CSV: the fields of a row in JSON, `shape` as one column of `name=size`, `peer` as four, `roofline` as four; what there is
//! none of is empty. New columns come last, so that those before keep their places.

use super::Record;

const HEADER: [&str; 34] = [
    "op",
    "shape",
    "dtype",
    "pattern",
    "density",
    "adapter",
    "driver",
    "backend",
    "tier",
    "kernel",
    "tile",
    "timing",
    "dense_ms",
    "sparse_ms",
    "speedup",
    "ideal_speedup",
    "share_of_ideal",
    "peer_name",
    "peer_ms",
    "peer_speedup",
    "max_err_over_bound",
    "runs",
    "spread",
    "fmas",
    "bytes",
    "roofline_bound",
    "roofline_share",
    "dense_kernel",
    "dense_tile",
    "tuned",
    "class",
    "source",
    "peer_spread",
    "weight_copies",
];

/// The records as CSV with a header line.
///
/// # Errors
/// Those of the CSV writer, none for text in memory.
pub fn to_csv(records: &[Record]) -> csv::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut writer = csv::Writer::from_writer(&mut bytes);
    writer.write_record(HEADER)?;
    for r in records {
        let peer = r.peer.as_ref().map(|peer| {
            [
                peer.name.clone(),
                peer.ms.to_string(),
                peer.speedup.to_string(),
                peer.spread.to_string(),
            ]
        });
        let peer = peer.unwrap_or_default();
        let roofline = r.roofline.map(|roofline| {
            [
                roofline.work.fmas.to_string(),
                roofline.work.bytes.to_string(),
                roofline.bound.name().into(),
                roofline.share.to_string(),
            ]
        });
        let roofline = roofline.unwrap_or_default();
        writer.write_record([
            r.op,
            &r.shape.to_string(),
            r.dtype,
            &r.pattern,
            &r.density.to_string(),
            &r.adapter,
            &r.driver,
            &r.backend,
            &r.tier,
            &r.kernel,
            &r.tile,
            r.timing.name(),
            &or_empty(r.dense_ms),
            &r.sparse_ms.to_string(),
            &or_empty(r.speedup),
            &or_empty(r.ideal_speedup),
            &or_empty(r.share_of_ideal),
            &peer[0],
            &peer[1],
            &peer[2],
            &r.max_err_over_bound.to_string(),
            &r.runs.to_string(),
            &r.spread.to_string(),
            &roofline[0],
            &roofline[1],
            &roofline[2],
            &roofline[3],
            r.dense_kernel.as_deref().unwrap_or_default(),
            r.dense_tile.as_deref().unwrap_or_default(),
            &r.is_tuned.to_string(),
            r.class,
            &r.source,
            &peer[3],
            &r.weight_copies
                .map(|copies| copies.to_string())
                .unwrap_or_default(),
        ])?;
    }
    writer.flush()?;
    drop(writer);
    Ok(bytes)
}

fn or_empty(number: Option<f64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn every_line_has_every_column_and_text_is_quoted() {
        let odd = Record {
            adapter: "a \"quoted\", name".into(),
            dense_ms: None,
            dense_kernel: None,
            dense_tile: None,
            is_tuned: false,
            source: "w \"a, b\" of f, x generated".into(),
            speedup: None,
            ideal_speedup: None,
            share_of_ideal: None,
            peer: None,
            roofline: None,
            weight_copies: None,
            ..fixture::nm_matmul()
        };
        let bytes = to_csv(&[fixture::nm_matmul(), odd]).unwrap();
        let mut reader = csv::Reader::from_reader(&bytes[..]);
        assert_eq!(reader.headers().unwrap().iter().collect::<Vec<_>>(), HEADER);
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(&rows[0][1], "tokens=1024 n_out=1024 k_in=1024");
        assert_eq!(
            (&rows[0][14], &rows[0][17], &rows[0][18], &rows[0][19]),
            ("3.75", "cubek", "140", "4.375")
        );
        assert_eq!((&rows[1][5], &rows[1][17]), ("a \"quoted\", name", ""));
        assert_eq!((&rows[1][12], &rows[1][13], &rows[1][14]), ("", "32", ""));
        assert_eq!((&rows[0][15], &rows[0][16]), ("4", "0.9375"));
        assert_eq!((&rows[1][15], &rows[1][16]), ("", ""));
        assert_eq!((&rows[0][25], &rows[0][26]), ("compute", "0.5"));
        assert_eq!((&rows[1][23], &rows[1][26]), ("", ""));
        let last = |row: usize| rows[row].iter().skip(27).take(5).collect::<Vec<_>>();
        let expected = [
            "matmul/dense",
            "32x64x16",
            "true",
            "software-avx512",
            "generated",
        ];
        assert_eq!(last(0), expected);
        let real = "w \"a, b\" of f, x generated";
        assert_eq!(last(1), ["", "", "false", "software-avx512", real]);
        assert_eq!((&rows[0][32], &rows[1][32]), ("0.02", ""));
        assert_eq!((&rows[0][33], &rows[1][33]), ("1", ""));
    }
}
