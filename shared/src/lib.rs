//! What both services use: tokens, problems, serving, limits, settings, the clock.

pub mod audit;
pub mod browser;
pub mod combine;
pub mod currencies;
pub mod data;
pub mod failures;
pub mod http;
pub mod idempotency;
pub mod keys;
pub mod limit;
pub mod log;
pub mod openapi;
pub mod organiser;
pub mod pages;
pub mod problem;
pub mod remote;
pub mod secret;
pub mod serve;
pub mod settings;
pub mod sign_outs;
pub mod site;
pub mod socket;
pub mod time;
pub mod token;
pub mod web_url;
pub mod words;
