//! Invoices and credit notes as PDF.

use crate::inventory::{Buyer, Invoice, InvoiceKind, PriceLine};
use crate::pdf::{Fonts, Style, Weight, draw_line, page_of};
use krilla::Document;
use krilla::color::rgb;
use krilla::metadata::Metadata;
use shared::event_details::day_and_time;
use shared::ids::EventId;
use shared::texts::Language;

/// Margins of a page, in points.
const LEFT: f32 = 56.0;
const TOP: f32 = 64.0;
const BOTTOM: f32 = 780.0;
/// Columns of the number, the price of one, and the amount.
const COUNT: f32 = 330.0;
const UNIT: f32 = 380.0;
const AMOUNT: f32 = 470.0;
const LINE: f32 = 15.0;
const SIZE: f32 = 9.5;
/// Widths of the page and of the first column.
const WIDTH: f32 = 483.0;
const NAME_WIDTH: f32 = 260.0;

/// An invoice or credit note with what stands on it beside its content.
pub(crate) struct PrintedInvoice {
    pub(crate) invoice: Invoice,
    pub(crate) event: EventId,
    pub(crate) order: String,
    /// `None` once erased.
    pub(crate) buyer: Option<Buyer>,
    pub(crate) language: Language,
}

/// A piece of text at a place on its line.
struct PlacedText {
    x: f32,
    text: String,
    weight: Weight,
}

/// Lines of a document, from top to bottom; an empty one leaves room.
struct TextLines<'a> {
    fonts: &'a Fonts,
    language: Language,
    lines: Vec<Vec<PlacedText>>,
    has_all: bool,
}

impl TextLines<'_> {
    /// Adds a text of the catalogue.
    fn say(&mut self, key: &str, values: &[(&str, &str)]) {
        self.text(&self.language.phrase(key, values));
    }

    fn text(&mut self, text: &str) {
        for part in self.wrapped(text, WIDTH) {
            self.lines.push(vec![plain(LEFT, part)]);
        }
    }

    fn bold(&mut self, text: &str) {
        let (x, text, weight) = (LEFT, text.to_owned(), Weight::Bold);
        self.lines.push(vec![PlacedText { x, text, weight }]);
    }

    fn space(&mut self) {
        self.lines.push(Vec::new());
    }

    fn wrapped(&mut self, text: &str, width: f32) -> Vec<String> {
        self.has_all &= self.fonts.have_all(text);
        self.fonts.wrap(text, Weight::Regular, width / SIZE)
    }

    /// Adds a line of the table; a long name goes on beneath.
    fn row(&mut self, line: &PriceLine) {
        let mut names = self.wrapped(&line.label(), NAME_WIDTH).into_iter();
        self.lines.push(vec![
            plain(LEFT, names.next().unwrap_or_default()),
            plain(COUNT, line.quantity.to_string()),
            plain(UNIT, line.unit.in_language(self.language)),
            plain(AMOUNT, line.amount.in_language(self.language)),
        ]);
        self.lines.extend(names.map(|name| vec![plain(LEFT, name)]));
    }
}

fn plain(x: f32, text: String) -> PlacedText {
    let weight = Weight::Regular;
    PlacedText { x, text, weight }
}

/// Draws a document.
///
/// # Errors
/// The reason, for the log.
pub(crate) fn draw(paper: &PrintedInvoice, fonts: &Fonts) -> Result<Vec<u8>, String> {
    let lines = content(paper, fonts).lines;
    let mut document = Document::new();
    document.set_metadata(
        Metadata::new()
            .title(paper.invoice.number.clone())
            .language(paper.language.code().to_owned()),
    );
    let per_page = ((BOTTOM - TOP) / LINE) as usize;
    for on_page in lines.chunks(per_page) {
        let mut page = page_of(&mut document)?;
        let mut surface = page.surface();
        for (at, line) in on_page.iter().enumerate() {
            let y = TOP + at as f32 * LINE;
            for PlacedText { x, text, weight } in line {
                let style = Style {
                    size: SIZE,
                    weight: *weight,
                    colour: rgb::Color::black(),
                };
                draw_line(&mut surface, fonts, (*x, y), style, text);
            }
        }
        surface.finish();
        page.finish();
    }
    document.finish().map_err(|error| format!("{error:?}"))
}

fn content<'a>(paper: &PrintedInvoice, fonts: &'a Fonts) -> TextLines<'a> {
    let (invoice, language) = (&paper.invoice, paper.language);
    let mut lines = TextLines {
        fonts,
        language,
        lines: Vec::new(),
        has_all: true,
    };
    let (title, total) = match invoice.kind {
        InvoiceKind::Invoice => ("invoice.invoice", "invoice.paid"),
        InvoiceKind::CreditNote => ("invoice.credit_note", "invoice.refunded"),
    };
    lines.bold(&language.phrase(title, &[("number", &invoice.number)]));
    let time = day_and_time(invoice.issued_at, None, language);
    lines.say("invoice.issued", &[("time", &time)]);
    if let Some(cancelled) = &invoice.cancels {
        lines.say("invoice.cancels", &[("number", cancelled)]);
    }
    lines.space();
    for line in invoice.seller.lines() {
        lines.text(line);
    }
    if let Some(id) = &invoice.tax_id {
        lines.say("invoice.tax_number", &[("number", id)]);
    }
    lines.space();
    if let Some(buyer) = &paper.buyer {
        lines.say("invoice.to", &[("name", &buyer.name)]);
        lines.text(&buyer.email);
    }
    let order = [("order", &*paper.order), ("event", paper.event.as_str())];
    lines.say("invoice.order", &order);
    lines.space();
    let (included, added): (Vec<_>, Vec<_>) = invoice.lines.iter().partition(|line| line.included);
    for line in added {
        lines.row(line);
    }
    lines.space();
    let amount = invoice.total.in_language(language);
    lines.bold(&language.phrase(total, &[("amount", &amount)]));
    for line in included {
        let amount = line.amount.in_language(language);
        lines.say(
            "invoice.of_which",
            &[("name", &line.name), ("amount", &amount)],
        );
    }
    if !lines.has_all {
        lines.space();
        lines.say("invoice.letters", &[]);
    }
    lines
}
