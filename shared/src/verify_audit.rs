//! `verify-audit`: checks the audit log of a data folder.

use crate::audit::{Checked, check_file, check_shared};
use crate::log;
use crate::process::exit;
use crate::settings::Common;
use std::process::ExitCode;

/// Arguments of `verify-audit`.
#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArgs {
    /// Hash that an earlier check told, or the log of a start: it must be in the chain still
    #[arg(long)]
    head: Option<String>,
}

/// Lines of a store that nodes share.
pub struct SharedLines {
    /// The store, in words for people.
    pub name: &'static str,
    /// The lines that it has.
    pub lines: Vec<String>,
    /// It keeps all lines, and not only the newest.
    pub is_whole: bool,
}

/// Checks the log of the data folder, and what a shared store has of it. Exit code 0: it is as it
/// was written; 1: it is not; 2: it cannot be read.
pub fn verify(
    program: &str,
    common: &Common,
    args: &VerifyArgs,
    shared: Result<Option<SharedLines>, String>,
) -> ExitCode {
    let path = common.data_folder().join("audit.jsonl");
    let checked = if path.exists() {
        check_file(&path, args.head.as_deref())
    } else {
        Err(format!("there is no audit log at {}", path.display()))
    };
    let (checked, shared) = match (checked, shared) {
        (Ok(checked), Ok(shared)) => (checked, shared),
        (Err(error), _) | (_, Err(error)) => return exit(program, Err(vec![error])),
    };
    let is_whole = tell(&path.display().to_string(), &checked);
    let shared = shared.map(|store| {
        let checked = check_shared(&store.lines, store.is_whole);
        tell(store.name, &checked)
    });
    if is_whole && shared != Some(false) {
        return ExitCode::SUCCESS;
    }
    ExitCode::FAILURE
}

/// Prints the result; whether all is well.
fn tell(name: &str, checked: &Checked) -> bool {
    for fault in &checked.faults {
        log::print_error(format_args!("{name}: {fault}."));
    }
    let Checked {
        lines,
        adopted,
        torn,
        head,
        ..
    } = checked;
    if !checked.faults.is_empty() {
        log::print_error(format_args!("{name} is NOT as it was written."));
        return false;
    }
    let mut more = String::new();
    if *adopted > 0 {
        more += &format!(", after {adopted} without a chain");
    }
    if *torn > 0 {
        more += &format!(", and {torn} that broke off while they were written");
    }
    if let Some(at) = checked.last_at {
        more += &format!("; the last is of {at}, its hash {head}");
    }
    log::print(format_args!(
        "{name} is as it was written: {lines} entries{more}."
    ));
    true
}
