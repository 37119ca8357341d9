//! One record per measured row, the same in JSON, CSV, table and report.

mod csv;
mod json;
mod row;
mod table;

pub use self::csv::to_csv;
pub use json::{Run, to_json};
pub use row::{Peer, Record, timing_words, timings};
pub use table::to_table;
