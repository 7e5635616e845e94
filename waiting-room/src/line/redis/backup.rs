//! Backup of this node's view of a line, written to its data folder every few seconds: an
//! installation that goes down together with an empty Redis comes back with its events, their
//! settings and the waiting visitors.

use super::cache::LineCache;
use super::view_reply::{DrawStage, EventConstants};
use crate::line::bitmap::Snapshot;
use crate::line::{EventSettings, LineView, Phase};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use shared::data_dir::replace;
use shared::ids::EventId;
use shared::time::Time;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use tokio::time::Instant;

/// Backup of one line.
#[derive(Serialize, Deserialize)]
pub(super) struct Backup {
    settings: EventSettings,
    #[serde(rename = "life")]
    constants: EventConstants,
    epoch: u64,
    step: u64,
    revision: u64,
    numbers: u64,
    highest: u64,
    inside: u64,
    draw: u8,
    head: u64,
    bitmap: String,
}

impl Backup {
    /// Creates a backup of a cache; none if the cache is empty.
    pub(super) fn of(cache: &LineCache) -> Option<Backup> {
        let view = cache.view()?;
        Some(Backup {
            settings: (*view.settings).clone(),
            constants: cache.constants.clone(),
            epoch: view.epoch,
            step: view.step,
            revision: view.revision,
            numbers: view.numbers,
            highest: cache.numbers,
            inside: cache.inside,
            draw: cache.recovery_draw(),
            head: cache.head,
            bitmap: STANDARD_NO_PAD.encode(&cache.bitmap),
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
        let alive = Snapshot::from_bitmap(backup.head, &bitmap);
        let draw = DrawStage::from_code(i64::from(backup.draw));
        let view = LineView {
            step: backup.step,
            revision: backup.revision,
            epoch: backup.epoch,
            at: Time(0),
            phase: Phase::Scheduled,
            is_undrawn: draw.is_undrawn(),
            drawn: 0,
            waiting: alive.count(),
            alive,
            numbers: backup.numbers,
            pace: None,
            availability: None,
            settings: Arc::new(backup.settings),
        };
        let mut cache = LineCache::of(Arc::new(view), Instant::now());
        cache.bitmap = bitmap;
        cache.head = backup.head;
        cache.inside = backup.inside;
        cache.constants = backup.constants;
        cache.numbers = backup.highest;
        cache.draw = Some(draw);
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
