//! A consumer: takes events from its source, keeps the order of an aggregate, tries again what may
//! succeed later, and puts aside what never will.

mod batches;
mod letters;
mod pace;
mod parts;

pub use pace::Pace;
pub use parts::{Consumer, Memory};
