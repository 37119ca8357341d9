use super::*;
use crate::matmul::{Batch, Epilogue, Format, MatmulTypes, Transposed};

fn chosen(
    pattern: &str,
    tokens: usize,
    class: AdapterClass,
    variant: Option<NmVariant>,
) -> (&'static str, String) {
    let pattern: Nm = pattern.parse().unwrap();
    let problem = MatmulProblem {
        operation: "nm_matmul",
        tokens,
        n_out: 64,
        k_in: 64,
        format: Format::Nm { pattern },
        types: MatmulTypes::default(),
        transposed: Transposed::NONE,
        batch: Batch::None,
        epilogue: Epilogue::default(),
        tile: None,
        nm_variant: variant,
        split_k: None,
        tier: crate::Tier::Portable,
        few_tokens_only: false,
    };
    let (walk, note) = nm_walk(&problem, pattern, false, class);
    (walk.name(), note.unwrap_or_default())
}

#[test]
fn many_tokens_branch_where_it_pays() {
    for class in AdapterClass::ALL {
        let (walk, note) = chosen("2:4", 4096, class, None);
        let (expected, why) = match class {
            AdapterClass::Software | AdapterClass::SoftwareAvx512 => {
                ("dense", "put back in their places once")
            }
            _ if tiles::branching(class).is_some() => ("nm_branch", "branches"),
            _ => ("nm_expand", "branch"),
        };
        assert_eq!(walk, expected, "{class}: {note}");
        assert!(note.contains(why), "{class}: {note}");
    }
    assert_eq!(chosen("2:4", 4096, AdapterClass::Amd, None).0, "nm_branch");
    let (walk, note) = chosen("2:4", MANY_TOKENS - 1, AdapterClass::Software, None);
    assert_eq!(walk, "nm_expand");
    assert!(note.contains("slower on processors"), "{note}");
}

#[test]
fn on_processors_lists_of_few_rows_pay_where_they_skip_enough() {
    let walk = |pattern, class| chosen(pattern, 512, class, None).0;
    for (pattern, on_processors) in [
        ("1:4", "dense"),
        ("2:8", "dense"),
        ("2:16", "nm"),
        ("2:2:4", "dense"),
        ("2:2:8", "nm"),
        ("3:2:4", "dense"),
        ("3:2:8", "nm"),
        ("2:1:4", "nm"),
        ("3:1:4", "nm"),
        ("4:2:4", "nm"),
    ] {
        assert_eq!(
            walk(pattern, AdapterClass::Software),
            on_processors,
            "{pattern}"
        );
    }
    assert_eq!(walk("2:2:8", AdapterClass::Other), "nm_expand");
    // Few tokens do not earn the way back to dense weights.
    assert_eq!(
        chosen("2:8", 64, AdapterClass::Software, None).0,
        "nm_expand"
    );
}

#[test]
fn few_tokens_and_shared_patterns_do_not() {
    let (walk, note) = chosen("2:4", 64, AdapterClass::Amd, None);
    assert_eq!(walk, "nm_expand");
    assert!(note.contains("for 64 tokens the tile is 8x4x16"), "{note}");
    assert_eq!(chosen("2:4", 129, AdapterClass::Amd, None).0, "nm_branch");
    assert_eq!(chosen("8:2:4", 4096, AdapterClass::Amd, None).0, "nm");
    assert_eq!(chosen("3:4", 4096, AdapterClass::Amd, None).0, "nm_expand");
}

#[test]
fn the_caller_may_choose() {
    for class in AdapterClass::ALL {
        let of = |variant| chosen("2:4", 9, class, Some(variant)).0;
        assert_eq!(of(NmVariant::Branch), "nm_branch");
        assert_eq!(of(NmVariant::Expand), "nm_expand");
        assert_eq!(of(NmVariant::ExpandFirst), "dense");
    }
}
