//! What both services use: tokens, problems, serving, limits, settings, the clock.

pub mod audit;
pub mod browser;
pub mod combine;
pub mod data;
pub mod idempotency;
pub mod limit;
pub mod log;
pub mod openapi;
pub mod organiser;
pub mod pages;
pub mod problem;
pub mod secret;
pub mod serve;
pub mod settings;
pub mod site;
pub mod time;
pub mod token;
pub mod words;

/// Every request makes and frees some dozens of small things, often on different threads: that is a third of what a hold
/// costs with the C library's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
