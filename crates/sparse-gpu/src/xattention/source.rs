//! Where the tokens of q and of k lie: by heads or by tokens, with room behind them.

use std::ops::Range;

use sparse_core::DType;

use crate::TokenLayout;

/// The heads and tokens of q, or of k. Heads are counted through all items.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// Heads that lie side by side in a token; 1 where each is a matrix of its own.
    pub(crate) token_heads: usize,
    /// Matrices: items, or heads of all items.
    matrices: usize,
    /// Tokens of a head.
    pub(crate) len: usize,
    /// Tokens that a head has room for.
    pub(crate) capacity: usize,
    head_dim: usize,
    element_bytes: usize,
}

impl Source {
    /// Of `shape`, `[batch, heads, tokens, head_dim]` however they lie.
    pub(crate) fn new(
        [batch, heads, len, head_dim]: [usize; 4],
        layout: TokenLayout,
        capacity: usize,
        dtype: DType,
    ) -> Self {
        let token_heads = match layout {
            TokenLayout::HeadMajor => 1,
            TokenLayout::TokenMajor => heads,
        };
        Self {
            token_heads,
            matrices: batch * heads / token_heads,
            len,
            capacity,
            head_dim,
            element_bytes: dtype.bytes(),
        }
    }

    /// The elements from the first of some tokens of some heads to their last; others may lie in between.
    pub(crate) fn elements(&self, heads: &Range<usize>, tokens: &Range<usize>) -> Range<u64> {
        if heads.is_empty() || tokens.is_empty() {
            return 0..0;
        }
        let token = (self.token_heads * self.head_dim) as u64;
        let at =
            |head: usize, token: usize| (head / self.token_heads * self.capacity + token) as u64;
        at(heads.start, tokens.start) * token..at(heads.end - 1, tokens.end) * token
    }

    /// The elements before the first head of a token, where the heads of a token lie side by side.
    pub(crate) fn elements_before(&self, token: usize) -> u64 {
        (token * self.token_heads * self.head_dim) as u64
    }

    /// Bytes of the window of any `heads` neighbouring heads with `tokens` tokens each, at most.
    pub(crate) fn bytes(&self, heads: usize, tokens: usize) -> u64 {
        if heads == 0 || tokens == 0 {
            return 0;
        }
        let matrices = ((heads - 1).div_ceil(self.token_heads) + 1).min(self.matrices.max(1));
        let rows = ((matrices - 1) as u64)
            .saturating_mul(self.capacity as u64)
            .saturating_add(tokens as u64);
        rows.saturating_mul((self.token_heads * self.head_dim * self.element_bytes) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two items of three heads of five tokens with room for eight, two elements each.
    fn source(layout: TokenLayout) -> Source {
        Source::new([2, 3, 5, 2], layout, 8, DType::F16)
    }

    #[test]
    fn windows_reach_from_the_first_to_the_last_element() {
        let heads_first = source(TokenLayout::HeadMajor);
        assert_eq!(heads_first.elements(&(1..2), &(0..5)), 16..26);
        assert_eq!(heads_first.elements(&(1..4), &(2..3)), 20..54);
        let tokens_first = source(TokenLayout::TokenMajor);
        assert_eq!(tokens_first.elements(&(1..2), &(0..5)), 0..30);
        assert_eq!(tokens_first.elements(&(1..4), &(2..3)), 12..66);
        assert_eq!(tokens_first.elements(&(3..3), &(0..5)), 0..0);
    }

    #[test]
    fn no_window_is_larger_than_its_bound() {
        for layout in [TokenLayout::HeadMajor, TokenLayout::TokenMajor] {
            let source = source(layout);
            for (first, end) in
                (0..6).flat_map(|first| (first + 1..=6).map(move |end| (first, end)))
            {
                for tokens in 0..=5 {
                    let window = source.elements(&(first..end), &(5 - tokens..5));
                    let bytes = 2 * (window.end - window.start);
                    assert!(
                        bytes <= source.bytes(end - first, tokens),
                        "{layout:?} {first}..{end} {tokens}"
                    );
                }
            }
            assert_eq!(
                source.bytes(6, 5),
                2 * source.elements(&(0..6), &(0..5)).end
            );
        }
    }
}
