//! Keys and values of few queries come from memory, as those of a model do, whose other layers are read between two runs of one.

use sparse_core::Element;
use sparse_core::attention::AttentionShape;
use sparse_measure::{Attended, Work, cold_kv_copies};

/// How many copies of keys and values runs take by turns, where the one that reads least looks at `kept`.
pub fn kv_copies<T: Element>(shape: AttentionShape, kept: Attended) -> usize {
    let all: usize = shape.kv_shape().iter().product();
    let key_bytes = 2 * shape.head_dim() * T::DTYPE.bytes();
    let read = whole(kept.keys).saturating_mul(key_bytes);
    cold_kv_copies(shape.q_len(), read, 2 * all * T::DTYPE.bytes())
}

/// `work` of runs that take turns with so many copies of keys and values.
pub(super) fn with_copies<T: Element>(work: Work, shape: AttentionShape, copies: usize) -> Work {
    let nothing = Attended {
        pairs: 0.0,
        keys: 0.0,
    };
    let beside = Work::attention(shape, nothing, T::DTYPE.bytes());
    work.with_copies(copies, whole(work.bytes - beside.bytes))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of keys and of bytes, which are whole and fit into memory"
)]
fn whole(count: f64) -> usize {
    count.max(0.0) as usize
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    #[test]
    fn only_few_queries_take_turns_and_the_working_set_is_what_they_read() {
        let shape = |q_len| AttentionShape::try_new(1, 32, 8, q_len, 8192, 128).unwrap();
        let kept = Attended {
            pairs: 32.0 * 2048.0,
            keys: 8.0 * 2048.0,
        };
        // A copy has 32 MiB, of which a quarter is read.
        assert_eq!(kv_copies::<f16>(shape(1), kept), 32);
        assert_eq!(kv_copies::<f16>(shape(8), kept), 32);
        assert_eq!(kv_copies::<f16>(shape(9), kept), 1);
        let work = Work::attention(shape(1), kept, 2);
        let turns = with_copies::<f16>(work, shape(1), 32);
        assert_eq!(turns.bytes, work.bytes);
        assert_eq!(
            turns.working_set - work.bytes,
            31.0 * 8.0 * f64::from(1 << 20)
        );
        assert_eq!(with_copies::<f16>(work, shape(1), 1), work);
        // A score looks at keys as well.
        let scored = work.with_score(0.0, 1024.0, 256);
        let more = with_copies::<f16>(scored, shape(1), 3).working_set;
        let expected = scored.bytes + 2.0 * (8.0 * f64::from(1 << 20) + 1024.0 * 256.0);
        assert_eq!(more, expected);
    }
}
