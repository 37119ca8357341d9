//! Selections of blocks against their definition, and the rows of cases that every pruning method is held to.

mod support;

use proptest::prelude::*;
use sparse_core::prune::check_blocks;
use sparse_core::{BlockBudget, BlockSelection, BsrMatrix, Matrix, Norm, PruneError};
use support::number_matrix;

fn message<T>(result: Result<T, PruneError>) -> String {
    match result {
        Ok(_) => "no error".into(),
        Err(error) => error.to_string(),
    }
}

fn kept(selection: &BlockSelection) -> Vec<(usize, usize)> {
    selection.blocks().collect()
}

/// 4 x 6 in blocks of 2 x 2: norms L1 are 4, 5, 4 and 1, 2, 8; squares 4, 25, 8 and 1, 2, 16.
fn weights() -> Matrix<f32> {
    Matrix::new(
        4,
        6,
        vec![
            1.0, -1.0, 0.0, -5.0, 2.0, 0.0, //
            1.0, 1.0, 0.0, 0.0, 0.0, 2.0, //
            0.0, 0.0, 1.0, 0.0, -2.0, 2.0, //
            1.0, 0.0, 0.0, 1.0, 2.0, -2.0,
        ],
    )
}

#[test]
fn budgets_keep_exactly_what_they_say() {
    let kept = |norm, budget| {
        kept(&BlockSelection::by_magnitude(&weights(), (2, 2), norm, budget).unwrap())
    };
    assert_eq!(kept(Norm::L1, BlockBudget::Count(0)), []);
    assert_eq!(kept(Norm::L1, BlockBudget::Count(1)), [(1, 2)]);
    assert_eq!(kept(Norm::L2, BlockBudget::Count(1)), [(0, 1)]);
    assert_eq!(
        kept(Norm::L1, BlockBudget::Count(3)),
        [(0, 0), (0, 1), (1, 2)]
    );
    assert_eq!(
        kept(Norm::L2, BlockBudget::Density(0.5)),
        [(0, 1), (0, 2), (1, 2)]
    );
    assert_eq!(
        kept(Norm::L1, BlockBudget::CountPerBlockRow(1)),
        [(0, 1), (1, 2)]
    );
    assert_eq!(
        kept(Norm::L1, BlockBudget::DensityPerBlockRow(0.7)),
        [(0, 0), (0, 1), (1, 1), (1, 2)]
    );
    assert_eq!(kept(Norm::L1, BlockBudget::Density(1.0)).len(), 6);
}

#[test]
fn equal_blocks_keep_the_earlier_ones() {
    let equal = Matrix::new(4, 4, vec![-3.0_f32; 16]);
    let of =
        |budget| kept(&BlockSelection::by_magnitude(&equal, (2, 2), Norm::L2, budget).unwrap());
    assert_eq!(of(BlockBudget::Count(3)), [(0, 0), (0, 1), (1, 0)]);
    assert_eq!(of(BlockBudget::CountPerBlockRow(1)), [(0, 0), (1, 0)]);
}

#[test]
fn zero_blocks_are_kept_where_the_budget_asks_for_more() {
    let zeros = Matrix::new(2, 2, vec![-0.0_f32, 0.0, 0.0, 1e-45]);
    let pruned = BsrMatrix::prune(&zeros, (1, 1), BlockBudget::Count(2)).unwrap();
    assert_eq!(
        (pruned.indptr(), pruned.indices()),
        (&[0, 1, 2][..], &[0, 1][..])
    );
    assert_eq!(pruned.to_dense().unwrap().get(1, 1), 1e-45);
}

#[test]
fn scores_decide_and_may_be_negative() {
    let scores = Matrix::new(1, 4, vec![-5.0_f32, -1.0, -2.0, -2.0]);
    let of = |count| {
        kept(&BlockSelection::by_scores(&scores, (1, 2), BlockBudget::Count(count)).unwrap())
    };
    assert_eq!(of(1), [(0, 1)]);
    assert_eq!(of(2), [(0, 0), (0, 1)]);
}

#[test]
fn what_cannot_be_pruned_has_its_message() {
    let by = |matrix: &Matrix<f32>, block, budget| {
        message(BlockSelection::by_magnitude(
            matrix,
            block,
            Norm::L1,
            budget,
        ))
    };
    assert_eq!(
        by(&weights(), (2, 2), BlockBudget::Count(7)),
        "7 blocks were to be kept of each matrix, which has 6"
    );
    assert_eq!(
        by(&weights(), (2, 2), BlockBudget::CountPerBlockRow(4)),
        "4 blocks were to be kept of each block row, which has 3"
    );
    assert_eq!(
        by(&weights(), (2, 2), BlockBudget::Density(1.01)),
        "density 1.01 is not a share of the blocks: it must be within 0..=1"
    );
    assert_eq!(
        by(&weights(), (0, 2), BlockBudget::Count(1)),
        "a block of 0 x 2 has no elements: both sides must be at least 1"
    );
    let mut spoiled = weights();
    spoiled.data_mut()[8] = f32::NAN;
    let not_a_number = "the element at (1, 2) is NaN and cannot be ranked: repair the matrix, or prune by scores \
                        without NaN";
    assert_eq!(by(&spoiled, (2, 2), BlockBudget::Count(1)), not_a_number);
    assert_eq!(
        message(BsrMatrix::prune(&spoiled, (2, 2), BlockBudget::Count(1))),
        not_a_number
    );
    assert_eq!(
        message(BlockSelection::at_random(
            4,
            6,
            (2, 2),
            BlockBudget::Count(7),
            0
        )),
        "7 blocks were to be kept of each matrix, which has 6"
    );
    spoiled.data_mut()[8] = f32::INFINITY;
    spoiled.data_mut()[9] = f32::NEG_INFINITY;
    assert_eq!(
        message(BlockSelection::by_scores(
            &spoiled,
            (2, 2),
            BlockBudget::Count(1)
        )),
        "the scores that are summed from (0, 2) on hold both infinities and have no sum: use finite scores"
    );
    let infinite =
        BlockSelection::by_magnitude(&spoiled, (2, 2), Norm::L2, BlockBudget::Count(1)).unwrap();
    assert_eq!(kept(&infinite), [(0, 1)]);
}

#[test]
fn a_check_names_the_first_block_too_many() {
    let check = |budget| message(check_blocks(&weights(), (2, 2), budget));
    assert_eq!(check(BlockBudget::Count(6)), "no error");
    assert_eq!(
        check(BlockBudget::Count(4)),
        "block (1, 1) is the first nonzero block too many: 4 are allowed for each matrix"
    );
    assert_eq!(check(BlockBudget::CountPerBlockRow(3)), "no error");
    assert_eq!(
        check(BlockBudget::DensityPerBlockRow(0.7)),
        "block (0, 2) is the first nonzero block too many: 2 are allowed for each block row"
    );
    let mut second_row_only = vec![0.0; 24];
    second_row_only[12..].fill(1.0);
    assert_eq!(
        message(check_blocks(
            &Matrix::new(4, 6, second_row_only),
            (2, 2),
            BlockBudget::CountPerBlockRow(1)
        )),
        "block (1, 1) is the first nonzero block too many: 1 are allowed for each block row"
    );
    assert_eq!(
        message(check_blocks(&weights(), (2, 0), BlockBudget::Count(1))),
        "a block of 2 x 0 has no elements: both sides must be at least 1"
    );
}

#[test]
fn a_seed_decides_what_chance_keeps() {
    let of =
        |seed| BlockSelection::at_random(64, 64, (4, 4), BlockBudget::Density(0.25), seed).unwrap();
    assert_eq!(of(3), of(3));
    assert_ne!(of(3), of(4));
    assert_eq!(of(3).count(), 64);
}

#[test]
fn empty_matrices_keep_nothing() {
    for (rows, cols) in [(0, 0), (0, 4), (4, 0)] {
        let empty = Matrix::<f32>::zeros(rows, cols).unwrap();
        for budget in [
            BlockBudget::Density(0.5),
            BlockBudget::DensityPerBlockRow(1.0),
            BlockBudget::Count(0),
        ] {
            // Without rows, a budget per block row is a number of blocks that exist in no row.
            let pruned = BsrMatrix::prune(&empty, (2, 2), budget).unwrap();
            assert_eq!(pruned.nnz_blocks(), 0);
            assert_eq!(check_blocks(&empty, (2, 2), budget), Ok(()));
        }
    }
}

fn any_budget() -> impl Strategy<Value = BlockBudget> {
    prop_oneof![
        (0.0..=1.0).prop_map(BlockBudget::Density),
        (0.0..=1.0).prop_map(BlockBudget::DensityPerBlockRow),
    ]
}

proptest! {
    #[test]
    fn selections_keep_the_best_blocks_and_exactly_as_many_as_asked(
        weights in number_matrix(),
        block in (1_usize..5, 1_usize..9),
        budget in any_budget(),
        seed: u64,
    ) {
        let (rows, cols) = (weights.rows(), weights.cols());
        let (block_rows, block_cols) = (rows.div_ceil(block.0), cols.div_ceil(block.1));
        let selection = BlockSelection::by_magnitude(&weights, block, Norm::L1, budget).unwrap();
        let random = BlockSelection::at_random(rows, cols, block, budget, seed).unwrap();
        let norm = |i: usize, j: usize| {
            let in_block = |r: &usize, size: usize, b: usize| r / size == b;
            (0..rows).filter(|r| in_block(r, block.0, i))
                .flat_map(|r| (0..cols).filter(|c| in_block(c, block.1, j)).map(move |c| (r, c)))
                .fold(0.0, |sum, (r, c)| sum + f64::from(weights.get(r, c)).abs())
        };
        let all: Vec<_> = (0..block_rows * block_cols)
            .map(|b| (norm(b / block_cols, b % block_cols), b))
            .collect();
        let (scope, density) = match budget {
            BlockBudget::Density(density) => (all.len(), density),
            BlockBudget::DensityPerBlockRow(density) => (block_cols, density),
            _ => unreachable!("any_budget makes densities only"),
        };
        let count = (scope as f64 * density).round();
        let mut expected = Vec::new();
        for scope in all.chunks(scope.max(1)) {
            expected.extend(scope.iter().filter(|a| {
                let before = scope.iter().filter(|b| b.0 > a.0 || (b.0 == a.0 && b.1 < a.1)).count();
                (before as f64) < count
            }).map(|&(_, b)| (b / block_cols, b % block_cols)));
        }
        prop_assert_eq!(kept(&selection), expected);
        prop_assert_eq!(random.count(), selection.count());
        if matches!(budget, BlockBudget::DensityPerBlockRow(_)) {
            prop_assert_eq!(random.indptr(), selection.indptr());
        }
    }

    #[test]
    fn pruning_a_pruned_matrix_changes_nothing(
        weights in number_matrix(),
        block in (1_usize..5, 1_usize..9),
        budget in any_budget(),
    ) {
        let once = BsrMatrix::prune(&weights, block, budget).unwrap();
        prop_assert_eq!(check_blocks(&once.to_dense().unwrap(), block, budget), Ok(()));
        prop_assert_eq!(&BsrMatrix::prune(&once.to_dense().unwrap(), block, budget).unwrap(), &once);
        for ((i, j), elements) in once.blocks() {
            for (offset, &value) in elements.iter().enumerate() {
                let (row, col) = (i * block.0 + offset / block.1, j * block.1 + offset % block.1);
                if row < weights.rows() && col < weights.cols() {
                    prop_assert_eq!(value.to_bits(), weights.get(row, col).to_bits());
                }
            }
        }
    }
}
