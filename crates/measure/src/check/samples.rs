//! Which of many results are checked where all would take too long.

/// Multiply-adds that one CPU reference may take; larger problems are checked at samples.
pub(super) const REFERENCE_TERMS: usize = 1 << 26;

/// At most `most` of `0..count`, evenly spread, first and last among them.
pub(super) fn spread_out(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    let steps = most.saturating_sub(1).max(1);
    let mut chosen: Vec<usize> = (0..most).map(|i| i * (count - 1) / steps).collect();
    chosen.dedup();
    chosen
}

/// At most `most` of the queries of head `row` of `rows`: the first, the last, and between them others in each head.
pub(super) fn queries_of_head([row, rows]: [usize; 2], q_len: usize, most: usize) -> Vec<usize> {
    if q_len <= most {
        return (0..q_len).collect();
    }
    let between = most.saturating_sub(2).max(1);
    let shift = row * (q_len / between) / rows.max(1);
    let inner = (0..between).map(|i| i * q_len / between + shift);
    let mut chosen: Vec<usize> = [0, q_len - 1].into_iter().chain(inner).collect();
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

/// The sides of the cells of which a result of `rows x cols` has at most `most`: powers of two, as those of the kernels' tiles, about as many rows as
/// columns.
pub(super) fn cell(rows: usize, cols: usize, most: usize) -> [usize; 2] {
    let mut cell = [1, 1];
    loop {
        let [high, wide] = cell;
        if rows.div_ceil(high).saturating_mul(cols.div_ceil(wide)) <= most.max(1) {
            return cell;
        }
        let is_whole_row = wide >= cols;
        cell = if high < rows && (high < wide || is_whole_row) {
            [2 * high, wide]
        } else {
            [high, 2 * wide]
        };
    }
}

/// An element `[row, column]` out of each cell of a result, column by column. Where a row of cells has as many as a cell has rows, it has a sample of each
/// of its rows, and so have columns; as many cells both ways have one of every place within a cell.
pub(super) fn one_per_cell(rows: usize, cols: usize, [high, wide]: [usize; 2]) -> Vec<[usize; 2]> {
    let of_cell = |down: usize, across: usize| {
        let (top, left) = (down * high, across * wide);
        [
            top + (across + down / wide) % high.min(rows - top),
            left + (down + across / high) % wide.min(cols - left),
        ]
    };
    let down = 0..rows.div_ceil(high);
    let mut chosen: Vec<[usize; 2]> = (0..cols.div_ceil(wide))
        .flat_map(|across| down.clone().map(move |down| of_cell(down, across)))
        .collect();
    chosen.sort_unstable_by_key(|&[row, col]| [col, row]);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread_over_all_tokens() {
        assert_eq!(spread_out(4, 9), [0, 1, 2, 3]);
        assert_eq!(spread_out(1024, 3), [0, 511, 1023]);
        assert_eq!(spread_out(10, 1), [0]);
        assert!(spread_out(0, 3).is_empty());
    }

    #[test]
    fn every_head_has_other_queries_beside_the_first_and_the_last() {
        assert_eq!(queries_of_head([1, 2], 3, 4), [0, 1, 2]);
        assert_eq!(queries_of_head([0, 4], 50, 6), [0, 12, 25, 37, 49]);
        assert_eq!(queries_of_head([3, 4], 50, 6), [0, 9, 21, 34, 46, 49]);
        assert!(queries_of_head([0, 1], 0, 4).is_empty());
        // Of a long sequence in 32 heads no 128 queries in a row are left out.
        let mut all: Vec<usize> = (0..32)
            .flat_map(|row| queries_of_head([row, 32], 8192, 4))
            .collect();
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[1] - pair[0] <= 128));
    }

    #[test]
    fn cells_are_as_small_as_can_be_afforded() {
        assert_eq!(cell(9, 5, 45), [1, 1]);
        assert_eq!(cell(9, 5, 44), [1, 2]);
        // A large layer of a model, and its mirror image.
        assert_eq!(cell(4096, 14336, 1 << 14), [64, 64]);
        assert_eq!(cell(4096, 4096, 4681), [64, 64]);
        assert_eq!(cell(1, 30_000, 1 << 14), [1, 2]);
        assert_eq!(cell(30_000, 1, 1 << 14), [2, 1]);
        assert_eq!(cell(3, 3, 0), [4, 4]);
        assert_eq!(cell(0, 7, 0), [1, 1]);
    }

    /// Of sides that cells divide, and of others.
    #[test]
    fn every_tile_row_column_and_place_within_a_cell_has_a_sample() {
        for (rows, cols, [high, wide]) in
            [(64, 256, [8, 8]), (128, 256, [8, 16]), (67, 261, [8, 8])]
        {
            let chosen = one_per_cell(rows, cols, [high, wide]);
            let mut samples = vec![0; rows.div_ceil(high) * cols.div_ceil(wide)];
            for &[row, col] in &chosen {
                assert!(row < rows && col < cols);
                samples[row / high * cols.div_ceil(wide) + col / wide] += 1;
            }
            assert!(samples.iter().all(|&count| count == 1));
            let has = |is_one: &dyn Fn(usize, usize) -> bool| {
                chosen.iter().any(|&[row, col]| is_one(row, col))
            };
            assert!((0..rows).all(|row| has(&|r, _| r == row)));
            assert!((0..cols).all(|col| has(&|_, c| c == col)));
            for at in 0..high * wide {
                let place = [at / wide, at % wide];
                assert!(has(&|r, c| [r % high, c % wide] == place), "{place:?}");
            }
            assert!(chosen.is_sorted_by_key(|&[_, col]| col));
        }
        assert_eq!(one_per_cell(2, 2, [1, 1]), [[0, 0], [1, 0], [0, 1], [1, 1]]);
        assert!(one_per_cell(0, 7, [1, 1]).is_empty());
    }
}
