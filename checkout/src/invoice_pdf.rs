//! Invoices and credit notes as PDF.

use crate::inventory::{Buyer, Invoice, InvoiceKind, PriceLine};
use krilla::Document;
use krilla::geom::Point;
use krilla::metadata::Metadata;
use krilla::page::PageSettings;
use krilla::text::{Font, TextDirection};
use shared::ids::EventId;
use std::sync::LazyLock;

/// A page of A4 and its margins, in points.
const PAGE: (f32, f32) = (595.0, 842.0);
const LEFT: f32 = 56.0;
const TOP: f32 = 64.0;
const BOTTOM: f32 = 780.0;
/// Columns of the number, the price of one, and the amount.
const COUNT: f32 = 330.0;
const UNIT: f32 = 380.0;
const AMOUNT: f32 = 470.0;
const LINE: f32 = 15.0;
const SIZE: f32 = 9.5;
/// Characters of a text that stand on one line, of the whole width and of the first column.
const WIDTH_CHARS: usize = 72;
const NAME_CHARS: usize = 40;

/// The font that all text is in: it has the letters of most alphabets of Europe, and embeds only those
/// that are used.
static FONT: LazyLock<Option<Font>> =
    LazyLock::new(|| Font::new(dejavu::sans::regular().into(), 0));
static BOLD: LazyLock<Option<Font>> = LazyLock::new(|| Font::new(dejavu::sans::bold().into(), 0));

/// An invoice or credit note with what stands on it beside its content.
pub(crate) struct PrintedInvoice {
    pub(crate) invoice: Invoice,
    pub(crate) event: EventId,
    pub(crate) order: String,
    /// `None` once erased.
    pub(crate) buyer: Option<Buyer>,
}

/// A piece of text at a place on its line.
struct TextRun {
    x: f32,
    text: String,
    is_bold: bool,
}

/// Lines of a document, from top to bottom; an empty one leaves room.
#[derive(Default)]
struct TextLines(Vec<Vec<TextRun>>);

impl TextLines {
    fn text(&mut self, text: &str) {
        for part in wrapped(text, WIDTH_CHARS) {
            self.0.push(vec![plain(LEFT, part)]);
        }
    }

    fn bold(&mut self, text: &str) {
        let (x, text) = (LEFT, text.to_owned());
        let is_bold = true;
        self.0.push(vec![TextRun { x, text, is_bold }]);
    }

    fn space(&mut self) {
        self.0.push(Vec::new());
    }

    /// Adds a line of the table; a long name goes on beneath.
    fn row(&mut self, line: &PriceLine) {
        let mut names = wrapped(&line.label(), NAME_CHARS).into_iter();
        self.0.push(vec![
            plain(LEFT, names.next().unwrap_or_default()),
            plain(COUNT, line.quantity.to_string()),
            plain(UNIT, line.unit.for_people()),
            plain(AMOUNT, line.amount.for_people()),
        ]);
        self.0.extend(names.map(|name| vec![plain(LEFT, name)]));
    }
}

fn plain(x: f32, text: String) -> TextRun {
    let is_bold = false;
    TextRun { x, text, is_bold }
}

/// Draws a document.
///
/// # Errors
/// The reason, for the log.
pub(crate) fn draw(paper: &PrintedInvoice) -> Result<Vec<u8>, String> {
    let (Some(font), Some(bold)) = (&*FONT, &*BOLD) else {
        return Err("the font cannot be read".to_owned());
    };
    let lines = content(paper).0;
    let mut document = Document::new();
    document.set_metadata(
        Metadata::new()
            .title(paper.invoice.number.clone())
            .language("en".to_owned()),
    );
    let per_page = ((BOTTOM - TOP) / LINE) as usize;
    for on_page in lines.chunks(per_page) {
        let size = PageSettings::from_wh(PAGE.0, PAGE.1).ok_or("the page has no size")?;
        let mut page = document.start_page_with(size);
        let mut surface = page.surface();
        for (at, line) in on_page.iter().enumerate() {
            let y = TOP + at as f32 * LINE;
            for TextRun { x, text, is_bold } in line {
                let font = if *is_bold { bold } else { font };
                let start = Point::from_xy(*x, y);
                let direction = TextDirection::Auto;
                surface.draw_text(start, font.clone(), SIZE, text, false, direction);
            }
        }
        surface.finish();
        page.finish();
    }
    document.finish().map_err(|error| format!("{error:?}"))
}

fn content(paper: &PrintedInvoice) -> TextLines {
    let invoice = &paper.invoice;
    let mut lines = TextLines::default();
    let title = match invoice.kind {
        InvoiceKind::Invoice => "Invoice",
        InvoiceKind::CreditNote => "Credit note",
    };
    lines.bold(&format!("{title} {}", invoice.number));
    lines.text(&format!("Issued on {}", invoice.issued_at.for_people()));
    if let Some(cancelled) = &invoice.cancels {
        lines.text(&format!("Refund of invoice {cancelled}"));
    }
    lines.space();
    for line in invoice.seller.lines() {
        lines.text(line);
    }
    if let Some(id) = &invoice.tax_id {
        lines.text(&format!("Tax number {id}"));
    }
    lines.space();
    if let Some(buyer) = &paper.buyer {
        lines.text(&format!("To {}", buyer.name));
        lines.text(&buyer.email);
    }
    lines.text(&format!("Order {} for {}", paper.order, paper.event));
    lines.space();
    let (included, added): (Vec<_>, Vec<_>) = invoice.lines.iter().partition(|line| line.included);
    for line in added {
        lines.row(line);
    }
    lines.space();
    let total = match invoice.kind {
        InvoiceKind::Invoice => "Total paid",
        InvoiceKind::CreditNote => "Total refunded",
    };
    lines.bold(&format!("{total}: {}", invoice.total.for_people()));
    for line in included {
        lines.text(&format!(
            "of which {}: {}",
            line.name,
            line.amount.for_people()
        ));
    }
    lines
}

/// Cuts a text into pieces of this many characters, at blanks where there are some.
fn wrapped(text: &str, chars_max: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let letters: Vec<char> = word.chars().collect();
        for (at, part) in letters.chunks(chars_max).enumerate() {
            let last = lines.last_mut().expect("it begins with a line");
            let has_room = last.chars().count() + 1 + part.len() <= chars_max;
            if at == 0 && (last.is_empty() || has_room) {
                if !last.is_empty() {
                    last.push(' ');
                }
                last.extend(part);
            } else {
                lines.push(part.iter().collect());
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_go_on_in_the_next_line_and_lose_nothing() {
        assert_eq!(wrapped("a bc", 4), ["a bc"]);
        assert_eq!(wrapped("a bcd", 4), ["a", "bcd"]);
        assert_eq!(wrapped("abcdefg h", 3), ["abc", "def", "g h"]);
        assert_eq!(wrapped("", 3), [""]);
    }
}
