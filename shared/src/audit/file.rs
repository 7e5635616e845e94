//! The file of the audit log: lines are appended and on disk before they count.

use super::chain::Head;
use super::check::{ADOPT, Checked, head_text, read};
use super::entry::{ENTRIES_MAX, Entry};
use crate::crypto::{hex, sha256};
use crate::data_dir::replace;
use crate::time::Time;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Largest number of lines that wait for a disk that takes none.
const UNWRITTEN_MAX: usize = 1000;

/// The file, opened to be appended to.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    head: Head,
    /// The newest lines, oldest first.
    newest: VecDeque<String>,
    /// Lines that the disk did not take yet.
    unwritten: VecDeque<String>,
    /// The file ends in the middle of a line.
    is_torn: bool,
}

impl LogFile {
    /// Opens the log at `path`, and checks it. What is wrong with it is told, and the log goes on:
    /// the fault stays to be seen, as lines are never changed.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub(super) fn open(path: &Path, now: Time) -> Result<(LogFile, Checked), String> {
        let failed = |error| format!("the audit log {} cannot be opened: {error}", path.display());
        let read = read(path)?;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        let skipped = read.lines.len().saturating_sub(ENTRIES_MAX);
        let is_new = read.head.is_none();
        let mut log = LogFile {
            path: path.to_owned(),
            file,
            head: read.head.unwrap_or_else(Head::new),
            newest: read.lines.into_iter().skip(skipped).collect(),
            unwritten: VecDeque::new(),
            is_torn: read.is_torn,
        };
        if is_new && read.checked.adopted > 0 {
            log.adopt(read.checked.adopted, now).map_err(failed)?;
        }
        Ok((log, read.checked))
    }

    /// Seals the lines of an earlier version, which have no hashes, with the first of the chain.
    fn adopt(&mut self, count: u64, now: Time) -> std::io::Result<()> {
        self.end_torn_line()?;
        let before = fs::read(&self.path)?;
        let entry = Entry {
            at: now,
            by: "fairline".to_owned(),
            action: ADOPT.to_owned(),
            event: String::new(),
            address: None,
            from: Value::Null,
            to: json!({"lines": count, "sha256": hex(&sha256(&before))}),
        };
        self.append(entry).1
    }

    /// Appends an entry. Returns its line, and whether it is on disk; if not, the next call tries
    /// again.
    pub(super) fn append(&mut self, entry: Entry) -> (String, std::io::Result<()>) {
        let line = self.head.append(entry);
        if self.newest.len() == ENTRIES_MAX {
            self.newest.pop_front();
        }
        self.newest.push_back(line.clone());
        if self.unwritten.len() == UNWRITTEN_MAX {
            self.unwritten.pop_front();
        }
        self.unwritten.push_back(line.clone());
        (line, self.write())
    }

    fn write(&mut self) -> std::io::Result<()> {
        self.end_torn_line()?;
        let mut text = String::new();
        for line in &self.unwritten {
            text.push_str(line);
            text.push('\n');
        }
        self.is_torn = true;
        self.file.write_all(text.as_bytes())?;
        self.file.sync_data()?;
        self.is_torn = false;
        self.unwritten.clear();
        // After the line: a head without its line would look like a line that was removed.
        replace(
            &self.path.with_extension("head"),
            head_text(&self.head).as_bytes(),
        )
    }

    /// Ends a line that broke off, so that the next one stands for itself.
    fn end_torn_line(&mut self) -> std::io::Result<()> {
        if self.is_torn {
            self.file.write_all(b"\n")?;
            self.is_torn = false;
        }
        Ok(())
    }

    /// Returns the newest lines, newest first.
    pub(super) fn newest(&self) -> impl Iterator<Item = &String> {
        self.newest.iter().rev()
    }

    /// Returns the id of this log.
    pub(super) fn id(&self) -> &str {
        &self.head.log
    }
}
