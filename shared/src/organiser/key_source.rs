//! Where the organiser keys come from: settings, or files that may change.

use super::keys::Key;
use crate::arguments::read_file;
use crate::keys::{NamedSecret, check_distinct, read_admin_key, read_more_keys};
use crate::mistakes::Mistakes;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The organiser keys, and the files that they stand in.
#[derive(Clone, Debug)]
pub struct KeySource {
    /// The first admin key.
    pub admin: Key,
    /// The other keys.
    pub more: Vec<Key>,
    /// File of the first one.
    pub admin_file: Option<PathBuf>,
    /// File of the others.
    pub more_file: Option<PathBuf>,
}

impl KeySource {
    /// Returns all keys.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let admin = std::iter::once(self.admin.clone());
        admin.chain(self.more.clone()).collect()
    }

    /// Reads the files again.
    pub(super) fn read(&self) -> Result<KeySource, Vec<String>> {
        let mut read = self.clone();
        let mut mistakes = Mistakes::default();
        let text = |path: &Option<PathBuf>, mistakes: &mut Mistakes| {
            let path = path.as_ref()?;
            let shown = path.display();
            let file = read_file(path).map_err(|why| mistakes.add(format!("{shown} {why}")));
            Some(file.ok()?.value)
        };
        if let Some(text) = text(&self.admin_file, &mut mistakes) {
            read.admin.key = read_admin_key(Some(&text), &mut mistakes).unwrap_or_default();
        }
        if let Some(text) = text(&self.more_file, &mut mistakes) {
            read.more = read_more_keys(Some(&text), &mut mistakes);
        }
        let keys = read.keys();
        let named = keys.iter().map(|key| NamedSecret {
            setting: "an organiser key",
            value: Some(&key.key),
        });
        check_distinct(&named.collect::<Vec<_>>(), &mut mistakes);
        mistakes.into_result()?;
        Ok(read)
    }

    /// Returns what shows that a file was written or replaced.
    pub(super) fn look(&self) -> Vec<Option<Seen>> {
        let files = [&self.admin_file, &self.more_file].into_iter().flatten();
        files.map(|path| Seen::of(path)).collect()
    }
}

/// A file as it was when it was looked at.
#[derive(PartialEq, Eq)]
pub(super) struct Seen {
    inode: u64,
    length: u64,
    changed_at: (i64, i64),
}

impl Seen {
    fn of(path: &Path) -> Option<Seen> {
        let data = std::fs::metadata(path).ok()?;
        Some(Seen {
            inode: data.ino(),
            length: data.len(),
            changed_at: (data.ctime(), data.ctime_nsec()),
        })
    }
}
