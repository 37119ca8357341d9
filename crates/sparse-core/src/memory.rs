//! Room for results, asked for before anything is computed.
//!
//! A result may be any number of times larger than what it is made from: a view that repeats one number, a matrix of one
//! block, a mask without keys. Its memory is asked for here, and where there is none the caller hears of it; a plain
//! `collect` would end the program. Copies of about the size of what is held already allocate as they do anywhere.

/// There is no memory for a result, which would be larger than what it is made from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no memory for {what}, {bytes} bytes; {remedy}")]
pub struct OutOfMemory {
    /// What was to be stored, with its sizes.
    pub what: String,
    /// How much it takes; where that is beyond 64 bits, all they hold.
    pub bytes: u64,
    /// What to do.
    pub remedy: &'static str,
}

/// An empty list with room for `len` elements; `what` they are is only asked for where there is no memory.
pub(crate) fn room_for<T>(
    len: usize,
    what: impl FnOnce() -> String,
    remedy: &'static str,
) -> Result<Vec<T>, OutOfMemory> {
    let mut list = Vec::new();
    match list.try_reserve_exact(len) {
        Ok(()) => Ok(list),
        Err(_) => Err(OutOfMemory {
            what: what(),
            bytes: bytes_of::<T>(len),
            remedy,
        }),
    }
}

/// As [`room_for`], with `len` copies of `value`.
pub(crate) fn filled<T: Clone>(
    len: usize,
    value: T,
    what: impl FnOnce() -> String,
    remedy: &'static str,
) -> Result<Vec<T>, OutOfMemory> {
    let mut list = room_for(len, what, remedy)?;
    list.resize(len, value);
    Ok(list)
}

/// Room for one element more in a list whose length is not known before.
pub(crate) fn push<T>(
    list: &mut Vec<T>,
    value: T,
    what: impl FnOnce() -> String,
    remedy: &'static str,
) -> Result<(), OutOfMemory> {
    // Room for one more doubles the list, as `Vec::push` does.
    if list.try_reserve(1).is_err() {
        return Err(OutOfMemory {
            what: what(),
            bytes: bytes_of::<T>(list.len().saturating_add(1)),
            remedy,
        });
    }
    list.push(value);
    Ok(())
}

fn bytes_of<T>(len: usize) -> u64 {
    (len as u64).saturating_mul(size_of::<T>() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_memory_holds_is_an_error_that_says_how_much() {
        let what = || "the answers to everything".to_owned();
        // More bytes than an allocation may have, more than any machine has.
        for len in [usize::MAX, usize::MAX / 16] {
            let error = filled(len, 0_u32, what, "ask for less").unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "there is no memory for the answers to everything, {} bytes; ask for less",
                    (len as u64).saturating_mul(4)
                )
            );
        }
        let unasked = || unreachable!("there is memory");
        assert_eq!(filled(3, 7, unasked, "").unwrap(), [7; 3]);
        let list: Vec<u8> = room_for(5, unasked, "").unwrap();
        assert!(list.is_empty() && list.capacity() >= 5);
        let mut list = vec![1];
        push(&mut list, 2, unasked, "").unwrap();
        assert_eq!(list, [1, 2]);
    }
}
