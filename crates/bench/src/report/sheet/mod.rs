//! Block scores and mask of every head as one picture, PNG or SVG: the same shapes, drawn twice.

mod colour;
mod layout;
mod legend;
mod png;
mod svg;
mod tile;

use std::path::Path;

pub use layout::{AttentionMap, HeadMap};

use colour::Colour;

/// How a picture is stored, as the ending of its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureFormat {
    /// Pixels.
    Png,
    /// Shapes and text.
    Svg,
}

impl PictureFormat {
    /// By the ending of `path`, in any case; nothing where it is another one.
    pub fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?;
        if ending.eq_ignore_ascii_case("png") {
            Some(Self::Png)
        } else if ending.eq_ignore_ascii_case("svg") {
            Some(Self::Svg)
        } else {
            None
        }
    }
}

/// Pictures that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The encoder refuses.
    #[error("cannot encode a picture of {width} x {height} pixels: {reason}")]
    Png {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
        /// The encoder's reason.
        reason: ::png::EncodingError,
    },
}

/// The picture as the bytes of a file.
///
/// # Errors
/// [`PictureError`], where the PNG encoder fails.
pub fn draw(map: &AttentionMap, format: PictureFormat) -> Result<Vec<u8>, PictureError> {
    let sheet = layout::sheet(map);
    match format {
        PictureFormat::Png => png::encode(&sheet),
        PictureFormat::Svg => Ok(svg::write(&sheet).into_bytes()),
    }
}

/// Shapes on a white page, in pixels from the upper left corner.
#[derive(Clone, Debug, PartialEq)]
struct Sheet {
    width: u32,
    height: u32,
    shapes: Vec<Shape>,
}

#[derive(Clone, Debug, PartialEq)]
enum Shape {
    /// Rectangles of one colour.
    Rects { colour: Colour, rects: Vec<Rect> },
    /// A line of ASCII text; `y` is its upper edge.
    Text {
        x: u32,
        y: u32,
        text: String,
        style: TextStyle,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rect {
    x: u32,
    y: u32,
    width: u32,
    height: u32,
}

/// All text is monospaced, so that both formats agree on its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextStyle {
    Title,
    Strong,
    Plain,
    Soft,
}

impl TextStyle {
    /// Width of a character and height of a line.
    const fn size(self) -> [u32; 2] {
        match self {
            Self::Title => [10, 20],
            Self::Strong | Self::Plain | Self::Soft => [9, 15],
        }
    }

    fn width(self, text: &str) -> u32 {
        let characters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        characters.saturating_mul(self.size()[0])
    }

    const fn colour(self) -> Colour {
        match self {
            Self::Soft => colour::SOFT,
            _ => colour::INK,
        }
    }
}
