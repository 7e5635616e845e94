//! A draw as the store has it.

use crate::line::EventSettings;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Stages of a draw at the store.
pub(super) const TO_BE_HELD: i64 = 1;
pub(super) const UNDER_WAY: i64 = 2;
pub(super) const HELD: i64 = 3;

/// The draw as the store has it.
#[derive(Clone, Default)]
pub(super) struct Draw {
    pub(super) stage: i64,
    /// The number after the last that takes part, once it is fixed; else 0.
    pub(super) last: u64,
    pub(super) seed: Arc<[u8]>,
    /// Outcome as JSON; empty before it.
    pub(super) outcome: Arc<[u8]>,
    /// Round of the beacon as JSON; empty without one.
    pub(super) beacon: Arc<[u8]>,
    /// Settings of the event as JSON.
    settings: Arc<[u8]>,
    needs_beacon: bool,
}

impl Draw {
    /// Reads what `meta` has of it.
    pub(super) fn read(&mut self, meta: &BTreeMap<Vec<u8>, Vec<u8>>) {
        let text = |name: &str| meta.get(name.as_bytes()).map_or(&[][..], Vec::as_slice);
        let number = |name: &str| {
            let text = std::str::from_utf8(text(name)).ok();
            text.and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        self.stage = number("draw");
        self.last = number("draw_last") as u64;
        self.needs_beacon = number("needs_beacon") == 1;
        for (kept, name) in [
            (&mut self.seed, "seed"),
            (&mut self.outcome, "drawn"),
            (&mut self.beacon, "beacon"),
            (&mut self.settings, "settings"),
        ] {
            if **kept != *text(name) {
                *kept = text(name).into();
            }
        }
    }

    /// Returns the settings of the event.
    pub(super) fn settings(&self) -> Option<EventSettings> {
        serde_json::from_slice(&self.settings).ok()
    }

    /// Returns whether numbers are still to be drawn.
    pub(super) fn is_undrawn(&self) -> bool {
        matches!(self.stage, TO_BE_HELD | UNDER_WAY)
    }

    /// Returns whether all is there that the draw waits for.
    pub(super) fn is_due(&self, sale_at: i64, store_ms: i64) -> bool {
        sale_at <= store_ms && (!self.needs_beacon || !self.beacon.is_empty())
    }
}
