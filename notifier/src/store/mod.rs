//! The notifier's own file: which events are done, dead letters, the positions at brokers that keep
//! none, and the points that orders have.

mod events;
mod file;
mod letters;
mod schema;

pub use events::{DONE_DAYS, OrderPoints, POINTS_DAYS, Position, Settled};
pub use file::{Store, Stored};
pub use letters::{Ahead, DeadLetter, LetterCounts, LetterState};
