//! Binding a part of a buffer: operands above the binding limit are bound window by window.

use std::num::NonZeroU64;
use std::ops::Range;

use crate::{Error, Gpu};

/// A part of a buffer as a kernel sees it, in units of its array's elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    buffer: &'a wgpu::Buffer,
    offset: u64,
    size: u64,
    /// The number of the unit that the window starts with.
    pub(crate) first: u32,
}

impl<'a> Window<'a> {
    /// The window that holds `units` of `unit_bytes` each, of an array that starts at `base` in `buffer`. It starts at or before the
    /// first unit, where the device allows a binding to start.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "plans refuse operands of 2^32 units or more"
    )]
    pub(crate) fn new(
        gpu: &'a Gpu,
        buffer: &'a wgpu::Buffer,
        base: u64,
        unit_bytes: u64,
        units: Range<u64>,
    ) -> Self {
        if units.is_empty() {
            return Self {
                buffer: gpu.empty(),
                offset: 0,
                size: 256,
                first: units.start as u32,
            };
        }
        let alignment = alignment(gpu);
        // A multiple of 16 bytes and of the unit: the window starts with a whole unit.
        let start = (units.start * unit_bytes) / alignment * alignment;
        let end = (units.end * unit_bytes).next_multiple_of(16);
        let end = end.min((buffer.size() - base) / 4 * 4);
        Self {
            buffer,
            offset: base + start,
            size: end - start,
            first: (start / unit_bytes) as u32,
        }
    }

    /// The whole buffer.
    pub(crate) fn whole(buffer: &'a wgpu::Buffer) -> Self {
        Self {
            buffer,
            offset: 0,
            size: buffer.size(),
            first: 0,
        }
    }

    /// The same bytes, whose first unit has another number.
    pub(crate) fn starting_at(self, first: u32) -> Self {
        Self { first, ..self }
    }

    /// What a kernel subtracts from the number of an element of an item to find it in the window, whose units have `unit_elements` each. The item
    /// starts with element `item_base` of the operand: differences of u32 may wrap around.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "check_countable refuses operands of 2^32 elements or more"
    )]
    pub(crate) const fn first_in_item(&self, unit_elements: u64, item_base: u64) -> u32 {
        (self.first as u64 * unit_elements).wrapping_sub(item_base) as u32
    }

    pub(crate) fn binding(&self) -> wgpu::BindingResource<'a> {
        wgpu::BindingResource::Buffer(wgpu::BufferBinding {
            buffer: self.buffer,
            offset: self.offset,
            size: NonZeroU64::new(self.size),
        })
    }
}

/// What the offset of a binding is a multiple of; a power of two.
pub(crate) fn alignment(gpu: &Gpu) -> u64 {
    alignment_of(gpu.limits()).into()
}

/// The same, of a device with these limits.
pub(crate) fn alignment_of(limits: &wgpu::Limits) -> u32 {
    limits.min_storage_buffer_offset_alignment.max(16)
}

/// Rows after which one starts at a multiple of `alignment`, a power of two, again.
pub(crate) fn rows_between_offsets(alignment: u64, row_bytes: u64) -> usize {
    let shared = row_bytes.trailing_zeros().min(alignment.trailing_zeros());
    usize::try_from(alignment >> shared).unwrap_or(usize::MAX)
}

/// The most bytes that the units of one window may have, whatever its alignment.
pub(crate) fn window_bytes(gpu: &Gpu) -> u64 {
    gpu.limits().max_storage_buffer_binding_size.min(1 << 30) - alignment(gpu) - 16
}

/// How many things of `bytes` each one window holds: of those without bytes, any number.
pub(crate) fn fit_in_window(gpu: &Gpu, bytes: u64) -> usize {
    fit_in(window_bytes(gpu), bytes)
}

/// How many things of `bytes` each `limit` bytes hold.
pub(crate) fn fit_in(limit: u64, bytes: u64) -> usize {
    let count = limit.checked_div(bytes).unwrap_or(u64::MAX);
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// The largest of the counts up to `most` that `fits`, 0 where none does. Of whatever fits, fewer have to fit too: it is found by halving.
pub(crate) fn longest_that_fits(most: usize, fits: impl Fn(usize) -> bool) -> usize {
    let (mut longest, mut too_long) = (0, most.saturating_add(1));
    while too_long - longest > 1 {
        let middle = longest + (too_long - longest) / 2;
        if fits(middle) {
            longest = middle;
        } else {
            too_long = middle;
        }
    }
    longest
}

/// What cannot be cut into parts that bindings hold: `what` needs `bytes` at once. `instead` is what a program can do other than to ask for
/// larger bindings.
pub(crate) fn too_large_to_bind(gpu: &Gpu, what: String, bytes: u64, instead: &str) -> Error {
    Error::Unavailable {
        what,
        needs: format!("bindings of {bytes} bytes"),
        has: format!("bindings of {} bytes", window_bytes(gpu)),
        hint: format!(
            "request a larger max_storage_buffer_binding_size in the DeviceDescriptor, or {instead}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn the_longest_that_fits_is_found_by_halving() {
        for most in 0..20 {
            for limit in 0..25 {
                let tried = Cell::new(0);
                let found = longest_that_fits(most, |count| {
                    assert!((1..=most).contains(&count), "{count} of {most}");
                    tried.set(tried.get() + 1);
                    count <= limit
                });
                assert_eq!(found, most.min(limit), "{limit} of {most} fit");
                assert!(tried.get() <= 5, "{} tries for {most}", tried.get());
            }
        }
    }

    #[test]
    fn what_has_no_bytes_fits_in_any_number() {
        assert_eq!(fit_in(100, 0), usize::MAX);
        assert_eq!(fit_in(0, 0), usize::MAX);
        assert_eq!(
            [1, 33, 50, 51, 101].map(|bytes| fit_in(100, bytes)),
            [100, 3, 2, 1, 0]
        );
    }

    #[test]
    fn chunks_start_where_bindings_may() {
        let cases = [
            (0, 1),
            (4, 64),
            (6, 128),
            (100, 64),
            (256, 1),
            (4096, 1),
            (4112, 16),
        ];
        for (row_bytes, rows) in cases {
            assert_eq!(
                rows_between_offsets(256, row_bytes),
                rows,
                "{row_bytes} bytes"
            );
            assert!((rows as u64 * row_bytes).is_multiple_of(256));
        }
    }
}
