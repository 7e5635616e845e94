//! Fonts of PDFs, and text that is cut into runs of one font and one direction.

use krilla::text::Font;
use rustybuzz::{Direction, Face, UnicodeBuffer};
use shared::plain_text::one_line;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use unicode_bidi::BidiInfo;

/// Weight of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    Regular,
    Bold,
}

/// A font, for drawing and for measuring.
struct PdfFont {
    font: Font,
    face: Face<'static>,
}

impl PdfFont {
    fn read(data: &'static [u8]) -> Option<PdfFont> {
        Some(PdfFont {
            font: Font::new(data.into(), 0)?,
            face: Face::from_slice(data, 0)?,
        })
    }

    fn has(&self, letter: char) -> bool {
        self.face.glyph_index(letter).is_some()
    }
}

/// Fonts in the order in which they are asked for a letter: DejaVu Sans, which is built in and has
/// the alphabets of Europe, Arabic, Hebrew and more, then those that the operator added. Only the
/// letters that are used are embedded.
pub(crate) struct Fonts {
    regular: Vec<PdfFont>,
    bold: Vec<PdfFont>,
    /// Whether the operator was told that letters are missing.
    has_warned: AtomicBool,
}

/// A part of a text in one font and one direction.
pub(super) struct TextRun<'a> {
    pub(super) text: &'a str,
    pub(super) font: &'a Font,
    pub(super) is_right_to_left: bool,
    /// Width at size 1.
    pub(super) width: f32,
}

impl Fonts {
    /// Reads the built-in fonts and the font files at these paths, separated by commas.
    ///
    /// # Errors
    /// A sentence for the operator that names the file.
    pub(crate) fn read(paths: Option<&str>) -> Result<Fonts, String> {
        let built_in = |data| PdfFont::read(data).ok_or("the built-in font cannot be read");
        let mut fonts = Fonts {
            regular: vec![built_in(dejavu::sans::regular())?],
            bold: vec![built_in(dejavu::sans::bold())?],
            has_warned: AtomicBool::new(false),
        };
        let paths = paths.unwrap_or_default().split(',').map(str::trim);
        for path in paths.filter(|path| !path.is_empty()) {
            let data = std::fs::read(Path::new(path));
            let data = data.map_err(|error| format!("{path}: {error}"))?;
            // Fonts are kept as long as the process.
            let data: &'static [u8] = Vec::leak(data);
            let read = || PdfFont::read(data);
            let both = read().zip(read());
            let (regular, bold) =
                both.ok_or_else(|| format!("{path}: not a TrueType or OpenType font"))?;
            fonts.regular.push(regular);
            fonts.bold.push(bold);
        }
        Ok(fonts)
    }

    fn of(&self, weight: Weight) -> &[PdfFont] {
        match weight {
            Weight::Regular => &self.regular,
            Weight::Bold => &self.bold,
        }
    }

    /// Returns whether each letter of a text is in one of the fonts. The operator is told once if
    /// not.
    pub(crate) fn have_all(&self, text: &str) -> bool {
        let fonts = self.of(Weight::Regular);
        let is_known = |letter| needs_no_glyph(letter) || fonts.iter().any(|one| one.has(letter));
        let are_known = one_line(text).chars().all(is_known);
        if !are_known && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!("a PDF lacks letters that no font has: add fonts by FAIRLINE_PDF_FONTS");
        }
        are_known
    }

    /// Cuts a text of one line into runs, from left to right.
    pub(super) fn runs<'a>(&'a self, text: &'a str, weight: Weight) -> Vec<TextRun<'a>> {
        let order = BidiInfo::new(text, None);
        let Some(line) = order.paragraphs.first() else {
            return Vec::new();
        };
        let (levels, directed) = order.visual_runs(line, line.range.clone());
        let fonts = self.of(weight);
        let mut runs = Vec::new();
        for range in directed {
            let is_right_to_left = levels[range.start].is_rtl();
            let mut parts: Vec<TextRun> = by_font(text, range, fonts)
                .into_iter()
                .map(|(range, font)| run(&text[range], &fonts[font], is_right_to_left))
                .collect();
            if is_right_to_left {
                parts.reverse();
            }
            runs.append(&mut parts);
        }
        runs
    }

    /// Returns the width of a text at size 1.
    pub(crate) fn width(&self, text: &str, weight: Weight) -> f32 {
        self.runs(text, weight).iter().map(|run| run.width).sum()
    }

    /// Cuts a text into lines no wider than this at size 1, at blanks where there are some.
    pub(crate) fn wrap(&self, text: &str, weight: Weight, width_max: f32) -> Vec<String> {
        let text = one_line(text);
        let mut lines = vec![String::new()];
        let (mut width, blank) = (0.0, self.width(" ", weight));
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let length = self.width(word, weight);
            if width > 0.0 && width + blank + length > width_max {
                lines.push(String::new());
                width = 0.0;
            }
            let last = lines.len() - 1;
            if width > 0.0 {
                lines[last].push(' ');
                width += blank;
            }
            if length <= width_max {
                lines[last].push_str(word);
                width += length;
                continue;
            }
            for letter in word.chars() {
                let length = self.width(letter.encode_utf8(&mut [0; 4]), weight);
                if width > 0.0 && width + length > width_max {
                    lines.push(String::new());
                    width = 0.0;
                }
                let last = lines.len() - 1;
                lines[last].push(letter);
                width += length;
            }
        }
        lines
    }
}

/// Returns whether a letter is written without a glyph of its own: blanks, joiners, variation
/// selectors.
fn needs_no_glyph(letter: char) -> bool {
    letter.is_whitespace()
        || letter.is_control()
        || matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// Cuts a part of a text by the first font that has each letter. Where none has it, and for letters
/// without a glyph, the font goes on.
fn by_font(text: &str, part: Range<usize>, fonts: &[PdfFont]) -> Vec<(Range<usize>, usize)> {
    let mut parts: Vec<(Range<usize>, usize)> = Vec::new();
    for (at, letter) in text[part.clone()].char_indices() {
        let at = part.start + at;
        let range = at..at + letter.len_utf8();
        let known = fonts.iter().position(|font| font.has(letter));
        let known = known.filter(|_| !needs_no_glyph(letter));
        match parts.last_mut() {
            Some((last, font)) if known.is_none_or(|known| known == *font) => last.end = range.end,
            _ => parts.push((range, known.unwrap_or(0))),
        }
    }
    parts
}

fn run<'a>(text: &'a str, font: &'a PdfFont, is_right_to_left: bool) -> TextRun<'a> {
    let mut buffer = UnicodeBuffer::new();
    buffer.push_str(text);
    buffer.guess_segment_properties();
    buffer.set_direction(match is_right_to_left {
        true => Direction::RightToLeft,
        false => Direction::LeftToRight,
    });
    let shaped = rustybuzz::shape(&font.face, &[], buffer);
    let advance: i32 = shaped.glyph_positions().iter().map(|at| at.x_advance).sum();
    TextRun {
        text,
        font: &font.font,
        is_right_to_left,
        width: advance as f32 / font.face.units_per_em() as f32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_go_on_in_the_next_line_and_lose_nothing() {
        let fonts = Fonts::read(None).unwrap();
        let of = |text: &str| fonts.width(text, Weight::Regular);
        let wrap = |text: &str, width: f32| fonts.wrap(text, Weight::Regular, width + 0.01);
        assert_eq!(wrap("a bc", of("a bc")), ["a bc"]);
        assert_eq!(wrap("a bc", of("a b")), ["a", "bc"]);
        assert_eq!(wrap("mmmmm n", of("mm")), ["mm", "mm", "m n"]);
        assert_eq!(wrap("", 3.0), [""]);
        assert_eq!(wrap("a\nb\u{202e}c", 100.0), ["a b c"]);
    }

    #[test]
    fn runs_stand_from_left_to_right_each_in_a_font_that_has_its_letters() {
        let font = "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf";
        let fonts = Fonts::read(Some(font)).unwrap();
        let runs = fonts.runs("Ada שלום 李雷 x", Weight::Bold);
        let words = runs.iter().filter(|run| !run.text.trim().is_empty());
        let words = words.map(|run| (run.text.trim(), run.is_right_to_left));
        assert_eq!(
            words.collect::<Vec<_>>(),
            [
                ("Ada", false),
                ("שלום", true),
                ("李雷", false),
                ("x", false)
            ]
        );
        assert!(runs.iter().all(|run| run.width > 0.0));
        assert!(fonts.have_all("Ada שלום 李雷 می\u{200c}خواهم"));
        let built_in = Fonts::read(None).unwrap();
        assert!(built_in.have_all("Ada שלום Ωμέγα Жук Łódź مرحبا"));
        assert!(!built_in.have_all("李雷"));
    }

    #[test]
    fn a_file_that_is_no_font_is_named() {
        for (path, why) in [
            ("/no/such.ttf", "No such file"),
            ("Cargo.toml", "not a TrueType"),
        ] {
            let refused = Fonts::read(Some(path)).err().unwrap();
            assert!(
                refused.starts_with(path) && refused.contains(why),
                "{refused}"
            );
        }
    }
}
