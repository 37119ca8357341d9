//! Which kernel and tile a plan takes.

use sparse_shaders::{NmSddmmKernel, NmSums};

use super::NmSddmm;
use crate::AdapterClass;
use crate::error::storage;

impl NmSddmm {
    /// The kernel for adapters of `class`, whose tiles have no more than `most_rows` rows.
    pub(crate) fn kernel(&self, class: AdapterClass, most_rows: usize) -> NmSddmmKernel {
        let (n, m) = (self.pattern.n(), self.pattern.m());
        // More rows than there are share nothing.
        let v = self.pattern.v().min(self.n_out.max(1));
        let software = class.is_software();
        let (sums, rows, quads) = choose((v, n, m), software);
        let rows = match sums {
            NmSums::Listed => tile_rows(v, rows),
            NmSums::Selected => rows.min(self.n_out.max(1)),
        };
        let rows = rows.min(most_rows);
        // Of a strip that is no multiple of four no tile but the first starts at a whole vector, and fewer rows would take more tiles.
        let rows = match sums {
            NmSums::Listed if !v.is_multiple_of(4) => rows,
            _ => in_fours(rows),
        };
        let starts_in_fours = rows.is_multiple_of(4) && self.n_out.is_multiple_of(4);
        NmSddmmKernel {
            n,
            m,
            v,
            index_bits: self.pattern.index_bits(),
            sums,
            rows,
            quads,
            lanes: if software { 8 } else { 64 },
            dy: storage(self.types.y),
            vector_dy: starts_in_fours && (sums == NmSums::Selected || v.is_multiple_of(4)),
            x: storage(self.types.x),
            vector_x: sums == NmSums::Selected && self.k_in.is_multiple_of(4),
            out: storage(self.types.w),
            scaled: self.alpha != 1.0,
            accumulate: self.beta != 0.0,
        }
    }
}

/// Sums, most rows of a tile, and quads of slots of an invocation.
///
/// On processors a load from places that differ by lane is what a product costs, and the rows of a strip share those of x: with too few of them, sums of
/// all columns are cheaper, two of which one load brings. Sixteen rows by eight slots, or by the eight columns of four slots, is the most that is worth its
/// registers there.
fn choose((v, n, m): (usize, usize, usize), software: bool) -> (NmSums, usize, usize) {
    let few = if software { v * m <= 6 * n } else { v < 4 };
    match NmSums::columns_of_a_quad(n, m) {
        Some(columns) if few && software && columns > 8 => (NmSums::Selected, 8, 1),
        Some(_) if few => (NmSums::Selected, if software { 16 } else { 4 }, 1),
        _ if software => (NmSums::Listed, 16, 2),
        _ => (NmSums::Listed, 4, 1),
    }
}

/// Rows of a tile of at most `most`, so that those of a strip are alike, and in fours where the strip is.
fn tile_rows(v: usize, most: usize) -> usize {
    let alike = v.div_ceil(v.div_ceil(most));
    if v.is_multiple_of(4) {
        alike.next_multiple_of(4).min(most)
    } else {
        alike
    }
}

/// So many rows, or a few less that are whole vectors.
fn in_fours(rows: usize) -> usize {
    if rows > 4 { rows / 4 * 4 } else { rows }
}

#[cfg(test)]
mod tests {
    use sparse_core::Nm;

    use super::*;

    fn tile(
        shape: [usize; 2],
        pattern: &str,
        class: AdapterClass,
        most_rows: usize,
    ) -> (NmSums, usize, usize) {
        let pattern: Nm = pattern.parse().unwrap();
        let kernel = NmSddmm::new(9, shape[0], shape[1], pattern).kernel(class, most_rows);
        sparse_shaders::Kernel::check(&kernel).unwrap();
        (kernel.sums, kernel.rows, kernel.quads)
    }

    #[test]
    fn rows_that_share_too_little_select() {
        use AdapterClass::{Nvidia, Software};
        use NmSums::{Listed, Selected};
        let of = |pattern, class| tile([64, 64], pattern, class, 1000);
        assert_eq!(of("2:4", Software), (Selected, 16, 1));
        assert_eq!(of("1:4", Software), (Selected, 8, 1));
        assert_eq!(of("2:2:8", Software), (Listed, 2, 2));
        assert_eq!(of("2:5", Software), (Listed, 1, 2));
        assert_eq!(of("8:2:4", Software), (Listed, 8, 2));
        assert_eq!(of("20:2:4", Software), (Listed, 12, 2));
        assert_eq!(of("18:2:4", Software), (Listed, 9, 2));
        assert_eq!(of("13:2:8", Software), (Listed, 13, 2));
        assert_eq!(of("3:2:4", Nvidia), (Selected, 4, 1));
        assert_eq!(of("4:2:4", Nvidia), (Listed, 4, 1));
    }

    #[test]
    fn a_tile_has_no_more_rows_than_there_are_or_fit() {
        let of = |shape, pattern, most| tile(shape, pattern, AdapterClass::Software, most).1;
        assert_eq!(of([0, 64], "2:4", 1000), 1);
        assert_eq!(of([3, 64], "2:4", 1000), 3);
        assert_eq!(of([6, 64], "100:2:4", 1000), 6);
        assert_eq!(of([64, 64], "2:4", 9), 8);
        assert_eq!(of([64, 64], "16:2:4", 3), 3);
        assert_eq!(of([64, 64], "16:2:4", 1), 1);
    }
}
