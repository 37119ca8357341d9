//! Which kernel and tile a plan takes.

use sparse_shaders::{NmSddmmKernel, NmSums, SampledDy, SampledReads, SampledX};

use super::NmSddmm;
use crate::AdapterClass;
use crate::error::storage;
use crate::sddmm::SampledTile;

impl NmSddmm {
    /// The kernel for adapters of `class`, whose tiles have no more than `most_rows` rows; `packs` where x is packed.
    pub(crate) fn kernel(
        &self,
        class: AdapterClass,
        packs: bool,
        most_rows: usize,
    ) -> NmSddmmKernel {
        let (n, m) = (self.pattern.n(), self.pattern.m());
        // More rows than there are share nothing.
        let v = self.pattern.v().min(self.n_out.max(1));
        let slots = self.row_stride();
        let (sums, tile) = match selected_columns((v, n, m), class) {
            Some(of_a_quad) => {
                let tile = SampledTile::of_rows(of_a_quad, slots, class);
                (NmSums::Selected, tile)
            }
            None => (NmSums::Listed, SampledTile::of_strips(v, slots, class)),
        };
        let rows = tile.rows.min(self.n_out.max(1)).min(most_rows);
        // Of a strip that is no multiple of four no tile but the first starts at a whole vector, and fewer rows would take more tiles.
        let rows = match sums {
            NmSums::Listed if !v.is_multiple_of(4) => rows,
            _ => in_fours(rows),
        };
        let starts_in_fours = rows.is_multiple_of(4) && self.n_out.is_multiple_of(4);
        let in_quads = sums == NmSums::Selected && self.k_in.is_multiple_of(4);
        NmSddmmKernel {
            n,
            m,
            v,
            index_bits: self.pattern.index_bits(),
            sums,
            rows,
            quads: tile.quads,
            lanes: tile.lanes,
            dy: SampledDy {
                storage: storage(self.types.y),
                vectors: starts_in_fours && (sums == NmSums::Selected || v.is_multiple_of(4)),
            },
            x: SampledX {
                storage: storage(self.types.x),
                reads: SampledReads::of(packs, in_quads),
            },
            result: self.sampled().result(),
        }
    }
}

/// The columns that four slots are chosen from, where sums are of all of them and selected from in the end: where too few rows share a pattern.
///
/// On processors a load from places that differ by lane is what a product costs, and the rows of a strip share those of x. Measured on lavapipe with AVX-512, by
/// turns: sums of all columns at 2:2:4 have 1.5 times the speed of a list, at 3:2:4 1.2 times, at 4:2:4 0.9 (`docs/tuning/products.md`).
fn selected_columns((v, n, m): (usize, usize, usize), class: AdapterClass) -> Option<usize> {
    let few = if class.is_software() {
        v * m <= 6 * n
    } else {
        v < 4
    };
    NmSums::columns_of_a_quad(n, m).filter(|_| few)
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
        let kernel = NmSddmm::new(9, shape[0], shape[1], pattern).kernel(
            class,
            class.is_software(),
            most_rows,
        );
        sparse_shaders::Kernel::check(&kernel).unwrap();
        (kernel.sums, kernel.rows, kernel.quads)
    }

    #[test]
    fn rows_that_share_too_little_select() {
        use AdapterClass::{Nvidia, Software, SoftwareAvx512};
        use NmSums::{Listed, Selected};
        for (pattern, class, chosen) in [
            ("2:4", Software, (Selected, 16, 1)),
            ("2:4", SoftwareAvx512, (Selected, 16, 2)),
            ("1:4", Software, (Selected, 8, 1)),
            ("1:4", SoftwareAvx512, (Selected, 16, 1)),
            ("2:2:8", Software, (Listed, 2, 2)),
            ("2:2:8", SoftwareAvx512, (Listed, 2, 4)),
            ("2:5", Software, (Listed, 1, 3)),
            ("8:2:4", Software, (Listed, 8, 2)),
            ("20:2:4", Software, (Listed, 12, 1)),
            ("18:2:4", SoftwareAvx512, (Listed, 9, 4)),
            ("13:2:8", Software, (Listed, 13, 1)),
            ("3:2:4", Nvidia, (Selected, 8, 1)),
            ("4:2:4", Nvidia, (Listed, 4, 4)),
        ] {
            let tile = tile([64, 1024], pattern, class, 1000);
            assert_eq!(tile, chosen, "{pattern} {class:?}");
        }
        // Three quads of eight lanes, by which 96 and 192 slots are divided.
        for (k_in, pattern) in [(768, "8:2:16"), (768, "32:2:8"), (760, "8:2:8")] {
            let quads = tile([64, k_in], pattern, SoftwareAvx512, 1000).2;
            assert_eq!(quads, 3, "{pattern} of {k_in}");
        }
        // Fewer columns than there are for them.
        assert_eq!(tile([64, 64], "2:2:8", Software, 1000), (Listed, 2, 1));
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
