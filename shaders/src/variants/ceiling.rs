//! The yardsticks of the bench.

use super::Variants;
use crate::{ExpandError, FmaCeilingKernel, ReadCeilingKernel, ReadOrder};

pub(super) fn add(all: &mut Variants) -> Result<(), ExpandError> {
    for flag in [false, true] {
        for chains in [1, 4, 8] {
            all.add(&FmaCeilingKernel {
                chains,
                fused: flag,
                rounds: 16,
                steps: 4,
            })?;
        }
        for order in ReadOrder::ALL {
            all.add(&ReadCeilingKernel::new(flag, order, 16, 4))?;
        }
    }
    Ok(())
}
