//! The gate behind each proxy that the documents name, with the configuration as it is printed.

mod journey;
mod stand;
mod start;
mod trouble;
