//! Payments through the router, on both engines.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

mod at_provider;
mod cancellations;
mod charges;
mod desk;
mod faults;
mod invoices;
mod mail_routes;
mod mailing;
mod mails;
mod node;
mod pdf;
mod plans;
mod razorpay;
mod reviews;
mod sales;
mod stage;
mod tickets;
mod verdicts;
mod webhooks;
