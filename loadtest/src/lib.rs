//! Load tests and their reports.

pub mod fans;
pub mod line;
pub mod night;
pub mod overload;
pub mod process;
pub mod report;
pub mod rush;
pub mod seats;
pub mod server;
