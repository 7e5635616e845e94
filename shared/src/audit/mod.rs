//! The audit log: who changed what, when, from what to what, and who signed in or was refused. One
//! JSON object a line, on disk before the change is answered, each sealed by a hash over all before
//! it.

mod chain;
mod check;
mod entry;
mod file;
mod incidents;
mod log;
#[cfg(test)]
mod tests;

pub use check::{Checked, check_file, check_shared};
pub use entry::{ENTRIES_MAX, Entry};
pub use incidents::Incident;
pub use log::{Audit, SharedAuditLog};
