//! Backup of what this node knows of a line, written to its data folder every few seconds: an
//! installation that goes down together with an empty Redis comes back with its events, their
//! settings and the waiting visitors.

use super::cache::LineCache;
use super::served::{HeldSlot, Served};
use super::view_reply::{DrawStage, EventConstants};
use crate::line::bitmap::Snapshot;
use crate::line::throughput::Rates;
use crate::line::{EventSettings, Forecast, Life, LineView, Phase, WaitReason};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use shared::data_dir::replace;
use shared::ids::{Availability, EventId};
use shared::time::Time;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tokio::time::Instant;

/// Backup of one line.
#[derive(Serialize, Deserialize)]
pub(super) struct Backup {
    life: Life,
    settings: EventSettings,
    changed_at: Time,
    constants: EventConstants,
    availability: Option<Availability>,
    seats_at: Time,
    numbers: u64,
    highest: u64,
    nodes: u64,
    total: Rates,
    /// When the line was last heard of, and by how many ms its time was behind the clock's.
    heard_at: Time,
    unheard_ms: i64,
    draw: u8,
    draw_last: u64,
    head: u64,
    bitmap: String,
    /// How places ended, a byte for each number.
    codes: String,
    /// Holders and their slots.
    slots: Vec<[String; 2]>,
}

impl Backup {
    /// Creates a backup of a cache; none if the cache is empty.
    pub(super) fn of(cache: &LineCache) -> Option<Backup> {
        let view = cache.view()?;
        Some(Backup {
            life: view.life,
            settings: cache.settings()?.clone(),
            changed_at: cache.changed_at,
            constants: cache.constants.clone(),
            availability: view.availability,
            seats_at: cache.seats_at,
            numbers: view.numbers,
            highest: cache.numbers,
            nodes: cache.nodes,
            total: cache.figures.total,
            heard_at: cache.heard_at,
            unheard_ms: cache.unheard_ms,
            draw: cache.recovery_draw(),
            draw_last: cache.draw_last,
            head: cache.head,
            bitmap: STANDARD_NO_PAD.encode(&cache.bitmap),
            codes: STANDARD_NO_PAD.encode(cache.served.codes()),
            slots: cache.served.slots().map(HeldSlot::write).collect(),
        })
    }

    /// Replaces the backup in a file as a whole: after a crash there is the old one or the new one.
    pub(super) fn write(&self, path: &Path) -> std::io::Result<()> {
        replace(path, &serde_json::to_vec(self)?)
    }

    /// Reads a backup. A damaged one counts as none.
    pub(super) fn read(path: &Path) -> Option<LineCache> {
        let backup: Backup = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        let bitmap = STANDARD_NO_PAD.decode(&backup.bitmap).ok()?;
        let codes = STANDARD_NO_PAD.decode(&backup.codes).ok()?;
        let slots = backup.slots.iter();
        let slots = slots.filter_map(|[holder, slot]| HeldSlot::read(holder, slot));
        let alive = Snapshot::from_bitmap(backup.head, &bitmap);
        let draw = DrawStage::from_code(i64::from(backup.draw));
        let view = LineView {
            step: 0,
            revision: 0,
            life: backup.life,
            at: Time(0),
            phase: Phase::Scheduled,
            is_undrawn: draw.is_undrawn(),
            drawn: 0,
            waiting: alive.count(),
            alive,
            numbers: backup.numbers,
            is_recovering: false,
            is_over: false,
            forecast: Forecast::silent(WaitReason::Measuring),
            availability: backup.availability,
            settings: Arc::new(backup.settings),
            changed_at: backup.changed_at,
        };
        let mut cache = LineCache::of(Arc::new(view), Instant::now());
        cache.bitmap = bitmap;
        cache.head = backup.head;
        cache.served = Served::new(slots, codes);
        cache.figures.total = backup.total;
        cache.heard_at = backup.heard_at;
        cache.unheard_ms = backup.unheard_ms;
        cache.constants = backup.constants;
        cache.changed_at = backup.changed_at;
        cache.seats_at = backup.seats_at;
        cache.numbers = backup.highest;
        cache.nodes = backup.nodes;
        cache.draw = Some(draw);
        cache.draw_last = backup.draw_last;
        Some(cache)
    }
}

/// Returns the events that the folder has backups of.
pub(super) fn events(folder: &Path) -> Vec<EventId> {
    let Ok(files) = fs::read_dir(folder) else {
        return Vec::new();
    };
    files
        .filter_map(|file| {
            let path = file.ok()?.path();
            let is_backup = path.extension().is_some_and(|kind| kind == "json");
            EventId::parse(path.file_stem()?.to_str().filter(|_| is_backup)?).ok()
        })
        .collect()
}
