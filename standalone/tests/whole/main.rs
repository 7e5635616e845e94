//! Tests of the complete Fairline from outside: journeys, attacks, crashes.

#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

mod attacks;
mod audit;
mod authorization;
mod backup;
mod bad_input;
mod caching;
mod corpus;
mod crash;
mod cross_origin;
mod documents;
mod door;
mod draws;
mod event_pages;
mod extensions;
mod faults;
mod funnel;
mod gate;
mod gate_away;
mod gate_statuses;
mod hourly_sales;
mod https;
mod journey;
mod keys;
mod line_events;
mod lost_answers;
mod mail;
mod matrix;
mod metrics;
mod newer;
mod order_lists;
mod organising;
mod overload;
mod people;
mod proxied;
mod put_away;
mod roles;
mod secure;
mod shopping;
mod signals;
mod sockets;
mod soon_mails;
mod stage;
mod ticket_types;
mod turn_mails;
mod turn_pushes;
mod turn_texts;
mod undeclared;
mod wire;
