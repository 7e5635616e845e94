//! `backup`: copies a data folder while a process uses it. A restore is copying the folder back.

use crate::data_dir::is_data_folder;
use crate::log;
use crate::process::exit;
use crate::settings::Common;
use rusqlite::{Connection, OpenFlags};
use std::fs::{self, DirEntry, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `backup`.
#[derive(Clone, Debug, clap::Args)]
pub struct BackupArgs {
    /// New folder for the copy, which will hold secrets
    folder: PathBuf,
}

/// Runs the command. `elsewhere` names the stores that are not in the data folder.
pub fn run(program: &str, common: &Common, args: &BackupArgs, elsewhere: &[&str]) -> ExitCode {
    let outcome = back_up(&common.data_folder(), &args.folder);
    if let Ok(count) = &outcome {
        log::print(format_args!(
            "Backed up {count} files to {}. It holds secrets: keep it as you keep your keys.",
            args.folder.display()
        ));
        for store in elsewhere {
            log::print(format_args!(
                "{store} is not in it: back that up with its own tools, see docs/operations.md."
            ));
        }
    }
    exit(program, outcome.map(drop).map_err(|error| vec![error]))
}

/// Copies a data folder to a new or empty folder and returns the number of files. Each file is
/// consistent, whatever is written meanwhile, and has everything that was acknowledged before.
///
/// # Errors
/// A sentence for the operator. There is nothing at the new folder then.
pub fn back_up(data: &Path, to: &Path) -> Result<usize, String> {
    let shown = to.display();
    if !is_data_folder(data)? {
        return Err(format!(
            "{} is not a Fairline data folder: name it with --data",
            data.display()
        ));
    }
    let parent = check_target(data, to)?;
    let failed = |error: String| format!("the backup {shown} cannot be made: {error}");
    let io = |error: std::io::Error| failed(error.to_string());
    // Made beside its place and then renamed, so that a backup that is there is complete. Removed
    // when dropped.
    let unfinished = tempfile::Builder::new()
        .prefix(".fairline-backup-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(&parent)
        .map_err(io)?;
    let count = copy_folder(data, unfinished.path()).map_err(failed)?;
    fs::rename(unfinished.path(), to).map_err(io)?;
    sync(&parent).map_err(io)?;
    Ok(count)
}

/// Returns the folder that the backup will be in, if it may be there.
fn check_target(data: &Path, to: &Path) -> Result<PathBuf, String> {
    let shown = to.display();
    match fs::read_dir(to).map(Iterator::count) {
        Ok(entries) if entries > 0 => {
            return Err(format!(
                "{shown} is not empty: name a new folder for the backup"
            ));
        }
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(format!("{shown} cannot hold the backup: {error}"));
        }
        _ => {}
    }
    let parent = match to.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let cannot = |error| {
        format!(
            "{shown} cannot hold the backup: {}: {error}",
            parent.display()
        )
    };
    let parent = parent.canonicalize().map_err(cannot)?;
    let data = data.canonicalize().map_err(cannot)?;
    if parent.starts_with(data) {
        return Err(format!(
            "{shown} lies in the data folder: name a folder elsewhere for the backup"
        ));
    }
    Ok(parent)
}

/// Copies the files of a folder and of the folders in it.
fn copy_folder(from: &Path, to: &Path) -> Result<usize, String> {
    let failed = |error| format!("{}: {error}", from.display());
    let entries = fs::read_dir(from).map_err(failed)?;
    let mut entries: Vec<DirEntry> = entries.collect::<Result<_, _>>().map_err(failed)?;
    // The seats come last, after the folder of the lines. So they know all that the lines know: a
    // fan whose order is missing is not done in the line.
    // The audit log comes behind its head, which must not tell of a line that is missing.
    entries.sort_by_key(|entry| {
        let path = entry.path();
        (!path.is_dir(), is_sqlite(&path), is_log(&path))
    });
    let mut count = 0;
    for entry in entries {
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        let is_folder = entry.file_type().map_err(failed)?.is_dir();
        if is_folder {
            fs::DirBuilder::new()
                .mode(0o700)
                .create(&copy)
                .map_err(failed)?;
            count += copy_folder(&path, &copy)?;
        } else if !is_of_process(&path) {
            count += copy_file(&path, &copy)?;
        }
    }
    sync(to).map_err(|error| format!("{}: {error}", to.display()))?;
    Ok(count)
}

fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "jsonl")
}

fn is_sqlite(path: &Path) -> bool {
    path.extension().is_some_and(|kind| kind == "sqlite")
}

/// Returns whether a file belongs to the process that uses the folder: its lock, what SQLite keeps
/// beside a file, files that are about to replace others.
fn is_of_process(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name == "lock"
        || name.starts_with(".tmp")
        || ["-wal", "-shm", "-journal"]
            .iter()
            .any(|end| name.ends_with(end))
}

/// Copies a file and returns how many that are: none if it was removed meanwhile, as with its
/// event.
fn copy_file(from: &Path, to: &Path) -> Result<usize, String> {
    let mut copy = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(to)
        .map_err(|error| format!("{}: {error}", to.display()))?;
    let copied = if is_sqlite(from) {
        copy_database(from, to)
    } else {
        copy_text(from, &mut copy).map_err(|error| error.to_string())
    };
    match copied {
        // SQLite leaves it to the caller to have the file written to the disk.
        Ok(()) => copy
            .sync_all()
            .map(|()| 1)
            .map_err(|error| format!("{}: {error}", to.display())),
        Err(_) if !from.exists() => fs::remove_file(to)
            .map(|()| 0)
            .map_err(|error| format!("{}: {error}", to.display())),
        Err(error) => Err(format!("{}: {error}", from.display())),
    }
}

/// Copies a database into an empty file, as of one commit. Writers need not wait.
fn copy_database(from: &Path, to: &Path) -> Result<(), String> {
    let copy = to.to_str().ok_or("its name is not UTF-8")?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copied = Connection::open_with_flags(from, flags)
        .and_then(|database| database.execute("vacuum into ?1", [copy]));
    copied.map(drop).map_err(|error| error.to_string())
}

/// Copies a file that is replaced as a whole when it changes, or a log, of which a line that is
/// being written is left out.
fn copy_text(from: &Path, copy: &mut File) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    File::open(from)?.read_to_end(&mut bytes)?;
    if is_log(from) {
        let end = bytes.iter().rposition(|byte| *byte == b'\n');
        bytes.truncate(end.map_or(0, |end| end + 1));
    }
    copy.write_all(&bytes)
}

fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}
