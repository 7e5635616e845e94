//! The data folder: private (0700, its files 0600), whoever made it, and locked, with the keys that were generated for it. No key is
//! ever overwritten.

use crate::crypto;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::NamedTempFile;

/// Largest number of folders in one another that are made private.
const DEPTH_MAX: u32 = 8;
const FORMAT: &str = "fairline-data 1\n";

/// An opened data folder. The lock is held until the last clone is dropped.
#[derive(Clone, Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: Arc<File>,
}

impl DataFolder {
    /// Opens the folder, or makes it if it does not exist.
    ///
    /// # Errors
    /// A sentence for the operator: not a folder, not ours, not writable, or held by another
    /// process.
    pub fn open(path: &Path) -> Result<DataFolder, String> {
        DataFolder::open_at(path).map_err(|error| format!("FAIRLINE_DATA: {error}"))
    }

    fn open_at(path: &Path) -> Result<DataFolder, String> {
        let shown = path.display();
        if !path.exists() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(|error| format!("the data folder {shown} cannot be made: {error}"))?;
        }
        let mut entries = fs::read_dir(path)
            .map_err(|error| format!("the data folder {shown} cannot be read: {error}"))?;
        let is_empty = entries.next().is_none();
        if !is_data_folder(path)? {
            if !is_empty {
                return Err(format!(
                    "{shown} is not empty and not a Fairline data folder: name another with --data"
                ));
            }
            write_new(&path.join("format"), FORMAT.as_bytes())?;
        }
        let lock = lock(path)?;
        make_private(path)?;
        Ok(DataFolder {
            path: path.to_owned(),
            _lock: Arc::new(lock),
        })
    }

    /// Returns the path of a file in the folder.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns the secret kept under `name`: 32 random bytes in hex, generated at the first call.
    ///
    /// # Errors
    /// If the file cannot be read or written, or does not hold 64 hex digits.
    pub fn secret(&self, name: &str) -> Result<String, String> {
        self.text(name, || Ok(crypto::hex(&crypto::random::<32>())))
            .and_then(|text| {
                let sound = text.len() == 64 && text.bytes().all(|c| c.is_ascii_hexdigit());
                let path = self.join(name);
                sound.then_some(text).ok_or_else(|| {
                    format!("{} is damaged: it should be 64 hex digits", path.display())
                })
            })
    }

    /// Returns the text kept under `name` (0600), or the result of `make`, which is then kept.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn text(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<String, String>,
    ) -> Result<String, String> {
        let path = self.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.trim_end().to_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let text = make()?;
                write_new(&path, text.as_bytes())?;
                Ok(text.trim_end().to_owned())
            }
            Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
        }
    }
}

/// Whether a folder is a data folder of this version.
///
/// # Errors
/// A sentence for the operator when it is one of another version, or cannot be read.
pub fn is_data_folder(path: &Path) -> Result<bool, String> {
    let format = path.join("format");
    match fs::read_to_string(&format) {
        Ok(text) if text == FORMAT => Ok(true),
        Ok(_) => Err(format!(
            "the data folder {} is damaged or of another version: {} is not '{}'",
            path.display(),
            format.display(),
            FORMAT.trim()
        )),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(format!("{} cannot be read: {error}", format.display())),
    }
}

/// Takes the folder, and everything in it, from others than its owner.
fn make_private(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let opened = close_to_others(path).map_err(|error| {
        format!("the data folder {shown} is open to others, and cannot be made private: {error}")
    })?;
    if opened {
        tracing::warn!(
            folder = %shown,
            "the data folder was open to other users of this machine, and is private now: they may have read the keys and orders in it"
        );
    }
    close_files(path, DEPTH_MAX)
        .map_err(|error| format!("the data folder {shown} cannot be made private: {error}"))
}

/// Closes what is in a folder. Links are left alone: they lead elsewhere.
fn close_files(folder: &Path, depth: u32) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            close_files(&entry.path(), depth - 1)?;
        }
        if kind.is_file() || kind.is_dir() {
            match close_to_others(&entry.path()) {
                // A file of SQLite may be gone by now; one of another owner is behind the folder.
                Err(error)
                    if ![ErrorKind::NotFound, ErrorKind::PermissionDenied]
                        .contains(&error.kind()) =>
                {
                    return Err(error);
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Removes the rights of others; whether they had any.
fn close_to_others(path: &Path) -> std::io::Result<bool> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(false);
    }
    fs::set_permissions(path, Permissions::from_mode(mode & 0o700))?;
    Ok(true)
}

fn lock(path: &Path) -> Result<File, String> {
    let name = path.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(&name)
        .map_err(|error| {
            format!(
                "the data folder {} cannot be written: {error}",
                path.display()
            )
        })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(format!(
            "the data folder {} is held by another process: stop it, or name another with --data",
            path.display()
        )),
        Err(fs::TryLockError::Error(error)) => {
            Err(format!("{} cannot be locked: {error}", name.display()))
        }
    }
}

/// Replaces a file as a whole: after a crash there is the old one or the new one.
///
/// # Errors
/// If it cannot be written.
pub fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    replace_with(path, |file| file.write_all(bytes))
}

/// Replaces a file as a whole by what `write` writes.
///
/// # Errors
/// If it cannot be written.
pub fn replace_with(
    path: &Path,
    write: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    write(file.as_file_mut())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(folder)?.sync_all()
}

fn write_new(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let written = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_private_and_locked_and_keeps_its_secrets() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data");
        let folder = DataFolder::open(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let secret = folder.secret("pass-secret").unwrap();
        let refused = DataFolder::open(&path).unwrap_err();
        assert!(refused.contains("held by another process"), "{refused}");
        drop(folder);
        assert_eq!(
            DataFolder::open(&path)
                .unwrap()
                .secret("pass-secret")
                .unwrap(),
            secret
        );
    }

    #[test]
    fn whatever_stood_there_before_is_made_private_with_all_that_is_in_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data");
        let line = path.join("line");
        let outside = home.path().join("outside");
        fs::write(&outside, "").unwrap();
        drop(DataFolder::open(&path).unwrap());
        fs::create_dir(&line).unwrap();
        std::os::unix::fs::symlink(&outside, path.join("link")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let set = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        let files = [path.join("inventory.sqlite"), line.join("arena.sqlite")];
        for file in &files {
            fs::write(file, "").unwrap();
            set(file, 0o644);
        }
        set(&outside, 0o644);
        set(&line, 0o755);
        set(&path, 0o755);
        drop(DataFolder::open(&path).unwrap());
        assert_eq!([mode(&path), mode(&line)], [0o700, 0o700]);
        assert_eq!(files.map(|file| mode(&file)), [0o600, 0o600]);
        assert_eq!(mode(&outside), 0o644);
    }

    #[test]
    fn a_damaged_secret_and_a_foreign_folder_are_refused_and_left_as_they_are() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("holiday.jpg"), b"x").unwrap();
        assert!(
            DataFolder::open(home.path())
                .unwrap_err()
                .contains("not a Fairline data folder")
        );
        let path = home.path().join("data");
        let folder = DataFolder::open(&path).unwrap();
        fs::write(folder.join("pass-secret"), "broken").unwrap();
        assert!(
            folder
                .secret("pass-secret")
                .unwrap_err()
                .contains("damaged")
        );
        assert_eq!(
            fs::read_to_string(folder.join("pass-secret")).unwrap(),
            "broken"
        );
    }
}
