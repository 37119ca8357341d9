//! `--cooperative`: what runs on cooperative matrices, f16 throughout.

use sparse_core::DType;

use super::case::{MatmulCase, SizeClass};
use super::quick::{bsr, nm};
use crate::cli::{Operation, Pattern};

/// The rows that `compare` adds for devices whose cooperative matrices have passed their self-test: a square layer, dense, N:M with as many
/// rows to a pattern as matrices of either size ask for, and blocks.
pub fn cooperative_cases(class: SizeClass) -> Vec<MatmulCase> {
    let side = match class {
        SizeClass::Software => 512,
        SizeClass::Integrated => 2048,
        SizeClass::Discrete => 4096,
    };
    let square = |operation, pattern| MatmulCase {
        operation,
        model: "square layer, on cooperative matrices",
        tokens: side,
        n_out: side,
        k_in: side,
        dtype: DType::F16,
        pattern,
    };
    vec![
        square(Operation::DenseMatmul, Pattern::Dense),
        square(Operation::NmMatmul, nm(16, 2, 4)),
        square(Operation::NmMatmul, nm(32, 2, 8)),
        square(Operation::BsrMatmul, bsr(32, 32, 0.25)),
        square(Operation::BsrMatmul, bsr(64, 64, 0.125)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets::Case;

    #[test]
    fn rows_are_legal_and_in_f16() {
        for class in [
            SizeClass::Software,
            SizeClass::Integrated,
            SizeClass::Discrete,
        ] {
            for case in cooperative_cases(class) {
                assert_eq!(case.dtype, DType::F16);
                assert_eq!(Case::Matmul(case).violation(), None);
            }
        }
    }
}
