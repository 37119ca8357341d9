//! What holds for every XAttention problem, whatever its numbers: Exact mode on the CPU reference.

use proptest::prelude::*;
use sparse_core::Tensor;
use sparse_core::attention::{AttentionShape, MaskHeads, block_attention};
use sparse_core::mask::BlockMask;
use sparse_core::synthetic::normal_tensor;
use sparse_core::xattention::{
    Mode, ReferenceOptions, XAttentionOptions, XAttentionReference, xattention, xattention_score,
    xattention_select,
};

/// A small problem with any lengths, heads, block, stride and options.
#[derive(Clone, Debug)]
struct Problem {
    shape: AttentionShape,
    options: XAttentionOptions,
    seed: u64,
}

impl Problem {
    fn tensors(&self) -> [Tensor<f32>; 3] {
        let (q, kv) = (self.shape.q_shape(), self.shape.kv_shape());
        let mut tensors = [(q, 0), (kv, 1), (kv, 2)]
            .map(|(shape, n)| normal_tensor(shape.to_vec(), 3 * self.seed + n).unwrap());
        // Peaked scores: with plain normal ones nearly every block is needed.
        tensors[0].data_mut().iter_mut().for_each(|x| *x *= 3.0);
        tensors
    }

    fn run(&self) -> XAttentionReference {
        let [q, k, v] = self.tensors();
        xattention(&q, &k, &v, &self.options).unwrap()
    }

    fn with_threshold(&self, threshold: f64) -> BlockMask {
        let [q, k, _] = self.tensors();
        let mut options = self.options.clone();
        options.threshold = threshold.into();
        let scores = xattention_score(&q, &k, &options).unwrap().scores;
        xattention_select(&scores, &options.layout(self.shape).unwrap()).unwrap()
    }
}

prop_compose! {
    fn problems()(
        batch in 1_usize..3,
        (q_heads, kv_heads, mask_heads) in prop::sample::select(vec![
            (1, 1, MaskHeads::Query),
            (2, 1, MaskHeads::Query),
            (4, 2, MaskHeads::Query),
            (3, 3, MaskHeads::Query),
            (4, 2, MaskHeads::Key),
            (3, 1, MaskHeads::Key),
        ]),
        q_len in 0_usize..50,
        k_len in 0_usize..50,
        head_dim in 1_usize..6,
        stride in 1_usize..5,
        groups in 1_usize..5,
        threshold in 0.0_f64..1.0,
        causal: bool,
        sink_blocks in 0_usize..3,
        recent_blocks in 0_usize..3,
        seed in 0_u64..1_000_000,
    ) -> Problem {
        let shape = AttentionShape::try_new(batch, q_heads, kv_heads, q_len, k_len, head_dim);
        let options = XAttentionOptions {
            block: stride * groups,
            stride,
            threshold: threshold.into(),
            causal,
            sink_blocks,
            recent_blocks,
            mask_heads,
            ..XAttentionOptions::default()
        };
        Problem { shape: shape.unwrap(), options, seed }
    }
}

/// Elements `[.., start..end, ..]` along `axis`.
fn slice(tensor: &Tensor<f32>, axis: usize, start: usize, end: usize) -> Tensor<f32> {
    let mut shape = tensor.shape().to_vec();
    let inner: usize = shape[axis + 1..].iter().product();
    let row = shape[axis] * inner;
    let data = if row == 0 {
        Vec::new()
    } else {
        let rows = tensor.data().chunks_exact(row);
        rows.flat_map(|row| &row[start * inner..end * inner])
            .copied()
            .collect()
    };
    shape[axis] = end - start;
    Tensor::new(shape, data)
}

/// Each key/value head once for every query head that uses it.
fn expand_heads(tensor: &Tensor<f32>, times: usize) -> Tensor<f32> {
    let mut shape = tensor.shape().to_vec();
    let head = shape[2] * shape[3];
    let data = if head == 0 {
        Vec::new()
    } else {
        let heads = tensor.data().chunks_exact(head);
        heads.flat_map(|head| head.repeat(times)).collect()
    };
    shape[1] *= times;
    Tensor::new(shape, data)
}

/// Rows `(item, head, query block)` of a mask shape.
fn rows([batch, heads, q_blocks, _]: [usize; 4]) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..batch)
        .flat_map(move |b| (0..heads).flat_map(move |h| (0..q_blocks).map(move |i| (b, h, i))))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn results_are_finite_and_rows_hold_one_unit_per_group_with_keys(problem in problems()) {
        let result = problem.run();
        let layout = problem.options.layout(problem.shape).unwrap();
        let per_block = layout.groups_per_block();
        let [_, heads, ..] = layout.score_shape();
        let [batch, _, q_blocks, k_blocks] = layout.mask_shape();
        for (b, h, i) in rows([batch, heads, q_blocks, k_blocks]) {
            let groups = i * per_block..((i + 1) * per_block).min(layout.q_groups());
            // A group whose only allowed pair of groups has no pair of real tokens has no mass either.
            let with_keys = groups.filter(|&g| layout.allowed_k_groups(g) > 0).count();
            let sum: f64 = result.scores.scores.row(b, h, i).iter().sum();
            let whole = f64::from(u32::try_from(with_keys).unwrap());
            prop_assert!(sum <= whole + 1e-9, "{sum} {whole}");
            let full_groups = problem.shape.q_len() % problem.options.stride == 0
                && problem.shape.k_len() >= problem.options.stride;
            prop_assert!(!full_groups || (sum - whole).abs() < 1e-9, "{sum} {whole}");
        }
        prop_assert!(result.attention.out.iter().all(|x| x.is_finite()));
        for (lse, t) in result.attention.lse.iter().zip((0..problem.shape.q_len()).cycle()) {
            let keys = if problem.options.causal {
                problem.shape.causal_keys(t)
            } else {
                problem.shape.k_len()
            };
            // Block 0 is forced, so a causal query with keys always has one.
            let has_keys = keys > 0;
            prop_assert_eq!(lse.is_finite(), has_keys, "query {}", t);
            prop_assert!(has_keys || *lse == f64::NEG_INFINITY);
        }
    }

    #[test]
    fn items_of_a_batch_are_independent(problem in problems()) {
        let whole = problem.run();
        let [q, k, v] = problem.tensors();
        let (mut scores, mut bools, mut out) = (Vec::new(), Vec::new(), Vec::new());
        for item in 0..problem.shape.batch() {
            let [q, k, v] = [&q, &k, &v].map(|x| slice(x, 0, item, item + 1));
            let one = xattention(&q, &k, &v, &problem.options).unwrap();
            scores.extend_from_slice(one.scores.scores.data());
            bools.extend(one.mask.to_bools().unwrap());
            out.extend(one.attention.out);
        }
        prop_assert_eq!(whole.scores.scores.data(), scores);
        prop_assert_eq!(whole.mask.to_bools().unwrap(), bools);
        prop_assert_eq!(whole.attention.out, out);
    }

    #[test]
    fn shared_heads_equal_expanded_ones(problem in problems()) {
        // Expanded heads share nothing.
        prop_assume!(problem.options.mask_heads == MaskHeads::Query);
        let shared = problem.run();
        let [q, k, v] = problem.tensors();
        let times = problem.shape.q_heads() / problem.shape.kv_heads();
        let [k, v] = [k, v].map(|x| expand_heads(&x, times));
        let expanded = xattention(&q, &k, &v, &problem.options).unwrap();
        prop_assert_eq!(shared, expanded);
    }

    #[test]
    fn a_higher_threshold_only_adds_blocks(problem in problems(), a in 0.0_f64..=1.0, b in 0.0_f64..=1.0) {
        let [small, large] = [f64::min(a, b), f64::max(a, b)].map(|t| problem.with_threshold(t));
        prop_assert_eq!(small.union(&large).unwrap(), large);
    }

    #[test]
    fn threshold_one_is_dense_and_zero_the_forced_set(problem in problems()) {
        let [none, all] = [0.0, 1.0].map(|threshold| problem.with_threshold(threshold));
        let layout = problem.options.layout(problem.shape).unwrap();
        for (b, h, i) in rows(all.shape()) {
            let row = layout.exact_row(b, h, i);
            let forced: Vec<usize> = (0..row.reachable).filter(|&j| row.forced[j]).collect();
            prop_assert_eq!(all.row(b, h, i).collect::<Vec<_>>(), Vec::from_iter(0..row.reachable));
            let selected: Vec<usize> = none.row(b, h, i).collect();
            if forced.is_empty() {
                prop_assert_eq!(selected.len(), row.reachable.min(1));
            } else {
                prop_assert_eq!(selected, forced);
            }
        }
        let [q, k, v] = problem.tensors();
        let options = problem.options.attention();
        let [over_all, dense] = [Some(&all), None]
            .map(|mask| block_attention(&q, &k, &v, mask, &options).unwrap());
        prop_assert_eq!(over_all, dense);
    }

    #[test]
    fn the_chosen_set_reaches_the_threshold_and_is_minimal(problem in problems()) {
        let result = problem.run();
        let layout = problem.options.layout(problem.shape).unwrap();
        let scores = layout.shared_scores(&result.scores.scores).unwrap();
        for (b, h, i) in rows(result.mask.shape()) {
            let scores = scores.row(b, h, i);
            let row = layout.exact_row(b, h, i);
            let total: f64 = scores[..row.reachable].iter().sum();
            let wanted = problem.options.threshold.of_head(h) * total;
            let chosen: Vec<usize> = result.mask.row(b, h, i).collect();
            let mass: f64 = chosen.iter().map(|&j| scores[j]).sum();
            let rounding = 1e-12 * total;
            prop_assert!(mass >= wanted - rounding);
            prop_assert!(chosen.iter().all(|&j| j < row.reachable));
            prop_assert!((0..row.reachable).all(|j| !row.forced[j] || chosen.contains(&j)));
            let flags: Vec<bool> = (0..scores.len()).map(|j| chosen.contains(&j)).collect();
            prop_assert_eq!(row.check_choice(scores, &flags, 1e-12), Ok(()));
            // One block stays in any case; a row without mass takes all.
            if chosen.len() > 1 && total > 0.0 {
                for &j in chosen.iter().filter(|&&j| !row.forced[j]) {
                    prop_assert!(mass - scores[j] < wanted + rounding, "row {:?} block {}", (b, h, i), j);
                }
            }
        }
    }

    #[test]
    fn a_prompt_in_pieces_gives_the_rows_of_the_whole(
        problem in problems(),
        (from, to) in (0_usize..8, 0_usize..8),
        tokens in 1_usize..60,
    ) {
        let shape = problem.shape;
        let (heads, kv) = (shape.q_heads(), shape.kv_heads());
        let shape = AttentionShape::try_new(shape.batch(), heads, kv, tokens, tokens, shape.head_dim());
        let mut problem = Problem { shape: shape.unwrap(), ..problem };
        problem.options.causal = true;
        let block = problem.options.block;
        let start = (from.min(to) * block).min(tokens / block * block);
        let end = ((from.max(to) + 1) * block).min(tokens);
        let [q, k, v] = problem.tensors();
        let whole = xattention(&q, &k, &v, &problem.options).unwrap();
        let [k_part, v_part] = [&k, &v].map(|x| slice(x, 2, 0, end));
        let piece = xattention(&slice(&q, 2, start, end), &k_part, &v_part, &problem.options).unwrap();
        let [_, _, _, k_blocks] = piece.mask.shape();
        for (b, h, i) in rows(piece.mask.shape()) {
            let whole_scores = whole.scores.scores.row(b, h, start / block + i);
            prop_assert_eq!(piece.scores.scores.row(b, h, i), &whole_scores[..k_blocks]);
            let whole_row: Vec<usize> = whole.mask.row(b, h, start / block + i).collect();
            prop_assert_eq!(piece.mask.row(b, h, i).collect::<Vec<_>>(), whole_row);
        }
        for (n, lse) in piece.attention.lse.iter().enumerate() {
            let (head, t) = (n / (end - start), n % (end - start));
            prop_assert_eq!(*lse, whole.attention.lse[head * tokens + start + t]);
        }
    }

    #[test]
    fn reference_with_a_chunk_of_one_block_is_exact_on_whole_groups(
        problem in problems(),
        q_groups in 0_usize..12,
        offset_blocks in 0_usize..4,
    ) {
        let (block, stride) = (problem.options.block, problem.options.stride);
        let (q_len, k_len) = (q_groups * stride, q_groups * stride + offset_blocks * block);
        let shape = problem.shape;
        let (heads, kv) = (shape.q_heads(), shape.kv_heads());
        let shape = AttentionShape::try_new(shape.batch(), heads, kv, q_len, k_len, shape.head_dim());
        let mut exact = Problem { shape: shape.unwrap(), ..problem };
        exact.options.causal = true;
        (exact.options.sink_blocks, exact.options.recent_blocks) = (0, 0);
        let mut reference = exact.clone();
        let chunk = Some(block);
        reference.options.mode = Mode::Reference(ReferenceOptions { chunk, ..Default::default() });
        let (exact, reference) = (exact.run(), reference.run());
        prop_assert_eq!(exact.scores.scores.shape(), reference.scores.scores.shape());
        let [exact_scores, reference_scores] = [&exact, &reference].map(|x| x.scores.scores.data());
        for (a, b) in exact_scores.iter().zip(reference_scores) {
            prop_assert!((a - b).abs() < 1e-9, "{a} {b}");
        }
        prop_assert_eq!(exact.mask, reference.mask);
    }

    #[test]
    fn halves_of_the_keys_merge_by_their_log_sum_exp(problem in problems()) {
        let [q, k, v] = problem.tensors();
        let options = problem.options.attention();
        let layout = problem.options.layout(problem.shape).unwrap();
        let [b, h, i, j] = layout.mask_shape();
        let part = |odd: usize| {
            let mask = BlockMask::from_fn(b, h, i, j, |_, h, i, j| (h + i + j) % 2 == odd).unwrap();
            block_attention(&q, &k, &v, Some(&mask), &options).unwrap()
        };
        let (parts, dense) = ([part(0), part(1)], block_attention(&q, &k, &v, None, &options).unwrap());
        let head_dim = problem.shape.head_dim();
        for (n, expected) in dense.out.iter().enumerate() {
            let row = n / head_dim;
            if dense.lse[row] == f64::NEG_INFINITY {
                prop_assert_eq!(*expected, 0.0);
                continue;
            }
            let merged: f64 = parts
                .iter()
                .map(|part| (part.lse[row] - dense.lse[row]).exp() * part.out[n])
                .sum();
            prop_assert!((merged - expected).abs() < 1e-9, "{merged} {expected}");
        }
    }
}
