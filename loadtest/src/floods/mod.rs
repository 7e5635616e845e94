//! What attacks cost a healthy client: floods from spoofed addresses, and slow clients.

mod healthy;
pub mod slow;
pub mod spoofed;
