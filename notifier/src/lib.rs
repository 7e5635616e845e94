//! The notifier: consumes Fairline's events from a message broker for a loyalty programme and a search
//! engine. What cannot have its effect becomes a dead letter with the reason, and the rest goes on.

pub mod commands;
pub mod consumer;
pub mod event;
mod excerpt;
pub mod handler;
pub mod health;
pub mod instruments;
pub mod loyalty;
pub mod search;
pub mod service;
pub mod settings;
pub mod source;
pub mod store;
pub mod trouble;
