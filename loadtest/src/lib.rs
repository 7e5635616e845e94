//! Load tests and their reports.

pub mod door;
pub mod fans;
pub mod floods;
pub mod gate;
pub mod line;
pub mod night;
pub mod overload;
pub mod payments;
mod private;
pub mod process;
pub mod report;
pub mod rush;
pub mod seats;
pub mod server;
mod wire;
