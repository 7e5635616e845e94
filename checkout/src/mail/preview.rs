//! Letters as organisers see them before they are sent: written by the code that writes all letters, from an
//! order that is made up. Nothing is stored or sent, and its tickets open no door.

use super::letter::Letter;
use super::line_letters::ToldFan;
use super::message::inlined;
use super::order_letters::About;
use super::order_lists::{entry_of, list_letter};
use super::settings::Mailer;
use crate::app::Shop;
use crate::event_change::{DateAndPlace, EventChange};
use crate::inventory::mail::{MailKind, NewMail};
use crate::inventory::{
    Buyer, Currency, InLine, LineKind, Money, Order, PaymentView, Place, PriceLine, SeatPrice,
    Ticket,
};
use crate::waiting_room::EventFacts;
use shared::ids::{EventId, VisitorId};
use shared::line_mail::{LineMail, WaitRange};
use shared::texts::Language;
use std::sync::Arc;

/// Number of tickets.
const TICKETS: u32 = 2;
/// Price of a ticket without a seating plan, in minor units.
const PRICE: i64 = 4500;
const NAME: &str = "Ada Example";
const EMAIL: &str = "ada@example.org";
/// Time for which a turn is kept.
const CLAIM_SECONDS: u32 = 120;
/// Wait of a fan whose turn comes soon, in seconds.
const WAIT: WaitRange = WaitRange {
    low: 480,
    high: 720,
};

/// A letter to preview.
pub(crate) struct SampleLetter {
    pub(crate) event: EventId,
    pub(crate) facts: Arc<EventFacts>,
    pub(crate) kind: MailKind,
    pub(crate) language: Language,
}

/// A letter in both of its forms.
pub(crate) struct PreviewedLetter {
    pub(crate) html: String,
    pub(crate) text: String,
}

impl SampleLetter {
    /// Writes the letter. None if its kind has none for this event.
    pub(crate) fn write(&self, shop: &Shop, mailer: &Mailer) -> Option<PreviewedLetter> {
        let site = &shop.site.public_url;
        let now = shop.inventory.now();
        let letter = match self.kind {
            MailKind::Turn => self.fan().turn(now.plus_seconds(CLAIM_SECONDS), site),
            MailKind::Soon => self.fan().soon(WAIT, now, site),
            MailKind::Orders => {
                let entries = entry_of(&self.order(shop), Some(&self.facts), self.language, site);
                list_letter(
                    (EMAIL.to_owned(), NAME.to_owned()),
                    self.language,
                    entries,
                    site,
                )
            }
            MailKind::Confirmed | MailKind::Refunded | MailKind::Cancelled | MailKind::Changed => {
                self.order_letter(shop, mailer)?
            }
        };
        Some(PreviewedLetter {
            html: inlined(&letter),
            text: letter.text(),
        })
    }

    fn order_letter(&self, shop: &Shop, mailer: &Mailer) -> Option<Letter> {
        let order = self.order(shop);
        let detail = match self.kind {
            MailKind::Refunded => serde_json::to_string(&order.total).ok()?,
            MailKind::Changed => EventChange {
                was: DateAndPlace::made_up_before(&self.facts),
                after: None,
            }
            .text(),
            _ => String::new(),
        };
        let mail = NewMail {
            id: "mail_preview".to_owned(),
            event: self.event.as_str().to_owned(),
            order: order.id.clone(),
            kind: self.kind,
            detail,
            created_at: shop.inventory.now(),
        };
        let about = About {
            order: &order,
            event: &self.facts,
            language: self.language,
            site: &shop.site.public_url,
            sender: &mailer.origin.sender,
        };
        about.letter(&mail)
    }

    fn fan(&self) -> ToldFan {
        ToldFan {
            place: InLine::new(&self.event, VisitorId(1)),
            mail: LineMail {
                email: EMAIL.to_owned(),
                language: self.language.code().to_owned(),
                link: "preview".to_owned(),
                number: Some(1),
                tell_soon: true,
            },
            facts: self.facts.clone(),
            language: self.language,
            unsubscribe: String::new(),
        }
    }

    /// Returns an order of the first seats of the plan, or of seats that are made up where there is none.
    fn order(&self, shop: &Shop) -> Order {
        let map = shop.inventory.seat_map(&self.event);
        let currency = map.as_ref().map_or(Currency::EUR, |map| map.currency);
        let first = map.as_ref().and_then(|map| {
            let seat = map.layout.seats.first()?;
            map.layout.categories.get(seat.category as usize)
        });
        let (category, price) = match first {
            Some(category) => (category.name.to_string(), category.price),
            None => ("Stalls".to_owned(), PRICE),
        };
        let money = |amount: i64| Money { amount, currency };
        let place = |seat: u32| match &map {
            Some(map) => map.layout.place(seat),
            None => Place {
                label: format!("Stalls, row A, seat {}", seat + 1),
                ..Place::default()
            },
        };
        let places: Vec<Place> = (0..TICKETS).map(place).collect();
        let total = money(price * i64::from(TICKETS));
        let now = shop.inventory.now();
        Order {
            id: "ord_preview".to_owned(),
            event: self.event.clone(),
            state: self.state().to_owned(),
            seats: Arc::new(places.iter().map(|it| seat(it, money(price))).collect()),
            lines: vec![PriceLine {
                kind: LineKind::Ticket,
                name: category,
                category: None,
                ticket_type: None,
                quantity: TICKETS,
                unit: money(price),
                amount: total,
                included: false,
            }],
            total,
            buyer: Some(Buyer {
                name: NAME.to_owned(),
                email: EMAIL.to_owned(),
            }),
            language: Some(self.language.code().to_owned()),
            payment: payment(),
            decline_reason: None,
            created_at: now,
            pay_by: now,
            tickets: self
                .has_tickets()
                .then(|| places.into_iter().map(ticket).collect()),
            instead_of: Vec::new(),
            instead_of_labels: Vec::new(),
            refunded: None,
            charged_back: None,
            link: Some("/orders/ord_preview".to_owned()),
            event_cancelled: None,
        }
    }

    fn state(&self) -> &'static str {
        match self.kind {
            MailKind::Refunded => "refunded",
            MailKind::Cancelled => "cancelled",
            _ => "confirmed",
        }
    }

    fn has_tickets(&self) -> bool {
        self.state() == "confirmed"
    }
}

fn seat(place: &Place, price: Money) -> SeatPrice {
    SeatPrice {
        id: "preview".into(),
        label: place.label.as_str().into(),
        category: "preview".into(),
        ticket_type: None,
        price,
    }
}

/// Returns a ticket whose codes no door takes.
fn ticket(place: Place) -> Ticket {
    Ticket {
        id: "tix_preview".to_owned(),
        seat: "preview".to_owned(),
        ticket_type: None,
        place,
        code: "PREVIEW: not a ticket".to_owned(),
        short_code: "0000-0000-0000".to_owned(),
    }
}

fn payment() -> PaymentView {
    PaymentView {
        provider: "simulated".to_owned(),
        id: "pay_preview".to_owned(),
        client_secret: String::new(),
        key_id: None,
        order_id: None,
        pending: false,
    }
}
