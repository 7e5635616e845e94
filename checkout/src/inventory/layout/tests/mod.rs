//! Tests of seating plans: each format, its faults in words, and generated halls.

mod csv_lists;
mod halls;
mod own_plans;
mod pretix_plans;
mod wrappers;

use super::parse::read;
use super::{Layout, LayoutSeat, parse, restore};
use serde_json::Value;

/// Returns the refusal of a plan as JSON.
fn refusal(plan: &str) -> Value {
    parse(plan.as_bytes()).unwrap_err().into_value()
}

/// Returns the sentences of a refusal.
fn reasons(plan: &str) -> Vec<String> {
    let refusal = refusal(plan);
    let errors = refusal["errors"].as_array().unwrap();
    let details = errors.iter().map(|error| error["detail"].as_str().unwrap());
    details.map(str::to_owned).collect()
}

fn seat<'l>(layout: &'l Layout, id: &str) -> &'l LayoutSeat {
    &layout.seats[layout.find(id).unwrap() as usize]
}

fn label(layout: &Layout, id: &str) -> String {
    layout.label(seat(layout, id))
}

fn drawn(layout: &Layout) -> Value {
    layout.to_json(1, crate::inventory::Currency::EUR, &Default::default())
}

/// Returns the ids of each run of neighbours.
fn runs(layout: &Layout) -> Vec<Vec<&str>> {
    let rows = layout.rows.iter();
    let seats = rows.map(|row| &layout.order[row.start as usize..row.end as usize]);
    seats
        .map(|run| {
            run.iter()
                .map(|seat| &*layout.seats[*seat as usize].id)
                .collect()
        })
        .collect()
}
