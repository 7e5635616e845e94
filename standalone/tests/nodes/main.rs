//! Many nodes as separate processes: waiting rooms on one Redis, checkouts, alone or on one
//! Postgres, nginx in front.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

mod accepted;
mod audit;
mod away;
mod backup;
mod deletion;
mod edge;
mod events;
mod gate;
mod gate_faults;
mod journey;
mod keys;
mod limits;
mod logs;
mod losses;
#[path = "../whole/matrix.rs"]
mod matrix;
mod organising;
mod proxies;
mod receiver;
mod seats;
mod secrets;
mod sign_outs;
mod site;
mod survive;
mod tls;
mod traces;
mod turn_mails;
mod turn_pushes;
mod turn_texts;
