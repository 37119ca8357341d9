//! The example of a profile in docs/FORMATS.md: it is one, and shows every field.

use serde_json::Value;
use sparse_gpu::AttentionProfile;

#[test]
fn the_example_of_the_document_is_a_profile_with_every_field() {
    let document = include_str!("../../../docs/FORMATS.md");
    let (_, example) = document.split_once("```json\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let profile = AttentionProfile::from_json(example).unwrap();
    // Written again it has the same fields: the document leaves none out.
    let documented: Value = serde_json::from_str(example).unwrap();
    assert_eq!(serde_json::to_value(&profile).unwrap(), documented);
}
