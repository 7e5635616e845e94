//! Parts common to both services: tokens, HTTP, limits, settings, the clock.

pub mod audit;
pub mod context;
pub mod crypto;
pub mod currencies;
pub mod data_dir;
pub mod failures;
pub mod group_commit;
pub mod http;
pub mod ids;
pub mod keys;
pub mod log;
pub mod metrics;
pub mod mistakes;
pub mod organiser;
pub mod probe;
pub mod process;
pub mod remote;
pub mod service_key;
pub mod settings;
pub mod sign_outs;
pub mod signals;
pub mod sqlite;
pub mod time;
pub mod token;
pub mod web_url;
