//! The pattern itself: how many are kept of how many, shared by how many rows.

use std::fmt;
use std::str::FromStr;

use crate::nm::NmError;

/// An N:M pattern: of every `m` consecutive weights of a row at most `n` are kept; `v` consecutive rows (a strip)
/// keep the same positions.
///
/// Written `N:M`, or `V:N:M` with the shared rows first.
///
/// ```
/// use sparse_core::Nm;
/// let pattern: Nm = "8:2:4".parse()?;
/// assert_eq!((pattern.v(), pattern.n(), pattern.m()), (8, 2, 4));
/// assert_eq!(Nm::TWO_FOUR.to_string(), "2:4");
/// assert_eq!(Nm::try_new(4, 4, 1).unwrap_err().to_string(),
///     "pattern 4:4 drops nothing: n must be below m; keep the matrix dense to keep all of it");
/// # Ok::<(), sparse_core::NmError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nm {
    n: u8,
    m: u8,
    v: usize,
}

impl Nm {
    /// The longest group.
    pub const MAX_M: usize = 32;

    /// 1 of every 2.
    pub const ONE_TWO: Self = Self::of(1, 2);
    /// 1 of every 4.
    pub const ONE_FOUR: Self = Self::of(1, 4);
    /// 2 of every 4, the pattern of sparse tensor cores.
    pub const TWO_FOUR: Self = Self::of(2, 4);
    /// 1 of every 8.
    pub const ONE_EIGHT: Self = Self::of(1, 8);
    /// 2 of every 8.
    pub const TWO_EIGHT: Self = Self::of(2, 8);
    /// 4 of every 8.
    pub const FOUR_EIGHT: Self = Self::of(4, 8);
    /// 1 of every 16.
    pub const ONE_SIXTEEN: Self = Self::of(1, 16);
    /// 2 of every 16.
    pub const TWO_SIXTEEN: Self = Self::of(2, 16);
    /// 4 of every 16.
    pub const FOUR_SIXTEEN: Self = Self::of(4, 16);
    /// 8 of every 16.
    pub const EIGHT_SIXTEEN: Self = Self::of(8, 16);
    /// 4 of every 32.
    pub const FOUR_THIRTY_TWO: Self = Self::of(4, 32);
    /// 8 of every 32.
    pub const EIGHT_THIRTY_TWO: Self = Self::of(8, 32);
    /// 16 of every 32.
    pub const SIXTEEN_THIRTY_TWO: Self = Self::of(16, 32);

    const fn of(n: u8, m: u8) -> Self {
        Self { n, m, v: 1 }
    }

    /// A pattern that keeps `n` of every `m` weights at positions shared by `v` rows: `1 <= n < m <= 32`, `v >= 1`.
    ///
    /// # Errors
    /// [`NmError::NothingKept`], [`NmError::NothingDropped`], [`NmError::GroupTooLong`] and
    /// [`NmError::NoRowsPerStrip`], in this order, where a bound is broken.
    pub fn try_new(n: usize, m: usize, v: usize) -> Result<Self, NmError> {
        if n == 0 {
            return Err(NmError::NothingKept { m });
        }
        if n >= m {
            return Err(NmError::NothingDropped { n, m });
        }
        let (Ok(short_n), Ok(short_m), true) = (u8::try_from(n), u8::try_from(m), m <= Self::MAX_M)
        else {
            return Err(NmError::GroupTooLong { n, m });
        };
        if v == 0 {
            return Err(NmError::NoRowsPerStrip { n, m });
        }
        Ok(Self {
            n: short_n,
            m: short_m,
            v,
        })
    }

    /// As [`Nm::try_new`].
    ///
    /// # Panics
    /// Where `try_new` gives an error.
    #[track_caller]
    pub fn new(n: usize, m: usize, v: usize) -> Self {
        Self::try_new(n, m, v).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Weights kept of each group.
    pub fn n(self) -> usize {
        usize::from(self.n)
    }

    /// Bits of a packed index: 1, 2, 4 or 8, the smallest that holds `m - 1`.
    pub fn index_bits(self) -> u32 {
        super::packing::index_bits(self.m())
    }

    /// Length of a group.
    pub fn m(self) -> usize {
        usize::from(self.m)
    }

    /// Rows that share their positions.
    pub fn v(self) -> usize {
        self.v
    }

    /// Share of the weights that is kept, `n / m`.
    pub fn density(self) -> f64 {
        f64::from(self.n) / f64::from(self.m)
    }

    /// Every position of a group, ascending.
    pub(crate) fn positions(self) -> std::ops::Range<u8> {
        0..self.m
    }
}

impl fmt::Display for Nm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.v > 1 {
            write!(f, "{}:", self.v)?;
        }
        write!(f, "{}:{}", self.n, self.m)
    }
}

impl FromStr for Nm {
    type Err = NmError;

    fn from_str(text: &str) -> Result<Self, NmError> {
        let numbers: Vec<usize> = text
            .split(':')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .unwrap_or_default();
        match numbers[..] {
            [n, m] => Self::try_new(n, m, 1),
            [v, n, m] => Self::try_new(n, m, v),
            _ => Err(NmError::Unreadable { text: text.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_broken_bound_has_its_message() {
        let message = |n, m, v| Nm::try_new(n, m, v).unwrap_err().to_string();
        assert_eq!(
            message(0, 4, 1),
            "pattern 0:4 keeps nothing: n must be at least 1; an all-zero matrix obeys any pattern"
        );
        assert_eq!(
            message(5, 4, 1),
            "pattern 5:4 drops nothing: n must be below m; keep the matrix dense to keep all of it"
        );
        assert_eq!(
            message(2, 33, 1),
            "pattern 2:33 has groups of 33 weights, the longest supported group has 32"
        );
        assert_eq!(
            message(300, 1000, 1),
            "pattern 300:1000 has groups of 1000 weights, the longest supported group has 32"
        );
        assert_eq!(
            message(2, 4, 0),
            "pattern 0:2:4 shares its indices among 0 rows: v must be at least 1"
        );
        assert!(Nm::try_new(31, 32, usize::MAX).is_ok());
        assert!(Nm::try_new(1, 2, 1).is_ok());
    }

    #[test]
    #[should_panic(expected = "pattern 4:4 drops nothing")]
    fn the_panicking_twin_says_the_same() {
        Nm::new(4, 4, 1);
    }

    #[test]
    fn text_and_pattern_are_inverse() {
        for pattern in [
            Nm::ONE_TWO,
            Nm::TWO_FOUR,
            Nm::new(2, 8, 8),
            Nm::new(7, 31, 3),
        ] {
            assert_eq!(pattern.to_string().parse(), Ok(pattern));
        }
        assert_eq!("1:2:4".parse(), Ok(Nm::TWO_FOUR));
        assert_eq!(
            "8:2:4".parse::<Nm>().map(|p| (p.v(), p.n(), p.m())),
            Ok((8, 2, 4))
        );
    }

    #[test]
    fn text_that_is_no_pattern_is_refused() {
        for text in ["", "2", "2:4:8:1", "two:four", "2:-4", "2: 4", ":", "2:4:"] {
            assert_eq!(
                text.parse::<Nm>().unwrap_err().to_string(),
                format!(
                    "cannot read {text:?} as a pattern: write N:M as in 2:4, or V:N:M (V first) as in 8:2:4"
                )
            );
        }
    }
}
