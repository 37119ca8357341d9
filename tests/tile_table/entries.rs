//! Entries of a table that name what does not exist, or contradict each other.

use serde_json::{Value, json};
use sparse_gpu::{Error, MeasuredOn, TileTable, TileTableError};

use crate::support::gpu::gpu;
use crate::{entry, matmul, refusal, tile};

#[test]
fn kernels_and_walks_that_do_not_exist_are_refused_with_those_that_do() {
    let error = refusal(|v| v["entries"][0]["kernel"] = json!({"conv": {}})).to_string();
    assert!(
        error.contains("conv") && error.contains("matvec"),
        "{error}"
    );
    let error = refusal(|v| v["entries"][0]["kernel"]["matmul"]["walk"] = json!("csr"));
    assert!(error.to_string().contains("nm_expand V:N:M"), "{error}");
}

#[test]
fn tiles_that_no_kernel_can_be_made_with_are_refused() {
    let of_matmul = |key: &'static str, value: Value| {
        refusal(move |v| v["entries"][3]["kernel"]["matmul"]["tile"][key] = value)
    };
    for (key, value, says) in [
        ("rows", json!(3), "1, 2, 4, 8 or 16"),
        ("rows", json!(0), "1, 2, 4, 8 or 16"),
        ("cols", json!(6), "4, 8, 12 or 16"),
        ("lanes", json!(512), "up to 256"),
        ("lanes", json!(24), "a power of two"),
        ("lanes", json!(u32::MAX), "larger than"),
        ("rows", json!(u64::MAX), "larger than"),
        ("rows", json!(16), "8 share a list"),
        ("rows", json!(-8), "invalid value"),
        ("rows", json!(1.5), "invalid type"),
    ] {
        let error = of_matmul(key, value.clone()).to_string();
        assert!(error.contains(says), "{key} = {value}: {error}");
    }
    let of_direct = |key: &'static str, value: u64| {
        refusal(move |v| {
            v["entries"][6]["kernel"]["block_attention"]["tile"]["direct"][key] = json!(value);
        })
    };
    for (key, value, says) in [
        ("lanes", 0, "a power of two"),
        ("queries", 3, "1, 2 or 4"),
        ("keys", 32, "4, 8 or 16"),
        (
            "dims",
            0,
            "tile.dims is 0, possible is a multiple of 4 from",
        ),
        (
            "dims",
            4,
            "tile.dims is 4, possible is a multiple of 4 from",
        ),
        (
            "dims",
            18,
            "tile.dims is 18, possible is a multiple of 4 from",
        ),
        ("lanes", 256, "16384"),
        ("lanes", u64::MAX, "larger than"),
    ] {
        let error = of_direct(key, value).to_string();
        assert!(error.contains(says), "{key} = {value}: {error}");
    }
    let of_tiled = |key: &'static str, value: u64| {
        refusal(move |v| {
            v["entries"][7]["kernel"]["block_attention"]["tile"]["tiled"][key] = json!(value);
        })
    };
    for (key, value) in [("queries", 0), ("queries", 6), ("split", 0), ("split", 5)] {
        let error = of_tiled(key, value);
        assert!(
            matches!(error, TileTableError::Tile { .. }),
            "{key} = {value}: {error}"
        );
    }
    for (key, value) in [("queries", 0), ("queries", 3), ("lanes", 2), ("lanes", 12)] {
        let error = refusal(move |v| {
            v["entries"][8]["kernel"]["block_attention"]["tile"]["few"][key] = json!(value);
        });
        assert!(
            matches!(error, TileTableError::Tile { .. }),
            "{key} = {value}: {error}"
        );
    }
    let error = refusal(|v| v["entries"][5]["kernel"]["matvec"]["lanes"] = json!(0));
    assert!(matches!(error, TileTableError::Tile { .. }), "{error}");
    let error =
        refusal(|v| v["entries"][9]["kernel"]["xattention_score"]["groups_per_block"] = json!(0));
    assert!(matches!(error, TileTableError::Tile { .. }), "{error}");
    // Lists of single rows are for few tokens.
    let error = refusal(|v| v["entries"][0]["kernel"]["matmul"]["walk"] = json!("nm_gather 1:2:4"));
    assert!(matches!(error, TileTableError::Tile { .. }), "{error}");
}

#[test]
fn entries_that_make_no_sense_are_refused() {
    let of = |at: usize, key: &'static str, value: Value| {
        refusal(move |v| v["entries"][at][key] = value)
    };
    let error = of(0, "element_bytes", json!(8)).to_string();
    assert!(error.contains("2 or 4"), "{error}");
    for (from, to) in [(0, 8), (9, 8)] {
        let error = of(0, "tokens", json!({"from": from, "to": to})).to_string();
        assert!(error.contains("no range"), "{error}");
    }
    let error = of(5, "tokens", json!({"from": 1, "to": 9})).to_string();
    assert!(error.contains("at most 8"), "{error}");
    let error = of(0, "tokens", json!({"from": 9, "to": 513})).to_string();
    assert!(
        error.contains("two tiles for matmul dense with 513 tokens"),
        "{error}"
    );
    // A table made in memory is checked, too.
    let mut table = TileTable::new(MeasuredOn::of(gpu().adapter()));
    table
        .entries
        .push(entry(matmul("dense", tile(5, 4, 8)), 1, 9));
    assert!(matches!(table.to_json(), Err(TileTableError::Tile { .. })));
    let error = gpu().with_tiles(&table).unwrap_err();
    assert!(
        matches!(error, Error::Tiles(TileTableError::Tile { .. })),
        "{error}"
    );
}
