//! Lines of text and coloured areas on a page of A4. Lengths are in points.

use super::fonts::{Fonts, Weight};
use krilla::Document;
use krilla::color::rgb;
use krilla::geom::{PathBuilder, Point, Rect};
use krilla::num::NormalizedF32;
use krilla::page::{Page, PageSettings};
use krilla::paint::{Fill, FillRule};
use krilla::surface::Surface;
use krilla::text::TextDirection;

const WIDTH: f32 = 595.0;
const HEIGHT: f32 = 842.0;

/// Look of a text.
#[derive(Clone, Copy)]
pub(crate) struct Style {
    pub(crate) size: f32,
    pub(crate) weight: Weight,
    pub(crate) colour: rgb::Color,
}

/// Begins a page.
///
/// # Errors
/// If it has no size, which a page of A4 has.
pub(crate) fn page_of(document: &mut Document) -> Result<Page<'_>, String> {
    let size = PageSettings::from_wh(WIDTH, HEIGHT).ok_or("the page has no size")?;
    Ok(document.start_page_with(size))
}

/// Draws a text on one line.
pub(crate) fn draw_line(
    surface: &mut Surface,
    fonts: &Fonts,
    (x, y): (f32, f32),
    style: Style,
    text: &str,
) {
    surface.set_fill(Some(of_colour(style.colour)));
    let mut x = x;
    for run in fonts.runs(text, style.weight) {
        let direction = match run.is_right_to_left {
            true => TextDirection::RightToLeft,
            false => TextDirection::LeftToRight,
        };
        let (start, font) = (Point::from_xy(x, y), run.font.clone());
        surface.draw_text(start, font, style.size, run.text, false, direction);
        x += run.width * style.size;
    }
}

/// Fills rectangles of (left, top, width, height).
pub(crate) fn fill(
    surface: &mut Surface,
    colour: rgb::Color,
    areas: impl Iterator<Item = (f32, f32, f32, f32)>,
) {
    let mut path = PathBuilder::new();
    let areas = areas.filter_map(|(x, y, width, height)| Rect::from_xywh(x, y, width, height));
    areas.for_each(|area| path.push_rect(area));
    if let Some(path) = path.finish() {
        surface.set_fill(Some(of_colour(colour)));
        surface.draw_path(&path);
    }
}

fn of_colour(colour: rgb::Color) -> Fill {
    Fill {
        paint: colour.into(),
        opacity: NormalizedF32::ONE,
        rule: FillRule::NonZero,
    }
}
