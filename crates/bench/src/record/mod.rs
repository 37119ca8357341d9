//! One record per measured row, the same in JSON, CSV, table and report.

mod csv;
mod milliseconds;
mod row;
mod shape;
mod table;

pub use self::csv::to_csv;
pub(crate) use milliseconds::milliseconds;
pub use row::{Peer, Record, Timing, timings, to_json};
pub use shape::Shape;
pub use table::to_table;
