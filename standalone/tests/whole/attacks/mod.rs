//! Attacks, by what is attacked. Each is refused and harms no one else. Cards that are tried are in
//! `carding`, wrong keys in `guesses`, many places of one person in `sybils`.

mod carding;
pub(crate) mod floods;
mod foreign;
mod frames;
mod guesses;
pub(crate) mod shares;
mod slow_readers;
mod smuggling;
mod strangers;
mod sybils;
mod tokens;
