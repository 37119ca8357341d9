//! What needs no device: whose table it is, which files are tables, and how long a check takes.

use std::time::{Duration, Instant};

use super::*;

fn measured_on(class: &str) -> MeasuredOn {
    MeasuredOn {
        adapter: "llvmpipe (LLVM 21.1.8, 256 bits)".into(),
        backend: "vulkan".into(),
        driver: "llvmpipe Mesa 26.1.6".into(),
        class: class.into(),
    }
}

/// A mat-vec of dense weights.
fn entry(from: usize, to: usize) -> TileEntry {
    TileEntry {
        kernel: KernelTile::Matvec {
            walk: TileWalk::Dense,
            rows: 4,
            lanes: 16,
        },
        element_bytes: 4,
        tokens: TokenRange { from, to },
        measured: None,
    }
}

fn table(entries: Vec<TileEntry>) -> TileTable {
    TileTable {
        entries,
        ..TileTable::new(measured_on("software"))
    }
}

#[test]
fn a_class_with_other_defaults_is_another_adapter() {
    let (plain, wide) = (measured_on("software"), measured_on("software-avx512"));
    assert!(!plain.is_same_adapter(&wide));
    let newer = MeasuredOn {
        driver: "llvmpipe Mesa 27".into(),
        ..plain.clone()
    };
    assert!(plain.is_same_adapter(&newer));
    // The message and the notes of plans show the difference.
    assert!(plain.to_string().ends_with("class software)"), "{plain}");
    assert_ne!(plain.to_string(), wide.to_string());
}

#[test]
fn a_field_that_stands_twice_is_refused_in_every_version() {
    let text = table(vec![entry(1, 4)]).to_json().unwrap();
    for version in OLDEST..=VERSION {
        let text = text.replace("\"version\": 3", &format!("\"version\": {version}"));
        assert_eq!(TileTable::from_json(&text).unwrap().version, VERSION);
        for (field, twice) in [
            (
                "rows",
                text.replace("\"rows\": 4", "\"rows\": 4, \"rows\": 8"),
            ),
            ("to", text.replace("\"to\": 4", "\"to\": 4, \"to\": 8")),
            (
                "element_bytes",
                text.replace(
                    "\"element_bytes\": 4",
                    "\"element_bytes\": 4, \"element_bytes\": 2",
                ),
            ),
            (
                "class",
                text.replace("\"class\"", "\"class\": \"amd\", \"class\""),
            ),
            (
                "entries",
                text.replace("\"entries\"", "\"entries\": [], \"entries\""),
            ),
        ] {
            assert_ne!(twice, text);
            let error = TileTable::from_json(&twice).unwrap_err().to_string();
            let expected = format!("duplicate field `{field}`");
            assert!(error.contains(&expected), "version {version}: {error}");
        }
    }
}

#[test]
fn measured_numbers_that_json_cannot_hold_are_refused() {
    for wrong in [f64::NAN, f64::INFINITY] {
        for at in 0..3 {
            let mut numbers = [2.5, 2.0, 0.01];
            numbers[at] = wrong;
            let [default_ms, ms, spread] = numbers;
            let entry = TileEntry {
                measured: Some(TileMeasurement {
                    problem: "one token".into(),
                    default_tile: "8 rows, 8 lanes".into(),
                    default_ms,
                    ms,
                    spread,
                }),
                ..entry(1, 4)
            };
            let error = table(vec![entry]).to_json().unwrap_err().to_string();
            let name = ["`default_ms`", "`ms`", "`spread`"][at];
            assert!(error.contains(&format!("{name} is {wrong}")), "{error}");
        }
    }
}

#[test]
fn ranges_overlap_wherever_the_other_stands() {
    let twice = |ranges: &[(usize, usize)]| {
        let entries = ranges.iter().map(|&(from, to)| entry(from, to)).collect();
        match table(entries).check() {
            Ok(()) => None,
            Err(TileTableError::Twice { tokens, .. }) => Some(tokens),
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(twice(&[(5, 6), (1, 2), (7, 8), (3, 4)]), None);
    assert_eq!(twice(&[(5, 6), (1, 2), (2, 3)]), Some(2));
    assert_eq!(twice(&[(1, 8), (3, 4)]), Some(3));
    assert_eq!(twice(&[(3, 4), (1, 8)]), Some(3));
    assert_eq!(twice(&[(3, 5), (5, 5)]), Some(5));
    let other_width = TileEntry {
        element_bytes: 2,
        ..entry(1, 8)
    };
    assert_eq!(table(vec![entry(1, 8), other_width]).check(), Ok(()));
}

#[test]
fn a_table_as_long_as_a_file_may_be_is_checked_at_once() {
    // Every fourth kernel is the same, with ranges that touch.
    let entries = (1..=120_000).map(|n| TileEntry {
        kernel: KernelTile::XattentionScore {
            groups_per_block: 1 + n % 4,
            tile: sparse_shaders::Tile {
                rows: 8,
                cols: 8,
                lanes: 8,
            },
        },
        ..entry(n, n)
    });
    let table = table(entries.collect());
    let start = Instant::now();
    table.check().unwrap();
    // A comparison of every two takes minutes.
    assert!(start.elapsed() < Duration::from_secs(10));
}
