//! The file of a table: what is written is read, in every version; what is no such file is refused.

use serde_json::{Value, json};
use sparse_gpu::{AttentionTile, KernelTile, TileTable, TileTableError};

use crate::{full_table, refusal};

#[test]
fn a_table_is_read_as_it_was_written() {
    let table = full_table();
    let text = table.to_json().unwrap();
    assert_eq!(TileTable::from_json(&text).unwrap(), table);
    // What people read in the file.
    for part in [
        "\"walk\": \"nm 8:2:4\"",
        "\"block_attention\"",
        "\"Example 3000\"",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn a_table_of_the_first_version_means_loops_over_128_dimensions() {
    let tile = |dims| KernelTile::BlockAttention {
        head_dim: 64,
        tile: AttentionTile::Direct {
            lanes: 8,
            queries: 2,
            keys: 4,
            dims,
        },
    };
    let mut expected = full_table();
    let mut older: Value = serde_json::from_str(&expected.to_json().unwrap()).unwrap();
    assert_eq!(older["version"], json!(3));
    older["version"] = json!(1);
    let direct = &mut older["entries"][6]["kernel"]["block_attention"]["tile"]["direct"];
    assert_eq!(
        direct.as_object_mut().unwrap().remove("dims"),
        Some(json!(16))
    );
    assert_eq!(expected.entries[6].kernel, tile(16));
    expected.entries[6].kernel = tile(128);
    let read = TileTable::from_json(&older.to_string()).unwrap();
    // Written again it has what its version knows.
    assert_eq!(read, expected);
    assert_eq!(read.to_json().unwrap(), expected.to_json().unwrap());
    // A list with the values of the header is no table either.
    let list = TileTable::from_json(r#"["sparse-gpu tiles", 1]"#).unwrap_err();
    assert!(matches!(list, TileTableError::Json { .. }), "{list}");
}

#[test]
fn a_table_of_a_later_version_names_the_dimensions_of_a_loop() {
    for version in [2, 3] {
        let error = refusal(|v| {
            v["version"] = json!(version);
            let direct = &mut v["entries"][6]["kernel"]["block_attention"]["tile"]["direct"];
            direct.as_object_mut().unwrap().remove("dims");
        });
        let message = error.to_string();
        assert!(message.contains("missing field `dims`"), "{message}");
    }
    let mut second: Value = serde_json::from_str(&full_table().to_json().unwrap()).unwrap();
    second["version"] = json!(2);
    let read = TileTable::from_json(&second.to_string()).unwrap();
    assert_eq!(read, full_table());
}

#[test]
fn damaged_and_foreign_files_are_refused() {
    let text = full_table().to_json().unwrap();
    // No prefix of a file is one, and none makes the reader panic.
    for end in (0..text.trim_end().len()).step_by(7) {
        let error = TileTable::from_json(&text[..end]).unwrap_err();
        assert!(matches!(error, TileTableError::Json { .. }), "{error}");
    }
    for other in ["", "[]", "null", "{\"heads\": []}", "\u{0}"] {
        let error = TileTable::from_json(other).unwrap_err().to_string();
        assert!(error.contains("sparse-bench tune"), "{error}");
    }
    let error = refusal(|v| v["format"] = json!("sparse-bench profile")).to_string();
    assert!(error.contains("sparse-bench profile"), "{error}");
    let error = refusal(|v| v["version"] = json!(4)).to_string();
    assert!(
        error.contains("version 4") && error.contains("newer"),
        "{error}"
    );
    let error = refusal(|v| v["version"] = json!(0)).to_string();
    assert!(error.contains("tune again"), "{error}");
    let error = refusal(|v| v["version"] = json!(-1)).to_string();
    assert!(error.contains("sparse-bench tune"), "{error}");
    let error = refusal(|v| v["entries"][0]["colour"] = json!("red")).to_string();
    assert!(error.contains("colour"), "{error}");
}
