//! Positions within a group, packed into 32-bit words.
//!
//! A position takes 1, 2, 4 or 8 bits, so that it never straddles two words and a shader needs one shift and one mask.

const WORD_BITS: usize = u32::BITS as usize;

/// Bits of one position: the smallest of 1, 2, 4 and 8 that holds `m - 1`.
pub(crate) fn index_bits(m: usize) -> u32 {
    match m {
        0..=2 => 1,
        3..=4 => 2,
        5..=16 => 4,
        _ => 8,
    }
}

/// Words that `kept` positions of `bits` bits fill.
pub(crate) fn word_count(kept: usize, bits: u32) -> usize {
    kept.div_ceil(per_word(bits))
}

fn per_word(bits: u32) -> usize {
    WORD_BITS / bits as usize
}

/// Position `j` goes to bits `(j * bits) % 32 ..` of word `(j * bits) / 32`; unused bits are zero.
pub(crate) fn pack(positions: &[u8], bits: u32) -> impl Iterator<Item = u32> {
    positions.chunks(per_word(bits)).map(move |chunk| {
        chunk
            .iter()
            .rev()
            .fold(0_u32, |word, &position| word << bits | u32::from(position))
    })
}

/// Position `j` of what [`pack`] made.
pub(crate) fn unpack(words: &[u32], j: usize, bits: u32) -> u8 {
    let word = words[j / per_word(bits)];
    let shift = (j % per_word(bits)) * bits as usize;
    let mask = u8::MAX >> (u8::BITS - bits);
    (word >> shift).to_le_bytes()[0] & mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bits_are_the_smallest_power_of_two_that_holds_every_position() {
        for m in 2..=32_usize {
            let needed = usize::BITS - (m - 1).leading_zeros();
            assert_eq!(index_bits(m), needed.next_power_of_two(), "m = {m}");
        }
    }

    #[test]
    fn the_first_position_sits_in_the_lowest_bits() {
        assert_eq!(pack(&[1, 2, 3], 2).collect::<Vec<_>>(), [0b11_10_01]);
        assert_eq!(
            pack(&[1, 0, 0, 0, 31], 8).collect::<Vec<_>>(),
            [0x0000_0001, 0x0000_001f]
        );
    }

    proptest! {
        #[test]
        fn unpack_inverts_pack(m in 2_usize..=32, raw in prop::collection::vec(0_u8..32, 0..100)) {
            let bits = index_bits(m);
            let positions: Vec<u8> = raw.iter().map(|p| p % u8::try_from(m).unwrap()).collect();
            let words: Vec<u32> = pack(&positions, bits).collect();
            prop_assert_eq!(words.len(), word_count(positions.len(), bits));
            for (j, &position) in positions.iter().enumerate() {
                prop_assert_eq!(unpack(&words, j, bits), position);
            }
            let used = positions.len() * bits as usize % 32;
            if used > 0 {
                prop_assert_eq!(words[words.len() - 1] >> used, 0);
            }
        }
    }
}
