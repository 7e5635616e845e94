//! The commands of Redis that the scripts and the nodes use, as version 7.0 has them. A command
//! that is missing here stops the simulation: it is to be added, and held against a real server by
//! `tests/like_redis.rs`.

mod bits;
mod hashes;
mod keys;
mod lists;
mod sets;
mod sorted_ranges;
mod sorted_sets;
mod streams;
mod strings;
mod words;

use crate::data::{Database, Outcome, Reply};
use words::Words;

/// Longest name of a command.
const NAME_MAX: usize = 24;

/// Runs a command.
///
/// # Panics
/// If the model does not know the command.
pub(crate) fn run(database: &mut Database, words: Words<'_>) -> Outcome {
    let mut name = [0; NAME_MAX];
    let length = words[0].len().min(NAME_MAX);
    name[..length].copy_from_slice(&words[0][..length]);
    name.make_ascii_uppercase();
    let name = &name[..length];
    let families = [
        strings::run,
        hashes::run,
        sorted_sets::run,
        sorted_ranges::run,
        bits::run,
        keys::run,
        lists::run,
        sets::run,
        streams::run,
    ];
    for family in families {
        if let Some(outcome) = family(database, name, words) {
            return outcome;
        }
    }
    match name {
        b"TIME" => {
            let (seconds, micros) = (database.now_us / 1_000_000, database.now_us % 1_000_000);
            let parts = [seconds, micros].map(|part| Reply::bulk(part.to_string().as_bytes()));
            Ok(Reply::Array(parts.into()))
        }
        b"INFO" => Ok(Reply::Bulk(information(database).into_bytes())),
        b"PING" => Ok(Reply::Status("PONG".to_owned())),
        _ => panic!(
            "the model of Redis does not know the command {}",
            String::from_utf8_lossy(name)
        ),
    }
}

/// Returns what INFO tells of the server's life. The replication id changes with every restart and
/// every promotion, the run id with every restart.
fn information(database: &Database) -> String {
    format!(
        "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:{}\r\n\
         # Replication\r\nrole:master\r\nmaster_replid:{}\r\n",
        database.life.run_id, database.life.replication_id
    )
}
