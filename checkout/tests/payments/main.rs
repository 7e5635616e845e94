//! Payments through the router, on both engines.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

mod at_provider;
mod blocks;
mod books;
mod bounces;
mod cancellations;
mod changes;
mod charge_backs;
mod charges;
mod crashes;
mod desk;
mod disputes;
mod dkim;
mod faults;
mod housekeeping;
mod invoices;
mod languages;
mod line_events;
mod mail_routes;
mod mailing;
mod mails;
mod mortal;
mod moving;
mod node;
mod ordering;
mod parked;
mod pdf;
mod plans;
mod posted;
mod previews;
mod pushes;
mod races;
mod razorpay;
mod receiver;
mod reseat;
mod reseat_races;
mod reviews;
mod sales;
mod silent_provider;
mod stage;
mod teardown;
mod text_messages;
mod tickets;
mod turns;
mod unsubscribes;
mod verdicts;
mod webhook_changes;
mod webhooks;
