//! One HTML file with everything in it: table, plots, heat maps of block masks. No network, no script.

mod heatmap;
mod html;
mod plot;
mod utc;

pub use heatmap::{HeadMask, MaskMap};
pub use html::{Report, to_html};
pub use utc::utc_date_time;
