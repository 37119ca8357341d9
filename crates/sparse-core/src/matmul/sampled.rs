//! What the references of products have in common of which only some elements are computed.

use super::{Addend, Sum};
use crate::memory::room_for;
use crate::{Element, Epilogue, MatrixView, OutOfMemory};

/// `sum_t dy[t, row] * x[t, col]`.
pub(crate) fn column_product<Y: Element, X: Element>(
    dy: MatrixView<'_, Y>,
    x: MatrixView<'_, X>,
    [row, col]: [usize; 2],
) -> Sum {
    let mut sum = Sum::default();
    for t in 0..dy.rows() {
        let (dy, x) = (dy.get(t, row).to_f64(), x.get(t, col).to_f64());
        let is_flushed = Y::DTYPE.is_subnormal(dy) || X::DTYPE.is_subnormal(x);
        sum.add(dy * x, is_flushed);
    }
    sum
}

/// `alpha` times a sum, and `beta` times what there was before, where that is given: values of this `shape`, which `what` describes.
pub(crate) fn scaled_and_added<W: Element>(
    alpha: f32,
    beta: f32,
    previous: Option<&[W]>,
    shape: (usize, usize),
    what: impl FnOnce() -> String,
    remedy: &'static str,
) -> Result<Epilogue, OutOfMemory> {
    let mut epilogue = Epilogue::NONE.with_alpha(alpha);
    if let Some(values) = previous {
        let mut c = room_for(values.len(), what, remedy)?;
        c.extend(values.iter().map(|value| value.to_f64()));
        epilogue.addend = Some(Addend {
            beta: f64::from(beta),
            shape,
            c,
            dtype: W::DTYPE,
        });
    }
    Ok(epilogue)
}
