//! The examples of docs/FORMATS.md, byte by byte: the code makes them, and the document shows them.

use half::{bf16, f16};
use sparse_core::{BlockMask, BsrMatrix, Element, Matrix, Nm, NmMatrix};

const DOCUMENT: &str = include_str!("../../../docs/FORMATS.md");

fn matrix<T: Element>(cols: usize, data: &[f32]) -> Matrix<T> {
    let data: Vec<T> = data.iter().map(|&x| T::from_f32(x)).collect();
    Matrix::new(data.len() / cols, cols, data)
}

/// Whether the example that starts with `heading` has a line of `name` and exactly these `bytes`.
#[track_caller]
fn assert_documented<T: bytemuck::NoUninit>(heading: &str, name: &str, array: &[T], bytes: &[u8]) {
    assert_eq!(bytemuck::cast_slice::<T, u8>(array), bytes, "{name}");
    let (_, example) = DOCUMENT
        .split_once(heading)
        .unwrap_or_else(|| panic!("the document has no {heading:?}"));
    let documented: Vec<u8> = example
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap_or_else(|| panic!("the example has no line of {name}"))
        .split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    assert_eq!(documented, bytes, "{name} in the document");
}

#[test]
fn nm_matrix() {
    let heading = "Example: `f16`, 3 x 5, pattern 2:2:4";
    let dense: Matrix<f16> = matrix(
        5,
        &[
            1.0, 0.0, 0.0, 2.0, 3.0, //
            4.0, 0.0, 0.0, 5.0, 6.0, //
            0.0, 7.0, 8.0, 0.0, 0.0,
        ],
    );
    let compressed = NmMatrix::from_dense(&dense, Nm::new(2, 4, 2)).unwrap();
    assert_eq!(
        (
            compressed.groups(),
            compressed.kept_per_row(),
            compressed.strips()
        ),
        (2, 4, 2)
    );
    assert_eq!(
        (compressed.index_bits(), compressed.words_per_strip()),
        (2, 1)
    );
    let columns: Vec<usize> = (0..8).map(|i| compressed.column(i / 4, i % 4)).collect();
    assert_eq!(columns, [0, 3, 4, 5, 1, 2, 4, 5]);
    assert_documented(
        heading,
        "values ",
        compressed.values(),
        &[
            0x00, 0x3c, 0x00, 0x40, 0x00, 0x42, 0x00, 0x00, //
            0x00, 0x44, 0x00, 0x45, 0x00, 0x46, 0x00, 0x00, //
            0x00, 0x47, 0x00, 0x48, 0x00, 0x00, 0x00, 0x00,
        ],
    );
    assert_documented(
        heading,
        "packed_indices ",
        compressed.packed_indices(),
        &[0x4c, 0, 0, 0, 0x49, 0, 0, 0],
    );
}

#[test]
fn bsr_matrix() {
    let heading = "Example: `bf16`, 3 x 5, blocks of 2 x 2";
    let dense: Matrix<bf16> = matrix(
        5,
        &[
            1.0, 2.0, 0.0, 0.0, 5.0, //
            3.0, 4.0, 0.0, 0.0, 6.0, //
            0.0, 0.0, 7.0, 8.0, 0.0,
        ],
    );
    let compressed = BsrMatrix::from_dense(&dense, (2, 2)).unwrap();
    assert_documented(
        heading,
        "indptr ",
        compressed.indptr(),
        &[0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0],
    );
    assert_documented(
        heading,
        "indices ",
        compressed.indices(),
        &[0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0],
    );
    assert_documented(
        heading,
        "values ",
        compressed.values(),
        &[
            0x80, 0x3f, 0x00, 0x40, 0x40, 0x40, 0x80, 0x40, //
            0xa0, 0x40, 0x00, 0x00, 0xc0, 0x40, 0x00, 0x00, //
            0xe0, 0x40, 0x00, 0x41, 0x00, 0x00, 0x00, 0x00,
        ],
    );
}

#[test]
fn block_mask() {
    let heading = "Example: 1 x 2 x 2 x 34";
    let attended: [[&[usize]; 2]; 2] = [[&[0, 31, 33], &[]], [&[1], &[32]]];
    let mask =
        BlockMask::from_fn(1, 2, 2, 34, |_, head, q, k| attended[head][q].contains(&k)).unwrap();
    assert_documented(
        heading,
        "words ",
        mask.words(),
        &[
            0x01, 0, 0, 0x80, 0x02, 0, 0, 0, //
            0, 0, 0, 0, 0, 0, 0, 0, //
            0x02, 0, 0, 0, 0, 0, 0, 0, //
            0, 0, 0, 0, 0x01, 0, 0, 0,
        ],
    );
}
