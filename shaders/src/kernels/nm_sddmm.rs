//! `nm_sddmm.wgsl`: a dense product of which only the slots of N:M weights are computed.

use serde::Serialize;

use crate::config_error::{ConfigError, require, require_lanes};
use crate::counting::times;
use crate::kernel::Kernel;
use crate::output::Output;
use crate::storage::Storage;

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
    /// Storage of dy.
    pub dy: Storage,
    /// Tiles of rows start at multiples of four elements of dy.
    pub vector_dy: bool,
    /// Storage of x.
    pub x: Storage,
    /// Rows of x start at multiples of four elements, and sums are of columns side by side.
    pub vector_x: bool,
    /// Storage of the result.
    pub out: Storage,
    /// alpha is not 1.
    pub scaled: bool,
    /// The result is added to what is there, times beta.
    pub accumulate: bool,
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
            width: usize,
            vectors: usize,
            lanes: usize,
            dy: Storage,
            vector_dy: bool,
            x: Storage,
            vector_x: bool,
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
            width: self.width(),
            vectors: self.width() / 4,
            lanes: self.lanes,
            dy: self.dy,
            vector_dy: self.vector_dy,
            x: self.x,
            vector_x: self.vector_x,
            output: Output {
                vectors: self.out == Storage::F32,
                ..Output::of(self.out).scaled_and_added(self.scaled, self.accumulate)
            },
        }
        .serialize(serializer)
    }
}

impl Kernel for NmSddmmKernel {
    fn template(&self) -> &'static str {
        "nm_sddmm.wgsl"
    }

    fn name(&self) -> String {
        let flag = |on: bool, name: &'static str| if on { name } else { "" };
        format!(
            "nm_sddmm_{}:{}:{}_{}-{}x{}x{}_dy-{}{}_x-{}{}_out-{}{}{}",
            self.v,
            self.n,
            self.m,
            self.sums.name(),
            self.rows,
            4_usize.saturating_mul(self.quads),
            self.lanes,
            self.dy.name(),
            flag(!self.vector_dy, "-unaligned"),
            self.x.name(),
            flag(
                !self.vector_x && self.sums == NmSums::Selected,
                "-unaligned"
            ),
            self.out.name(),
            flag(self.scaled, "_alpha"),
            flag(self.accumulate, "_beta"),
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
            !self.vector_dy || whole_fours,
            &name,
            "rows",
            rows,
            "multiples of 4, as of a strip, for vec4 operands",
        )?;
        require(
            selects || !self.vector_x,
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

    const KERNEL: NmSddmmKernel = NmSddmmKernel {
        n: 2,
        m: 4,
        v: 6,
        index_bits: 2,
        sums: NmSums::Listed,
        rows: 4,
        quads: 1,
        lanes: 8,
        dy: Storage::F32,
        vector_dy: false,
        x: Storage::F32,
        vector_x: false,
        out: Storage::F32,
        scaled: false,
        accumulate: false,
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
                vector_dy: true,
                ..KERNEL
            },
            NmSddmmKernel {
                vector_x: true,
                ..KERNEL
            },
        ];
        for kernel in refused {
            assert!(kernel.check().is_err(), "{kernel:?}");
        }
    }
}
