//! Which products the self-test computes.

use sparse_core::DType;

use crate::Transposed;

/// How weights are stored.
#[derive(Clone, Copy, Debug)]
pub(super) enum Format {
    Dense,
    /// Weights kept, of how many, with as many rows to a pattern as a matrix has, times this.
    Nm(usize, usize, usize),
    /// Sides of blocks, in matrices.
    Bsr(usize, usize),
}

/// What the numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// -3 to 3.
    Small,
    /// Some of 2048, so that sums need all of the 24 bits that f32 has.
    Wide,
    /// x is a multiple of `2^-24`, the smallest f16: subnormal.
    Subnormal,
}

/// A product. Sizes are in matrices, and elements beyond.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) format: Format,
    pub(super) tokens: (usize, usize),
    pub(super) n_out: (usize, usize),
    pub(super) k_in: (usize, usize),
    pub(super) y: DType,
    pub(super) transposed: Transposed,
    pub(super) split_k: Option<usize>,
    pub(super) numbers: Numbers,
}

const PLAIN: Case = Case {
    format: Format::Dense,
    tokens: (33, 0),
    n_out: (6, 0),
    k_in: (5, 0),
    y: DType::F32,
    transposed: Transposed::NONE,
    split_k: Some(1),
    numbers: Numbers::Small,
};

/// x and y lie as their transposes.
const TURNED: Transposed = Transposed {
    x: true,
    w: false,
    y: true,
};

/// Every kind of kernel, several row tiles and panels each, whole matrices and odd rests.
pub(super) const CASES: [Case; 12] = [
    PLAIN,
    Case {
        numbers: Numbers::Wide,
        ..PLAIN
    },
    Case {
        numbers: Numbers::Subnormal,
        ..PLAIN
    },
    // Weights that do not fill matrices: rows of four elements, and of one.
    Case {
        n_out: (3, 3),
        k_in: (2, 4),
        y: DType::F16,
        ..PLAIN
    },
    Case {
        tokens: (20, 5),
        n_out: (3, 2),
        k_in: (2, 3),
        y: DType::F16,
        transposed: TURNED,
        ..PLAIN
    },
    Case {
        transposed: TURNED,
        numbers: Numbers::Wide,
        ..PLAIN
    },
    // Few tokens take the smallest tile.
    Case {
        tokens: (0, 3),
        ..PLAIN
    },
    Case {
        k_in: (9, 0),
        split_k: Some(3),
        ..PLAIN
    },
    // Lists of k, with weights that fill matrices and such as do not.
    Case {
        format: Format::Nm(2, 4, 1),
        k_in: (6, 0),
        ..PLAIN
    },
    Case {
        format: Format::Nm(2, 8, 2),
        n_out: (5, 3),
        k_in: (3, 5),
        y: DType::F16,
        ..PLAIN
    },
    Case {
        format: Format::Bsr(1, 2),
        k_in: (8, 0),
        ..PLAIN
    },
    Case {
        format: Format::Bsr(2, 1),
        n_out: (7, 3),
        k_in: (7, 3),
        y: DType::F16,
        transposed: TURNED,
        ..PLAIN
    },
];
