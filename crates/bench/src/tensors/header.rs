//! The header of a safetensors file.

use std::collections::HashSet;

use safetensors::tensor::Metadata;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// Parses and checks a header: no name twice, contiguous offsets from 0, sizes that agree with shape and type, no overflow.
pub(super) fn parse_header(text: &[u8]) -> Result<Metadata, String> {
    if text.first() != Some(&b'{') {
        return Err("it does not start with '{'".into());
    }
    serde_json::from_slice::<NamesOnce>(text)
        .and_then(|NamesOnce| serde_json::from_slice(text))
        .map_err(|e| e.to_string())
}

/// That no name stands twice, as the format has it. The parser of the metadata keeps the last of such tensors.
struct NamesOnce;

impl<'de> Deserialize<'de> for NamesOnce {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = NamesOnce;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<NamesOnce, A::Error> {
                let mut names = HashSet::new();
                while let Some((name, IgnoredAny)) = entries.next_entry::<String, _>()? {
                    if names.contains(&name) {
                        return Err(A::Error::custom(format!("the name {name:?} stands twice")));
                    }
                    names.insert(name);
                }
                Ok(NamesOnce)
            }
        }

        from.deserialize_map(Names)
    }
}
