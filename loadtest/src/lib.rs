//! Fans made of code: a client of the public contract, the load tests, the reports. The demo's crowd is made of the same.

pub mod client;
pub mod fans;
pub mod line;
pub mod process;
pub mod report;
pub mod rush;
pub mod seats;
pub mod servers;
