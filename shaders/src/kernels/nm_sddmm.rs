//! `nm_sddmm.wgsl`: a dense product of which only the slots of N:M weights are computed.

use serde::Serialize;

use crate::config_error::{ConfigError, require, require_lanes};
use crate::counting::times;
use crate::kernel::Kernel;
use crate::output::Output;
use crate::sampled::{SampledDy, SampledReads, SampledResult, SampledX};

/// `out = alpha * dy^T x + beta * out` at the slots of N:M weights; see `nm_sddmm.wgsl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NmSddmmKernel {
    /// Kept columns of a group.
    pub n: usize,
    /// Columns of a group.
    pub m: usize,
    /// Rows that share one pattern.
    pub v: usize,
    /// Bits of a packed index.
    pub index_bits: u32,
    /// Which sums a row of the tile has.
    pub sums: NmSums,
    /// Rows that an invocation computes.
    pub rows: usize,
    /// Quads of slots that an invocation computes of each row.
    pub quads: usize,
    /// Invocations of a workgroup: a power of two, at most 256.
    pub lanes: usize,
    /// dy.
    pub dy: SampledDy,
    /// x. Four neighbours are read at once only where sums are selected from.
    pub x: SampledX,
    /// The result.
    pub result: SampledResult,
}

/// Which sums an invocation of [`NmSddmmKernel`] has of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NmSums {
    /// Of its slots, whose columns it gathers: a tile is of one strip.
    Listed,
    /// Of all columns that its slots are chosen from, of which each row takes its own in the end: a tile is of any rows. For patterns of which
    /// [`NmSums::columns_of_a_quad`] knows the columns.
    Selected,
}

impl NmSums {
    const MOST_COLUMNS: usize = 16;

    /// Columns that four slots are chosen from, where they are whole vectors of at most sixteen columns.
    pub const fn columns_of_a_quad(n: usize, m: usize) -> Option<usize> {
        match n {
            1 | 2 | 4 if m.is_multiple_of(n) && m / n <= Self::MOST_COLUMNS / 4 => Some(4 / n * m),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Selected => "selected",
        }
    }
}

impl NmSddmmKernel {
    /// Tiles of rows that `rows` rows are cut into.
    pub const fn tiles(&self, rows: usize) -> usize {
        match self.sums {
            NmSums::Listed => {
                let strips = times(rows, self.v);
                let rest = rows.saturating_sub(strips.saturating_sub(1).saturating_mul(self.v));
                strips
                    .saturating_sub(1)
                    .saturating_mul(self.row_tiles())
                    .saturating_add(times(rest, self.rows))
            }
            NmSums::Selected => times(rows, self.rows),
        }
    }

    /// The row that a tile starts with, where there are no more than `rows`.
    pub const fn first_row(&self, tile: usize, rows: usize) -> usize {
        let first = match self.sums {
            NmSums::Listed => {
                let tiles = self.row_tiles();
                (tile / tiles)
                    .saturating_mul(self.v)
                    .saturating_add((tile % tiles).saturating_mul(self.rows))
            }
            NmSums::Selected => tile.saturating_mul(self.rows),
        };
        if first < rows { first } else { rows }
    }

    /// Slots of a row that a workgroup computes.
    pub const fn slots(&self) -> usize {
        self.lanes.saturating_mul(self.quads).saturating_mul(4)
    }

    /// Sums that an invocation keeps.
    pub const fn sums_per_lane(&self) -> usize {
        self.rows.saturating_mul(self.width())
    }

    /// Tiles of a strip.
    const fn row_tiles(&self) -> usize {
        times(self.v, self.rows)
    }

    /// Columns that an invocation sums over.
    const fn width(&self) -> usize {
        let of_a_quad = match (self.sums, NmSums::columns_of_a_quad(self.n, self.m)) {
            (NmSums::Selected, Some(columns)) => columns,
            _ => 4,
        };
        of_a_quad.saturating_mul(self.quads)
    }
}

impl Serialize for NmSddmmKernel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Variables {
            n: usize,
            m: usize,
            v: usize,
            index_bits: u32,
            selected: bool,
            rows: usize,
            row_tiles: usize,
            quads: usize,
            vectors: usize,
            lanes: usize,
            dy: SampledDy,
            x: SampledX,
            output: Output,
        }
        Variables {
            n: self.n,
            m: self.m,
            v: self.v,
            index_bits: self.index_bits,
            selected: self.sums == NmSums::Selected,
            rows: self.rows,
            row_tiles: self.row_tiles(),
            quads: self.quads,
            vectors: self.width() / 4,
            lanes: self.lanes,
            dy: self.dy,
            x: self.x,
            output: self.result.output(),
        }
        .serialize(serializer)
    }
}

impl Kernel for NmSddmmKernel {
    fn template(&self) -> &'static str {
        "nm_sddmm.wgsl"
    }

    fn name(&self) -> String {
        format!(
            "nm_sddmm_{}:{}:{}_{}-{}x{}x{}_{}_{}_{}",
            self.v,
            self.n,
            self.m,
            self.sums.name(),
            self.rows,
            4_usize.saturating_mul(self.quads),
            self.lanes,
            self.dy.label(),
            self.x.label(self.sums == NmSums::Listed),
            self.result.label(),
        )
    }

    fn check(&self) -> Result<(), ConfigError> {
        let name = || self.name();
        let Self {
            n,
            m,
            v,
            rows,
            quads,
            ..
        } = *self;
        require(
            0 < n && n < m && m <= 32,
            &name,
            "kept columns",
            n,
            "at least 1 and below M, which is at most 32",
        )?;
        let bits = 1_usize.checked_shl(self.index_bits).unwrap_or(0);
        require(
            matches!(self.index_bits, 1 | 2 | 4 | 8) && m <= bits,
            &name,
            "bits of an index",
            self.index_bits as usize,
            "1, 2, 4 or 8, and enough for M",
        )?;
        require(
            0 < v && u32::try_from(v).is_ok(),
            &name,
            "rows of a strip",
            v,
            "1 to 2^32 - 1",
        )?;
        let of_a_quad = NmSums::columns_of_a_quad(n, m);
        let selects = self.sums == NmSums::Selected;
        require(
            !selects || of_a_quad.is_some(),
            &name,
            "kept columns",
            n,
            "1, 2 or 4 of 2, 3 or 4 times as many, for sums that are selected from",
        )?;
        require(
            (1..=16).contains(&rows) && (selects || rows <= v),
            &name,
            "rows",
            rows,
            "1 to 16, of one strip where slots are listed",
        )?;
        require((1..=4).contains(&quads), &name, "quads", quads, "1 to 4")?;
        require_lanes(&name, "lanes", self.lanes)?;
        let whole_fours = rows.is_multiple_of(4) && (selects || v.is_multiple_of(4));
        require(
            !self.dy.vectors || whole_fours,
            &name,
            "rows",
            rows,
            "multiples of 4, as of a strip, for vec4 operands",
        )?;
        require(
            selects || self.x.reads != SampledReads::Quads,
            &name,
            "columns of x read at once",
            4,
            "1 where slots are listed",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Storage;

    const DY: SampledDy = SampledDy {
        storage: Storage::F32,
        vectors: false,
    };
    const X: SampledX = SampledX {
        storage: Storage::F32,
        reads: SampledReads::Packed,
    };
    const KERNEL: NmSddmmKernel = NmSddmmKernel {
        n: 2,
        m: 4,
        v: 6,
        index_bits: 2,
        sums: NmSums::Listed,
        rows: 4,
        quads: 1,
        lanes: 8,
        dy: DY,
        x: X,
        result: SampledResult::sums(false),
    };

    #[test]
    fn tiles_of_listed_slots_lie_within_a_strip() {
        let first_rows = |kernel: &NmSddmmKernel, rows| {
            let tiles = 0..=kernel.tiles(rows);
            tiles.map(|tile| kernel.first_row(tile, rows)).collect()
        };
        let tiles: Vec<usize> = first_rows(&KERNEL, 15);
        assert_eq!(tiles, [0, 4, 6, 10, 12, 15]);
        let tiles: Vec<usize> = first_rows(&KERNEL, 17);
        assert_eq!(tiles, [0, 4, 6, 10, 12, 16, 17]);
        let selected = NmSddmmKernel {
            sums: NmSums::Selected,
            ..KERNEL
        };
        let tiles: Vec<usize> = first_rows(&selected, 15);
        assert_eq!(tiles, [0, 4, 8, 12, 15]);
        assert_eq!((KERNEL.tiles(0), selected.tiles(0)), (0, 0));
    }

    #[test]
    fn selected_sums_are_of_whole_vectors() {
        let columns = |n, m| NmSums::columns_of_a_quad(n, m);
        assert_eq!(
            [(1, 2), (1, 3), (1, 4), (2, 4), (2, 8), (4, 8), (4, 16)].map(|(n, m)| columns(n, m)),
            [8, 12, 16, 8, 16, 8, 16].map(Some)
        );
        assert_eq!(
            [(2, 5), (3, 6), (1, 5), (8, 16), (0, 4)].map(|(n, m)| columns(n, m)),
            [None; 5]
        );
    }

    #[test]
    fn what_the_template_cannot_be_expanded_with_is_refused() {
        assert!(KERNEL.check().is_ok());
        let refused = [
            NmSddmmKernel { n: 4, ..KERNEL },
            NmSddmmKernel { m: 33, ..KERNEL },
            NmSddmmKernel {
                index_bits: 1,
                ..KERNEL
            },
            NmSddmmKernel { v: 0, ..KERNEL },
            NmSddmmKernel {
                n: 3,
                sums: NmSums::Selected,
                ..KERNEL
            },
            NmSddmmKernel { rows: 7, ..KERNEL },
            NmSddmmKernel { rows: 0, ..KERNEL },
            NmSddmmKernel { quads: 0, ..KERNEL },
            NmSddmmKernel { lanes: 6, ..KERNEL },
            NmSddmmKernel {
                dy: SampledDy {
                    vectors: true,
                    ..DY
                },
                ..KERNEL
            },
            NmSddmmKernel {
                x: SampledX {
                    reads: SampledReads::Quads,
                    ..X
                },
                ..KERNEL
            },
        ];
        for kernel in refused {
            assert!(kernel.check().is_err(), "{kernel:?}");
        }
    }
}
