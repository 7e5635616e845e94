//! Tickets as PDF, each on a page of its own.

use crate::event_words::{facts_of, links_of};
use crate::inventory::{LineKind, Order, SeatPrice, Ticket};
use crate::pdf::{Fonts, Style, Weight, draw_aside, draw_line, fill, page_of};
use crate::qr_picture::qr_code;
use crate::waiting_room::EventFacts;
use krilla::Document;
use krilla::color::rgb;
use krilla::metadata::Metadata;
use krilla::surface::Surface;
use qrcode::Color;
use shared::texts::Language;
use std::sync::Arc;

/// Margins of the page, and the columns of the facts and of the QR code, in points.
const LEFT: f32 = 48.0;
const RIGHT: f32 = 547.0;
const FACTS_WIDTH: f32 = 310.0;
const CODE_LEFT: f32 = 404.0;
/// Width of a QR code without its white margin: 5 cm.
const CODE_WIDTH: f32 = 141.7;
/// Largest number of lines of one text; a longer one ends in an ellipsis.
const LINES_MAX: usize = 4;
/// Height of a line as a multiple of its size.
const LEADING: f32 = 1.3;

const BLACK: (u8, u8, u8) = (0x1a, 0x1a, 0x1a);
const GREY: (u8, u8, u8) = (0x59, 0x59, 0x59);
const WHITE: (u8, u8, u8) = (0xff, 0xff, 0xff);

/// Tickets of an order with what stands on them.
struct PrintedTickets {
    order: Order,
    event: Arc<EventFacts>,
    language: Language,
}

impl PrintedTickets {
    fn say(&self, key: &str) -> String {
        self.language.phrase(key, &[])
    }
}

/// A page that is filled from top to bottom.
struct Pen<'a, 'b> {
    surface: &'a mut Surface<'b>,
    fonts: &'a Fonts,
    y: f32,
    has_all: bool,
}

impl Pen<'_, '_> {
    /// Draws a text below what there is, on as many lines as it takes.
    fn text(&mut self, x: f32, width: f32, style: Style, text: &str) {
        self.has_all &= self.fonts.have_all(text);
        let mut lines = self.fonts.wrap(text, style.weight, width / style.size);
        if lines.len() > LINES_MAX {
            lines.truncate(LINES_MAX);
            lines[LINES_MAX - 1].push('…');
        }
        for line in lines {
            self.y += style.size * LEADING;
            draw_line(self.surface, self.fonts, (x, self.y), style, &line);
        }
    }

    /// Draws the name of a fact above it.
    fn fact(&mut self, name: &str, style: Style, text: &str) {
        self.y += 9.0;
        if !name.is_empty() {
            self.text(
                LEFT,
                FACTS_WIDTH,
                style_of(8.5, Weight::Regular, GREY),
                name,
            );
        }
        self.text(LEFT, FACTS_WIDTH, style, text);
    }
}

/// Draws the valid tickets of an order, on a thread of its own.
///
/// # Errors
/// The reason, which is in the log as well.
pub(crate) async fn tickets_pdf(
    fonts: &Arc<Fonts>,
    order: Order,
    event: Arc<EventFacts>,
) -> Result<Vec<u8>, String> {
    let fonts = fonts.clone();
    let printed = PrintedTickets {
        language: event.language_of(&order),
        order,
        event,
    };
    draw_aside(move || draw(&printed, &fonts)).await
}

fn draw(printed: &PrintedTickets, fonts: &Fonts) -> Result<Vec<u8>, String> {
    let mut document = Document::new();
    let (language, event) = (printed.language, printed.event.name.as_str());
    let title = language.phrase("ticket.title", &[("event", event)]);
    let metadata = Metadata::new().title(title);
    document.set_metadata(metadata.language(language.code().to_owned()));
    let tickets = printed.order.tickets.as_deref().unwrap_or_default();
    for (at, ticket) in tickets.iter().enumerate() {
        let mut page = page_of(&mut document)?;
        let mut surface = page.surface();
        let mut pen = Pen {
            surface: &mut surface,
            fonts,
            y: 0.0,
            has_all: true,
        };
        draw_head(&mut pen, &printed.event);
        let below_head = pen.y;
        draw_code(&mut pen, ticket)?;
        let below_code = pen.y;
        pen.y = below_head;
        draw_facts(&mut pen, printed, ticket);
        pen.y = pen.y.max(below_code);
        draw_foot(&mut pen, printed, (at + 1, tickets.len()));
        surface.finish();
        page.finish();
    }
    document.finish().map_err(|error| format!("{error:?}"))
}

/// Draws the event's name on its colour.
fn draw_head(pen: &mut Pen, event: &EventFacts) {
    let colours = event.details.as_ref().and_then(|it| it.colours.as_ref());
    let of = |colour: Option<&String>, default| colour.and_then(|it| parsed(it)).unwrap_or(default);
    let background = of(colours.map(|colours| &colours.background), BLACK);
    let text = of(colours.map(|colours| &colours.text), WHITE);
    let subtitle = event.details.as_ref().and_then(|it| it.subtitle.as_deref());
    let (large, small) = (
        style_of(24.0, Weight::Bold, text),
        style_of(12.0, Weight::Regular, text),
    );
    let lines = |style: Style, text: &str| {
        let width = (RIGHT - LEFT) / style.size;
        let lines = pen.fonts.wrap(text, style.weight, width).len();
        lines.min(LINES_MAX) as f32 * style.size * LEADING
    };
    let height = 44.0 + lines(large, &event.name) + subtitle.map_or(0.0, |text| lines(small, text));
    fill(
        pen.surface,
        colour(background),
        [(0.0, 0.0, 595.0, height)].into_iter(),
    );
    pen.y = 18.0;
    pen.text(LEFT, RIGHT - LEFT, large, &event.name);
    if let Some(subtitle) = subtitle {
        pen.text(LEFT, RIGHT - LEFT, small, subtitle);
    }
    pen.y = height + 12.0;
}

/// Draws the QR code with the short code below.
fn draw_code(pen: &mut Pen, ticket: &Ticket) -> Result<(), String> {
    let code = qr_code(&ticket.code)?;
    let (width, dots) = (code.width(), code.to_colors());
    let dot = CODE_WIDTH / width as f32;
    let top = pen.y + 16.0;
    let mut areas = Vec::new();
    for (y, line) in dots.chunks(width).enumerate() {
        let mut x = 0;
        for same in line.chunk_by(|one, next| one == next) {
            if same[0] == Color::Dark {
                let (left, length) = (x as f32 * dot, same.len() as f32 * dot);
                areas.push((CODE_LEFT + left, top + y as f32 * dot, length, dot));
            }
            x += same.len();
        }
    }
    fill(pen.surface, colour((0, 0, 0)), areas.into_iter());
    pen.y = top + CODE_WIDTH + 10.0;
    let style = style_of(13.0, Weight::Bold, BLACK);
    pen.text(CODE_LEFT, CODE_WIDTH, style, &ticket.short_code);
    Ok(())
}

fn draw_facts(pen: &mut Pen, printed: &PrintedTickets, ticket: &Ticket) {
    let plain = style_of(11.0, Weight::Regular, BLACK);
    // The head has the event's name.
    let facts = facts_of(&printed.event, printed.language);
    let facts = facts.iter().skip(1).filter(|(name, _)| !name.is_empty());
    facts.for_each(|(name, value)| pen.fact(name, plain, value));
    pen.y += 8.0;
    let place = &ticket.place;
    let large = style_of(18.0, Weight::Bold, BLACK);
    pen.fact(&printed.say("ticket.place"), large, &place.label);
    if let Some(door) = &place.door {
        pen.fact(&printed.say("ticket.door"), plain, door);
    }
    if let Some(notes) = &place.notes {
        pen.fact(&printed.say("ticket.notes"), plain, notes);
    }
    let order = &printed.order;
    if let Some(seat) = order.seats.iter().find(|seat| *seat.id == *ticket.seat) {
        let kind = kind_of(order, seat, printed.language);
        pen.fact(&printed.say("ticket.kind"), plain, &kind);
    }
    if let Some(buyer) = &order.buyer {
        pen.fact(&printed.say("ticket.name"), plain, &buyer.name);
    }
    pen.fact(&printed.say("ticket.order"), plain, &order.id);
}

/// Returns the category of a seat with the type of its ticket and its price.
fn kind_of(order: &Order, seat: &SeatPrice, language: Language) -> String {
    let mut lines = order.lines.iter();
    let line = lines.find(|line| {
        line.kind == LineKind::Ticket && line.category.as_ref() == Some(&seat.category)
    });
    let category = line.map_or(&*seat.category, |line| line.name.as_str());
    let ticket_type = seat.ticket_type.as_ref().map(|it| it.name.as_str());
    let price = seat.price.in_language(language);
    let parts = [Some(category), ticket_type, Some(price.as_str())];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" · ")
}

fn draw_foot(pen: &mut Pen, printed: &PrintedTickets, (number, count): (usize, usize)) {
    let small = style_of(8.5, Weight::Regular, GREY);
    pen.y += 16.0;
    let area = (LEFT, pen.y, RIGHT - LEFT, 0.7);
    fill(pen.surface, colour(GREY), [area].into_iter());
    pen.y += 6.0;
    let width = RIGHT - LEFT;
    pen.text(LEFT, width, small, &printed.say("ticket.rule"));
    for (name, link) in links_of(&printed.event, printed.language) {
        pen.text(LEFT, width, small, &format!("{name}: {link}"));
    }
    let values = [
        ("number", &*number.to_string()),
        ("count", &count.to_string()),
    ];
    let number = printed.language.phrase("ticket.number", &values);
    pen.text(LEFT, width, small, &number);
    if !pen.has_all {
        pen.text(LEFT, width, small, &printed.say("ticket.letters"));
    }
}

fn style_of(size: f32, weight: Weight, of: (u8, u8, u8)) -> Style {
    Style {
        size,
        weight,
        colour: colour(of),
    }
}

fn colour((red, green, blue): (u8, u8, u8)) -> rgb::Color {
    rgb::Color::new(red, green, blue)
}

/// Reads a colour such as `#5a35c8`.
fn parsed(text: &str) -> Option<(u8, u8, u8)> {
    let number = u32::from_str_radix(text.strip_prefix('#')?, 16).ok()?;
    let [_, red, green, blue] = number.to_be_bytes();
    Some((red, green, blue))
}
