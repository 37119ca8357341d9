//! The picture as SVG: one path per colour of a panel.

use std::fmt::Write;

use minijinja::HtmlEscape;

use super::colour::{Colour, PAGE};
use super::{Shape, Sheet, TextStyle};

pub(super) fn write(sheet: &Sheet) -> String {
    let Sheet { width, height, .. } = sheet;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"{}\"/>\n",
        hex(PAGE)
    );
    for shape in &sheet.shapes {
        add(&mut svg, shape);
    }
    svg.push_str("</svg>\n");
    svg
}

fn add(svg: &mut String, shape: &Shape) {
    let written = match shape {
        Shape::Rects { colour, rects } => {
            let mut path = String::new();
            for rect in rects {
                // Text is written to memory: nothing can fail.
                let _ = write!(
                    path,
                    "M{} {}h{}v{}h-{}z",
                    rect.x, rect.y, rect.width, rect.height, rect.width
                );
            }
            writeln!(
                svg,
                "<path shape-rendering=\"crispEdges\" fill=\"{}\" d=\"{path}\"/>",
                hex(*colour)
            )
        }
        Shape::Text { x, y, text, style } => {
            let [character, line] = style.size();
            let weight = match style {
                TextStyle::Title | TextStyle::Strong => " font-weight=\"bold\"",
                _ => "",
            };
            // With the width given, both formats agree whatever font the viewer has.
            writeln!(
                svg,
                "<text x=\"{x}\" y=\"{}\" font-size=\"{}\" textLength=\"{}\" fill=\"{}\"{weight} xml:space=\"preserve\">{}</text>",
                y + line * 4 / 5,
                character * 5 / 3,
                style.width(text),
                hex(style.colour()),
                HtmlEscape(text)
            )
        }
    };
    let _ = written;
}

fn hex([red, green, blue]: Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::super::layout::{sheet, tests::map};
    use super::*;

    #[test]
    fn text_is_escaped_and_every_shape_is_there() {
        let sheet = sheet(&map(2));
        let svg = write(&sheet);
        assert!(svg.contains(">a layer &amp; more</text>") && !svg.contains("layer & more"));
        let count = |part| svg.matches(part).count();
        assert_eq!(count("<path ") + count("<text "), sheet.shapes.len());
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        for head in ["head 0", "head 1"] {
            assert!(svg.contains(head));
        }
    }
}
