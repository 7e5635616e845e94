//! Conformance tests for every promise of `Inventory`, on every engine. A new engine adds its name
//! to `benches` and nothing else.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

mod answers;
mod bench;
mod blocks;
mod bounds;
mod charges;
mod extensions;
mod funnel;
mod holds;
mod hourly_sales;
mod invoices;
mod late;
mod line_log;
mod line_mails;
mod line_messages;
mod mails;
mod nodes;
mod order_list;
mod orders;
mod outbox;
mod outbox_reading;
mod outbox_schemas;
mod people;
mod plan_changes;
mod plans;
mod pooler;
mod races;
mod refunds;
mod removal;
mod sale;
mod set_back;
mod statistics;
mod survival;
mod ticket_types;
mod tickets;
mod tls;
mod upgrade;
mod webhooks;
