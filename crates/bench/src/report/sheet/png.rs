//! The picture as PNG: shapes and a bitmap font drawn into pixels.

use std::convert::Infallible;

use embedded_graphics::mono_font::ascii::{FONT_9X15, FONT_9X15_BOLD, FONT_10X20};
use embedded_graphics::mono_font::{MonoFont, MonoTextStyle};
use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::{DrawTarget, Drawable, OriginDimensions, Pixel, Point, Size};
use embedded_graphics::text::{Baseline, Text};

use super::colour::{Colour, PAGE};
use super::{PictureError, Rect, Shape, Sheet, TextStyle};

/// Pixels row by row, three bytes each.
struct Canvas {
    width: u32,
    height: u32,
    bytes: Vec<u8>,
}

pub(super) fn encode(sheet: &Sheet) -> Result<Vec<u8>, PictureError> {
    let (width, height) = (sheet.width, sheet.height);
    let canvas = Canvas::of(sheet);
    let mut file = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut file, width, height);
    encoder.set_color(::png::ColorType::Rgb);
    encoder.set_depth(::png::BitDepth::Eight);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(&canvas.bytes))
        .map_err(|reason| PictureError::Png {
            width,
            height,
            reason,
        })?;
    Ok(file)
}

impl Canvas {
    fn of(sheet: &Sheet) -> Self {
        let pixels = sheet.width as usize * sheet.height as usize;
        let mut canvas = Self {
            width: sheet.width,
            height: sheet.height,
            bytes: PAGE.repeat(pixels),
        };
        for shape in &sheet.shapes {
            match shape {
                Shape::Rects { colour, rects } => {
                    for rect in rects {
                        canvas.fill(*rect, *colour);
                    }
                }
                Shape::Text { x, y, text, style } => canvas.write([*x, *y], text, *style),
            }
        }
        canvas
    }

    fn fill(&mut self, rect: Rect, colour: Colour) {
        let right = (rect.x + rect.width).min(self.width);
        for y in rect.y..(rect.y + rect.height).min(self.height) {
            for x in rect.x..right {
                self.set(x, y, colour);
            }
        }
    }

    /// Pixels outside of the page are left out.
    fn set(&mut self, x: u32, y: u32, colour: Colour) {
        if x < self.width && y < self.height {
            let at = 3 * (y as usize * self.width as usize + x as usize);
            self.bytes[at..at + 3].copy_from_slice(&colour);
        }
    }

    fn write(&mut self, [x, y]: [u32; 2], text: &str, style: TextStyle) {
        let [red, green, blue] = style.colour();
        let character = MonoTextStyle::new(font(style), Rgb888::new(red, green, blue));
        let point = Point::new(
            i32::try_from(x).unwrap_or(i32::MAX),
            i32::try_from(y).unwrap_or(i32::MAX),
        );
        let Ok(_) = Text::with_baseline(text, point, character, Baseline::Top).draw(self);
    }
}

const fn font(style: TextStyle) -> &'static MonoFont<'static> {
    match style {
        TextStyle::Title => &FONT_10X20,
        TextStyle::Strong => &FONT_9X15_BOLD,
        TextStyle::Plain | TextStyle::Soft => &FONT_9X15,
    }
}

impl OriginDimensions for Canvas {
    fn size(&self) -> Size {
        Size::new(self.width, self.height)
    }
}

impl DrawTarget for Canvas {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I>(&mut self, pixels: I) -> Result<(), Infallible>
    where
        I: IntoIterator<Item = Pixel<Rgb888>>,
    {
        use embedded_graphics::prelude::RgbColor;
        for Pixel(point, colour) in pixels {
            if let (Ok(x), Ok(y)) = (u32::try_from(point.x), u32::try_from(point.y)) {
                self.set(x, y, [colour.r(), colour.g(), colour.b()]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::colour::{INK, KEPT};
    use super::super::layout::{sheet, tests::map};
    use super::*;

    #[test]
    fn the_file_holds_the_pixels_that_were_drawn() {
        let sheet = sheet(&map(2));
        let file = encode(&sheet).unwrap();
        let decoder = ::png::Decoder::new(std::io::Cursor::new(&file[..]));
        let mut reader = decoder.read_info().unwrap();
        let info = reader.info();
        assert_eq!([info.width, info.height], [sheet.width, sheet.height]);
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let count = |colour: Colour| pixels.chunks(3).filter(|pixel| **pixel == colour).count();
        // 64 pixels of each selected block, and the sample of the legend.
        let selected = |head: usize| {
            let mask = &map(2).heads[head].mask;
            mask.selected.iter().filter(|&&set| set).count()
        };
        assert_eq!(count(KEPT), 64 * (selected(0) + selected(1)) + 14 * 14);
        assert!(count(INK) > 500, "text has pixels");
    }

    #[test]
    fn characters_have_the_width_that_the_layout_counts_with() {
        for style in [
            TextStyle::Title,
            TextStyle::Strong,
            TextStyle::Plain,
            TextStyle::Soft,
        ] {
            let Size { width, height } = font(style).character_size;
            assert_eq!([width, height], style.size());
            assert_eq!(font(style).character_spacing, 0);
        }
    }

    #[test]
    fn what_lies_outside_of_the_page_is_left_out() {
        let sheet = Sheet {
            width: 8,
            height: 8,
            shapes: vec![
                Shape::Text {
                    x: 4,
                    y: 4,
                    text: "wide".into(),
                    style: TextStyle::Title,
                },
                Shape::Rects {
                    colour: KEPT,
                    rects: vec![Rect {
                        x: 6,
                        y: 6,
                        width: 9,
                        height: 9,
                    }],
                },
            ],
        };
        let canvas = Canvas::of(&sheet);
        assert_eq!(canvas.bytes.chunks(3).filter(|p| **p == KEPT).count(), 4);
    }
}
