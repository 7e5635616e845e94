//! What a deterministic simulation needs: a model of a Redis server that runs the real Lua scripts,
//! dice that fall as their seed says, and a runtime whose clock moves only when every task waits.

mod commands;
mod data;
mod dice;
mod libraries;
mod lua;
mod number;
mod runtime;
mod server;

pub use data::{Database, Life, Reply, Snapshot, SortedSet, Stream, StreamId, Value};
pub use dice::Dice;
pub use runtime::run;
pub use server::{Rewrite, Server};
