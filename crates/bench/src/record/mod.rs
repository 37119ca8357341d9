//! One record per measured row, the same in JSON, CSV, table and report.

mod csv;
mod row;
mod table;

pub use self::csv::to_csv;
pub use row::{Peer, Record, Shape, Timing, timings, to_json};
pub(crate) use table::milliseconds;
pub use table::to_table;
