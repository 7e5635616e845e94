//! The layout as clients get it: categories with prices, sections and areas with their seats, and
//! what is drawn beside them.

use super::{Category, Layout, LayoutSeat, PlanRow, PlanSection};
use crate::inventory::charges::{Charges, Fee, FeePer, TicketTypePrice, total};
use crate::inventory::model::{Currency, Money, PriceLine, SeatPrice};
use serde_json::{Map, Value, json};

impl Layout {
    /// Returns the layout as JSON, with what one ticket of each category costs.
    pub fn to_json(&self, version: u32, currency: Currency, charges: &Charges) -> Value {
        let categories = self.categories.iter();
        let categories = categories.map(|category| show_category(category, currency, charges));
        let order_fees = charges.fees.iter().filter(|fee| fee.per == FeePer::Order);
        let order_fees: Vec<&Fee> = order_fees.collect();
        let ids = |is_listed: fn(&LayoutSeat) -> bool| -> Vec<&str> {
            let seats = self.seats.iter().filter(|seat| is_listed(seat));
            seats.map(|seat| &*seat.id).collect()
        };
        json!({
            "version": version,
            "capacity": self.seats.len(),
            "accessible": ids(|seat| seat.is_accessible),
            "companion": ids(|seat| seat.is_companion),
            "size": {"width": self.size.0, "height": self.size.1},
            "categories": categories.collect::<Vec<_>>(),
            "order_fees": order_fees,
            "blocks": self.blocks.iter().map(|block| self.show_block(block)).collect::<Vec<_>>(),
            "shapes": self.shapes,
            "stage": self.has_stage,
        })
    }

    fn show_block(&self, block: &PlanSection) -> Value {
        let mut shown = Map::new();
        let mut set = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        set(
            "kind",
            json!(if block.is_area { "area" } else { "section" }),
        );
        set("id", json!(block.id));
        set("name", json!(block.name));
        set("x", json!(block.x));
        set("y", json!(block.y));
        for (name, hint) in [("door", &block.hints.door), ("notes", &block.hints.notes)] {
            if let Some(hint) = hint {
                set(name, json!(hint));
            }
        }
        if let Some((width, height)) = block.size {
            set("width", json!(width));
            set("height", json!(height));
        }
        let seats = block.lines.iter().flat_map(|line| self.seats_of(line));
        if let Some(category) = self.only_category(seats) {
            set("category", json!(category));
        }
        if block.is_area {
            let capacity: usize = block.lines.iter().map(|line| line.seats.len()).sum();
            set("capacity", json!(capacity));
        } else {
            let rows = block.lines.iter().map(|line| self.show_line(line));
            set("rows", rows.collect());
        }
        Value::Object(shown)
    }

    fn seats_of(&self, line: &PlanRow) -> &[LayoutSeat] {
        let range = line.seats.start as usize..line.seats.end as usize;
        self.seats.get(range).unwrap_or_default()
    }

    /// Returns the category that all of some seats have.
    fn only_category<'s>(&self, mut seats: impl Iterator<Item = &'s LayoutSeat>) -> Option<&str> {
        let first = seats.next()?.category;
        let is_only = seats.all(|seat| seat.category == first);
        let category = self.categories.get(usize::from(first))?;
        is_only.then_some(&*category.id)
    }

    fn show_line(&self, line: &PlanRow) -> Value {
        let seats = self.seats_of(line);
        let category = self.only_category(seats.iter());
        let mut row = Map::new();
        let mut set = |name: &str, value: Value| row.insert(name.to_owned(), value);
        set("label", json!(line.label));
        for (name, text) in [("row_text", &line.row_text), ("seat_text", &line.seat_text)] {
            if let Some(text) = text {
                set(name, json!(text));
            }
        }
        if let Some(category) = category {
            set("category", json!(category));
        }
        if !line.marks.is_empty() {
            set("marks", json!(line.marks));
        }
        let seats = (line.seats.start..).zip(seats);
        let seats = seats.map(|(index, seat)| self.show_seat(index, seat, category.is_none()));
        set("seats", seats.collect());
        Value::Object(row)
    }

    fn show_seat(&self, index: u32, seat: &LayoutSeat, has_category: bool) -> Value {
        let mut shown = json!({"id": seat.id, "x": seat.x, "y": seat.y, "label": seat.number});
        if has_category {
            let category = self.categories.get(usize::from(seat.category));
            shown["category"] = json!(category.map(|category| &*category.id));
        }
        if seat.radius > 0.0 {
            shown["radius"] = json!(seat.radius);
        }
        if let Some(hints) = self.hints.get(&index) {
            for (name, hint) in [("door", &hints.door), ("notes", &hints.notes)] {
                if let Some(hint) = hint {
                    shown[name] = json!(hint);
                }
            }
        }
        shown
    }
}

fn show_category(category: &Category, currency: Currency, charges: &Charges) -> Value {
    let mut seat = SeatPrice {
        id: category.id.clone(),
        label: category.id.clone(),
        category: category.id.clone(),
        ticket_type: None,
        price: Money {
            amount: category.price,
            currency,
        },
    };
    charges.prices.set(std::slice::from_mut(&mut seat));
    let lines = charges.ticket(&seat, &category.name);
    let shown_lines: Vec<PriceLine> = lines.iter().map(|line| line.show(currency)).collect();
    let mut shown = json!({"id": category.id, "name": category.name, "price": seat.price,
        "total": Money { amount: total(&lines), currency }, "lines": shown_lines});
    if let Some(standard) = &seat.ticket_type {
        let prices = charges.prices.of(&category.id);
        let others = prices.iter().flat_map(|prices| &prices.ticket_types);
        let others = others.map(|other| show_type(other, &seat, charges));
        let standard = json!({"id": standard.id, "name": standard.name, "price": seat.price,
            "total": shown["total"]});
        let types = std::iter::once(standard).chain(others);
        shown["ticket_types"] = types.collect();
    }
    if let Some(color) = &category.color {
        shown["color"] = json!(color);
    }
    if category.is_not_for_sale {
        shown["not_for_sale"] = json!(true);
    }
    shown
}

/// Returns a further ticket type of the category of a seat, with what one ticket costs.
fn show_type(own: &TicketTypePrice, seat: &SeatPrice, charges: &Charges) -> Value {
    let currency = seat.price.currency;
    let money = |amount| Money { amount, currency };
    let seat = SeatPrice {
        price: money(own.price),
        ..seat.clone()
    };
    let total = total(&charges.ticket(&seat, ""));
    let mut shown =
        json!({"id": own.id, "name": own.name, "price": seat.price, "total": money(total)});
    if let Some(limit) = own.max_per_order {
        shown["max_per_order"] = json!(limit);
    }
    if own.accompanied {
        shown["accompanied"] = json!(true);
    }
    if let Some(note) = &own.note {
        shown["note"] = json!(note);
    }
    shown
}
