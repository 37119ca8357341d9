//! One HTML file with everything in it: table, plots, heat maps of block masks. No network, no script. And heat maps as pictures.

mod heatmap;
mod html;
mod plot;
mod roofline;
mod sheet;
mod utc;

pub use heatmap::{HeadMask, MaskMap};
pub use html::{Report, to_html};
pub use sheet::{AttentionMap, HeadMap, PictureError, PictureFormat, draw};
pub use utc::utc_date_time;
