//! Every promise of `Line`, on every engine. A new engine only adds its name to `benches`.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]
#![expect(clippy::too_many_lines, reason = "a journey is told in one piece")]

mod admission;
mod attempts;
mod away;
mod beacons;
mod bench;
mod clients;
mod decisions;
mod details;
mod draws;
mod extensions;
mod failovers;
mod faults;
mod knowledge;
mod lives;
mod living;
mod lost_draws;
mod many;
mod multitude;
mod nodes;
mod once;
mod over;
mod places;
mod recoveries;
mod redraws;
mod rejoining;
mod sign_outs;
mod survival;
mod testimony;
mod tls;
mod unheard;
