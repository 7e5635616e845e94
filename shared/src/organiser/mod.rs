//! Organisers: their keys and roles, and the sessions of the console.

mod keys;
mod session;

pub use keys::{COOKIE, Key, Organiser, Organisers, Role};
pub(crate) use session::authorise;
pub use session::{require, routes};
