//! Archive of events: what stays of one that is put away or deleted, as files in the data folder of
//! the node that removes it.

use crate::app::Room;
use crate::draw::{Drawn, LINES, List};
use crate::draw_routes::publish;
use crate::line::{LineView, Refused};
use serde_json::{Value, json};
use shared::audit::{ENTRIES_MAX, Entry};
use shared::data_dir::{replace, replace_with};
use shared::http::problem::Problem;
use shared::ids::EventId;
use shared::time::Time;
use std::fs::DirBuilder;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::sync::Arc;

/// Time after which an event is put away without the list of its draw, if that cannot be read.
const LIST_SECONDS_MAX: u32 = 24 * 3600;

impl Room {
    /// Returns whether the time for which an event is kept is over.
    pub(crate) fn is_to_be_put_away(&self, event: &EventId) -> bool {
        let hub = self.known_hub(event);
        let due = hub.and_then(|hub| hub.front().put_away_at());
        due.is_some_and(|at| at <= self.now(event))
    }

    /// Puts an event away whose time is over: writes its archive and removes its line. Its sale at
    /// the checkout stays.
    pub(crate) async fn put_away(self: &Arc<Room>, event: &EventId) -> Result<(), Problem> {
        let front = match self.line.tick(event).await {
            Err(Refused::NoSuchEvent) => return Ok(()),
            front => front?,
        };
        let Some(due) = front.put_away_at().filter(|at| *at <= front.at) else {
            return Ok(());
        };
        let is_late = due.plus_seconds(LIST_SECONDS_MAX) <= front.at;
        let list = match self.list_to_keep(event, &front).await {
            Err(problem) if !is_late => return Err(problem),
            list => list.unwrap_or_default(),
        };
        let archive = self.archive(event, &front, list).await?;
        match self.line.remove(event).await {
            // Another node was faster.
            Err(Refused::NoSuchEvent) => return Ok(()),
            removed => removed?,
        }
        self.forget(event);
        self.site.edge.purge(event);
        tracing::info!(%event, archive, "event put away");
        let entry = Entry {
            at: self.site.clock.now(),
            by: "fairline".to_owned(),
            action: "event.put_away".to_owned(),
            event: event.to_string(),
            address: None,
            from: json!(*front.settings),
            to: json!({"archive": archive}),
        };
        self.site.audit.record(entry).await;
        Ok(())
    }

    /// Returns the list of an event's draw, if one was held.
    pub(crate) async fn list_to_keep(
        self: &Arc<Room>,
        event: &EventId,
        front: &LineView,
    ) -> Result<Option<Arc<List>>, Problem> {
        if front.drawn == 0 {
            return Ok(None);
        }
        self.drawn_list(event).await.map(Some)
    }

    /// Writes the archive of an event and returns its name in the folder of archives.
    pub(crate) async fn archive(
        &self,
        event: &EventId,
        front: &LineView,
        list: Option<Arc<List>>,
    ) -> Result<String, Problem> {
        let stats = self.line.stats(event).await?;
        let draw = self.line.draw(event).await?;
        let newest = self.site.audit.newest(ENTRIES_MAX).await.into_iter();
        let changes: Vec<Entry> = newest
            .filter(|entry| entry.event == event.as_str())
            .collect();
        let name = format!("{event}-{}", compact(front.at));
        let archive = Archive {
            folder: self.archives.join(&name),
            summary: json!({"settings": *front.settings, "figures": stats, "changes": changes}),
            draw: draw.as_ref().map(publish),
            list,
        };
        // Off the async threads: the list of a draw may have millions of lines.
        let written = tokio::task::spawn_blocking(move || archive.write()).await;
        match written {
            Ok(Ok(())) => Ok(name),
            Ok(Err(error)) => {
                tracing::error!(%event, %error, "archive could not be written");
                let why = "its archive cannot be written to the data folder: the line is kept";
                Err(Problem::unavailable().detail(why))
            }
            Err(_) => Err(Problem::unavailable()),
        }
    }
}

/// Files of an event that is removed.
struct Archive {
    folder: PathBuf,
    /// Settings, figures and changes, in `event.json`.
    summary: Value,
    /// In `draw.json`, as `verify-draw` reads it.
    draw: Option<Drawn>,
    /// In `entries.txt`, as `verify-draw` reads it.
    list: Option<Arc<List>>,
}

impl Archive {
    /// Writes the files, the summary last: where that is, the archive is complete.
    fn write(&self) -> std::io::Result<()> {
        let mut folder = DirBuilder::new();
        folder.recursive(true).mode(0o700).create(&self.folder)?;
        if let Some(draw) = &self.draw {
            let draw = serde_json::to_vec_pretty(draw)?;
            replace(&self.folder.join("draw.json"), &draw)?;
        }
        if let Some(list) = &self.list {
            replace_with(&self.folder.join("entries.txt"), |file| {
                let pieces = (0..).step_by(LINES);
                let mut pieces = pieces.map_while(|skipped| list.lines_after(skipped));
                pieces.try_for_each(|lines| file.write_all(lines.as_bytes()))
            })?;
        }
        let summary = serde_json::to_vec_pretty(&self.summary)?;
        replace(&self.folder.join("event.json"), &summary)
    }
}

/// Returns a time as part of a file's name.
fn compact(time: Time) -> String {
    let whole = Time(time.seconds() * 1000).to_string();
    whole.replace(['-', ':'], "")
}
