//! Organisers: their keys and roles, and the sessions of the console.

mod key_files;
mod key_source;
mod keys;
mod session;

pub(crate) use key_files::follow;
pub use key_source::KeySource;
pub use keys::{COOKIE, Key, Organiser, Organisers, Role};
pub(crate) use session::authorise;
pub use session::{AuditQuery, is_organiser_or_service, require, routes, show_audit};
