//! What attention over packed sequences is planned and recorded with: ranges of items that can be bound, the list of their tiles.

mod list;
mod plan;
mod record;
pub(crate) mod slices;

#[cfg(test)]
pub(crate) use list::PackedTile;
pub(crate) use list::work_list;
