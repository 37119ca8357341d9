//! The table of a chip: made, written, read, compared.

mod compare;
mod csv_file;
mod row;

pub use compare::{Difference, compare};
pub use csv_file::{may_replace, read, write};
pub use row::Row;

/// A chip's table, and what made it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Adapter.
    pub chip: String,
    /// Name and version of the driver.
    pub driver: String,
    /// A row for each kernel and hot loop.
    pub rows: Vec<Row>,
}
