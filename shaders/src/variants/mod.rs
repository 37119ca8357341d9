//! One kernel of every kind that the templates can make: what the validation tests and the external compilers go through.

mod attention;
mod ceiling;
mod matmul;
mod matmul_cooperative;
#[cfg(test)]
mod tests;
mod xattention;

use crate::{ExpandError, Kernel, Source, Tile, Words, expand_in};

/// Tiles of processors and of GPUs, with few rows and with many.
const TILES: [Tile; 4] = [
    Tile {
        rows: 1,
        cols: 16,
        lanes: 16,
    },
    Tile {
        rows: 4,
        cols: 8,
        lanes: 8,
    },
    Tile {
        rows: 8,
        cols: 8,
        lanes: 32,
    },
    Tile {
        rows: 16,
        cols: 4,
        lanes: 64,
    },
];

/// Expands every variant in `words`: one of every kind of walk, tile, storage type and epilogue, alone and where they meet in what a template writes; not all
/// that fit together.
///
/// # Errors
/// The first variant that does not expand or that naga refuses.
pub fn expand_all_variants(words: Words) -> Result<Vec<Source>, ExpandError> {
    let mut all = Variants {
        words,
        sources: Vec::new(),
    };
    ceiling::add(&mut all)?;
    matmul::add(&mut all)?;
    matmul_cooperative::add(&mut all)?;
    attention::add(&mut all)?;
    xattention::add(&mut all)?;
    Ok(all.sources)
}

/// The variants expanded so far.
struct Variants {
    words: Words,
    sources: Vec<Source>,
}

impl Variants {
    fn add<K: Kernel>(&mut self, kernel: &K) -> Result<(), ExpandError> {
        match expand_in(kernel, self.words) {
            Ok(source) => self.sources.push(source),
            // Not every combination exists: odd strips have no half-width results, for example.
            Err(ExpandError::Config(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
