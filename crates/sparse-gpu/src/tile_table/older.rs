//! Tables of this version and of earlier ones, made ones of this version.

use serde_json::{Value, json};

use super::{TileTable, VERSION};

/// Before loops of attention had a length of their own, they took this many dimensions.
const DIMS_OF_VERSION_1: usize = 128;

/// Reads a table of `version`. The direct tiles of attention of version 1 do not name `dims`. Only here does the field have a default: from version 2
/// on a table without it is a damaged one.
pub(super) fn read(text: &str, version: u64) -> serde_json::Result<TileTable> {
    if version == u64::from(VERSION) {
        return serde_json::from_str(text);
    }
    let mut table: Value = serde_json::from_str(text)?;
    if let Some(version) = table.get_mut("version") {
        *version = json!(VERSION);
    }
    if version == 1 {
        name_dims(&mut table);
    }
    serde_json::from_value(table)
}

fn name_dims(table: &mut Value) {
    let entries = table.get_mut("entries").and_then(Value::as_array_mut);
    for entry in entries.into_iter().flatten() {
        let direct = entry.pointer_mut("/kernel/block_attention/tile/direct");
        if let Some(fields) = direct.and_then(Value::as_object_mut) {
            fields
                .entry("dims")
                .or_insert_with(|| json!(DIMS_OF_VERSION_1));
        }
    }
}
