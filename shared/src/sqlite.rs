//! SQLite files: opened so that a commit survives a power failure, and checked before they are
//! used.

use rusqlite::{Connection, Error, ffi};
use std::path::Path;

/// Pages in the write-ahead log after which it is copied into the file.
const CHECKPOINT_PAGES: u32 = 4000;

/// Opens a file, creating it if it does not exist, and checks it.
///
/// # Errors
/// If the file cannot be opened or is damaged.
pub fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    let verdict: String = connection.query_row("pragma quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" {
        Ok(connection)
    } else {
        Err(corrupt(verdict))
    }
}

/// Returns the version of a file's schema, which is in its header; 0 for a new file.
///
/// # Errors
/// When it is newer than what this program knows.
pub fn schema_version(connection: &Connection, known: u32) -> rusqlite::Result<u32> {
    let version: u32 = connection.query_row("pragma user_version", [], |row| row.get(0))?;
    if version > known {
        return Err(corrupt(format!(
            "its schema has version {version}, this program knows {known}"
        )));
    }
    Ok(version)
}

/// Returns the error for a file whose content is not what it should be.
fn corrupt(reason: String) -> Error {
    Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(reason))
}
