//! Attacks, by what is attacked. Each is refused and harms no one else.

mod carding;
mod foreign;
mod frames;
mod smuggling;
mod strangers;
mod tokens;
