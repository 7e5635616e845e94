//! Backup of this node's view of a line, written to its data folder every few seconds: an installation that goes down
//! together with an empty Redis comes back with its events, their settings and the waiting visitors.

use super::cache::{Draw, EventConstants, LineCache};
use crate::line::bitmap::Snapshot;
use crate::line::{EventSettings, LineView, Phase};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use shared::ids::EventId;
use shared::time::Time;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use tokio::time::Instant;

/// Backup of one line.
#[derive(Serialize, Deserialize)]
pub(super) struct Backup {
    settings: EventSettings,
    life: EventConstants,
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
    pub(super) fn of(known: &LineCache) -> Option<Backup> {
        let (front, _) = known.front.as_ref()?;
        Some(Backup {
            settings: (*front.settings).clone(),
            life: known.life.clone(),
            epoch: front.epoch,
            step: front.step,
            revision: front.revision,
            numbers: front.numbers,
            highest: known.numbers,
            inside: known.inside,
            draw: match known.draw {
                Some(Draw::Waiting | Draw::Drawing) => 1,
                Some(Draw::Drawn) => 3,
                _ => 0,
            },
            head: known.head,
            bitmap: STANDARD_NO_PAD.encode(&known.bitmap),
        })
    }

    /// Writes the backup to a new file and renames it over the old one, so that a crash leaves one of the two intact.
    pub(super) fn write(&self, path: &Path) -> std::io::Result<()> {
        let beside = path.with_extension("new");
        let mut file = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_data()?;
        fs::rename(&beside, path)
    }

    /// Reads a backup. A damaged one counts as none.
    pub(super) fn read(path: &Path) -> Option<LineCache> {
        let note: Backup = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        let bitmap = STANDARD_NO_PAD.decode(&note.bitmap).ok()?;
        let alive = Snapshot::from_bitmap(note.head, &bitmap);
        let front = LineView {
            step: note.step,
            revision: note.revision,
            epoch: note.epoch,
            at: Time(0),
            phase: Phase::Scheduled,
            is_undrawn: note.draw == 1,
            drawn: 0,
            waiting: alive.count(),
            alive,
            numbers: note.numbers,
            pace: None,
            availability: None,
            settings: Arc::new(note.settings),
        };
        let mut known = LineCache::of(Arc::new(front), Instant::now());
        known.bitmap = bitmap;
        known.head = note.head;
        known.inside = note.inside;
        known.life = note.life;
        known.numbers = note.highest;
        known.draw = Some(match note.draw {
            1 => Draw::Waiting,
            3 => Draw::Drawn,
            _ => Draw::None,
        });
        Some(known)
    }
}

/// Returns the events that the folder has backups of.
pub(super) fn noted(folder: &Path) -> Vec<EventId> {
    let Ok(files) = fs::read_dir(folder) else {
        return Vec::new();
    };
    files
        .filter_map(|file| {
            let path = file.ok()?.path();
            let is_note = path.extension().is_some_and(|kind| kind == "json");
            EventId::parse(path.file_stem()?.to_str().filter(|_| is_note)?).ok()
        })
        .collect()
}
