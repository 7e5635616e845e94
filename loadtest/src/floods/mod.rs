//! Costs of attacks for a healthy client: floods from spoofed addresses, and slow clients.

mod healthy;
pub mod slow;
pub mod spoofed;
