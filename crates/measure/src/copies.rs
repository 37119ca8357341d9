//! Copies of an operand that runs take by turns, so that none of them finds in a cache what a cache has no room for.

use std::cell::Cell;

/// Most tokens of products whose runs take copies of the weights by turns: those of a mat-vec, which reads each weight for a few multiply-adds.
pub const COLD_TOKENS: usize = 8;
/// What runs read before they come back to the first copy: twice what the largest last-level caches of graphics cards hold, and those of a processor, core complex by core complex.
pub const COLD_BYTES: usize = 256 << 20;
/// Most copies. Operands from 512 KiB on pass [`COLD_BYTES`] with them: sparse weights as well as the dense ones of the same layer, whatever the layer's size is.
/// The copies of smaller ones may stay in a cache, as may the operand itself in a model.
pub const MOST_COPIES: usize = 512;
/// What copies of keys and values take of the device's memory at most. A mask leaves most of each copy unread, so that more of them are needed to read
/// [`COLD_BYTES`]: with this much, runs that read a tenth still pass over three times what the caches of a core complex hold.
pub const MOST_KV_BYTES: usize = 1 << 30;

/// How many copies of `bytes` of weights a product of so many tokens takes by turns. In a model the weights of all other layers are read between
/// two runs of one, which decides the time of a product that is bound by bytes; one of more than [`COLD_TOKENS`] is bound by arithmetic and takes one.
pub fn cold_copies(tokens: usize, bytes: usize) -> usize {
    cold_copies_of(COLD_BYTES, tokens, bytes)
}

/// The same where runs read `cold_bytes` before they come back to the first copy, which is what all copies take of the device's memory.
pub fn cold_copies_of(cold_bytes: usize, tokens: usize, bytes: usize) -> usize {
    if tokens > COLD_TOKENS {
        return 1;
    }
    cold_bytes.div_ceil(bytes.max(1)).clamp(1, MOST_COPIES)
}

/// How many copies of keys and values of `bytes` attention of so many queries of a head takes by turns, where the run that reads least reads
/// `read_bytes` of each. Few queries read every key for a few multiply-adds, as a mat-vec reads its weights.
pub fn cold_kv_copies(queries: usize, read_bytes: usize, bytes: usize) -> usize {
    let room = MOST_KV_BYTES / bytes.max(1);
    cold_copies(queries, read_bytes).min(room.max(1))
}

/// Copies of one operand.
#[derive(Debug)]
pub struct Copies<T> {
    first: T,
    others: Vec<T>,
    next: Cell<usize>,
}

impl<T> Copies<T> {
    /// The operand itself, alone.
    pub const fn of(first: T) -> Self {
        Self {
            first,
            others: Vec::new(),
            next: Cell::new(0),
        }
    }

    /// At least one, and as many as `count`, made by `upload`.
    ///
    /// # Errors
    /// The first of `upload`.
    pub fn upload<E>(count: usize, mut upload: impl FnMut() -> Result<T, E>) -> Result<Self, E> {
        let mut copies = Self::of(upload()?);
        copies.others = (1..count).map(|_| upload()).collect::<Result<_, _>>()?;
        Ok(copies)
    }

    /// The first copy, for what all of them have in common.
    pub fn first(&self) -> &T {
        &self.first
    }

    /// The next one; behind the last comes the first.
    pub fn turn(&self) -> &T {
        let turn = self.next.get();
        self.next.set((turn + 1) % (1 + self.others.len()));
        turn.checked_sub(1)
            .and_then(|other| self.others.get(other))
            .unwrap_or(&self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_take_turns() {
        let mut made = 0;
        let copies = Copies::upload(3, || {
            made += 1;
            Ok::<_, ()>(made)
        })
        .unwrap();
        let turns: Vec<i32> = (0..7).map(|_| *copies.turn()).collect();
        assert_eq!(turns, [1, 2, 3, 1, 2, 3, 1]);
        assert_eq!((*copies.first(), made), (1, 3));
        let one = Copies::upload(0, || Ok::<_, ()>('a')).unwrap();
        assert_eq!((*one.turn(), *one.turn()), ('a', 'a'));
    }

    #[test]
    fn an_upload_that_fails_is_told() {
        let mut left = 2;
        let refused = Copies::upload(3, || {
            left -= 1;
            if left < 0 {
                return Err("no memory");
            }
            Ok(())
        });
        assert_eq!(refused.unwrap_err(), "no memory");
    }

    #[test]
    fn few_tokens_read_more_than_a_cache_holds() {
        let mib = 1 << 20;
        assert_eq!(cold_copies(1, 32 * mib), 8);
        assert_eq!(cold_copies(COLD_TOKENS, 9 * mib), 29);
        assert_eq!(cold_copies(1, 500 * mib), 1);
        let most = [cold_copies(1, 8), cold_copies(1, 0)];
        assert_eq!(most, [MOST_COPIES; 2]);
        assert_eq!(cold_copies(COLD_TOKENS + 1, mib), 1);
        assert_eq!(cold_copies_of(64 * mib, 1, 32 * mib), 2);
    }

    #[test]
    fn kept_keys_come_from_memory_as_far_as_there_is_room_for_the_others() {
        let mib = 1 << 20;
        assert_eq!(cold_kv_copies(1, 32 * mib, 32 * mib), 8);
        assert_eq!(cold_kv_copies(COLD_TOKENS, 8 * mib, 32 * mib), 32);
        assert_eq!(cold_kv_copies(1, mib, 32 * mib), 32);
        assert_eq!(cold_kv_copies(1, mib, 2048 * mib), 1);
        assert_eq!(cold_kv_copies(COLD_TOKENS + 1, mib, mib), 1);
        assert_eq!(cold_kv_copies(1, 0, 0), MOST_COPIES);
    }

    /// Weights of f16, and eight-row patterns of them with their lists, in the smallest layer that is measured.
    #[test]
    fn sparse_weights_come_from_memory_where_dense_ones_do() {
        let dense = 2 * 3072 * 768;
        for kept in [2, 4, 8] {
            let values = dense / kept;
            for bytes in [dense, values, values + values / 16] {
                let read = bytes * cold_copies(1, bytes);
                let range = COLD_BYTES..COLD_BYTES + bytes;
                assert!(range.contains(&read), "{bytes}: {read}");
            }
        }
    }
}
