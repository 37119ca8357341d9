//! Tensors that are not there, or of a rank, type or shape that a command cannot use.

use sparse_bench::tensors::OutTensor;

use crate::support::{Folder, counting, refused, sparse_bench};
use crate::{attention, matmul};

#[test]
fn an_unknown_tensor_lists_near_names() {
    let folder = Folder::with(&[
        ("up.weight", counting(&[4, 8])),
        ("up.bias", counting(&[4])),
    ]);
    refused(
        &matmul(&folder, "--tensor up.wieght"),
        &[
            "there is no tensor \"up.wieght\"",
            "near it are up.weight, up.bias (2 in all)",
        ],
    );
    refused(&attention(&folder, ""), &["there is no tensor \"q\""]);
}

#[test]
fn wrong_ranks_and_types_say_what_is_needed() {
    let folder = Folder::with(&[
        ("bias", counting(&[4])),
        ("bytes", OutTensor::from_u8(&[2, 2], vec![1; 4])),
        ("q", counting(&[2, 8, 16])),
    ]);
    refused(
        &matmul(&folder, "--tensor bias"),
        &["tensor \"bias\" has shape [4], but weights [n_out, k] is needed"],
    );
    refused(
        &matmul(&folder, "--tensor bytes"),
        &["is stored as U8; possible are F32, F16 and BF16"],
    );
    refused(
        &attention(&folder, ""),
        &["tensor \"q\" has shape [2, 8, 16], but q [batch, heads, q_len, head_dim] is needed"],
    );
}

#[test]
fn shapes_that_do_not_fit_together() {
    let folder = Folder::with(&[
        ("w", counting(&[4, 8])),
        ("x", counting(&[3, 7])),
        ("b", counting(&[5])),
        ("q", counting(&[1, 3, 8, 16])),
        ("k", counting(&[1, 2, 8, 16])),
        ("v", counting(&[1, 2, 8, 16])),
    ]);
    let input = format!(
        "--tensor w --input {} --input-tensor x",
        folder.file().display()
    );
    refused(
        &matmul(&folder, &input),
        &["\"x\" have shape [3, 7], the weights \"w\" [4, 8]: their last dimensions must be equal"],
    );
    refused(
        &matmul(&folder, "--tensor w --bias b"),
        &["the bias \"b\" has 5 numbers, the weights \"w\" have 4 rows"],
    );
    refused(
        &attention(&folder, ""),
        &["3 query heads cannot share 2 key/value heads evenly"],
    );
}

#[test]
fn q_k_and_v_of_different_types_are_refused() {
    let half = OutTensor::new(&[1, 1, 4, 32], &[half::f16::ONE; 128]);
    let folder = Folder::with(&[
        ("q", counting(&[1, 1, 4, 32])),
        ("k", half),
        ("v", counting(&[1, 1, 4, 32])),
    ]);
    refused(
        &attention(&folder, ""),
        &["q is stored as f32, k as f16 and v as f32"],
    );
}

#[test]
fn a_density_that_keeps_no_block_says_one_that_keeps_one() {
    // Half of a forty-ninth, times 49, is less than a half.
    let folder = Folder::with(&[("w", counting(&[40, 48])), ("sevens", counting(&[56, 56]))]);
    let line = |pattern: &str| {
        format!(
            "matmul --weights {} --tensor w --pattern {pattern} --out {}",
            folder.file().display(),
            folder.out().display()
        )
    };
    refused(
        &line("bsr:32x32@0.1"),
        &[
            "bsr:32x32@0.1 keeps none of the 4 blocks of \"w\" [40, 48]",
            "a density of 0.25, which keeps one",
        ],
    );
    let sevens =
        |density: f64| line(&format!("bsr:8x8@{density}")).replace("--tensor w", "--tensor sevens");
    refused(
        &sevens(0.5 / 49.0),
        &["none of the 49 blocks", "0.02040816326530612"],
    );
    assert!(!folder.out().exists());
    for kept in [line("bsr:32x32@0.125"), sevens(1.0 / 49.0)] {
        sparse_bench(&kept).assert().success();
    }
}

#[test]
fn a_file_without_a_matrix_for_the_operations_does_not_pass_for_one() {
    let folder = Folder::with(&[("q", counting(&[1, 1, 4, 4])), ("small", counting(&[8, 8]))]);
    for ops in ["bsr_matmul,xattention", "bsr_matmul"] {
        refused(
            &format!("compare --ops {ops} --weights {}", folder.file().display()),
            &["has no matrix [n_out, k_in] for the operations of --ops"],
        );
    }
}
