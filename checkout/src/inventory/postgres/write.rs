//! Writes a batch with one statement.

use super::batch::DecidedChanges;
use super::change_log::ChangeLogEntry;
use super::columns::Columns;
use super::database::QueryError;
use super::event_handle::EventHandle;
use super::shard::Shard;
use crate::inventory::personal::Personal;
use shared::metrics::writers;
use shared::time::Time;
use sqlx::postgres::PgRow;
use sqlx::{Row as _, query};
use std::time::Duration;
use tokio::time::Instant;

const APPLY: &str = "select seq, refused, now_ms, changes, opened, \
    pg_postmaster_start_time()::text || ' ' || 'fairline.event'::regclass::oid from fairline.apply($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, \
    $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, \
    $34, $35, $36::text::json, $37::text::json, $38::text::json, $39::text::json, $40::text::json, $41::text::json, \
    $42::text::json, $43::text::json, $44::text::json, $45::text::json, $46, $47, $48, $49, $50, $51, $52, $53)";

/// Longest time for which a batch with an unknown outcome is sent again.
const RESEND: Duration = Duration::from_secs(4);

/// Result of a batch.
pub(super) struct Applied {
    /// Sequence number of the batch within its event.
    pub(super) seq: i64,
    /// Refused requests, by their index in the batch.
    pub(super) refused: Vec<i32>,
    /// Current time of the database.
    pub(super) now: Time,
    /// Identity of the server and its tables, as a poll reads it.
    pub(super) server: String,
    /// Change-log entries of other nodes, newly reported.
    pub(super) others: Vec<ChangeLogEntry>,
}

impl Applied {
    fn read(rows: &[PgRow]) -> Option<Applied> {
        let (first, others) = rows.split_first()?;
        let written = |row: &PgRow| ChangeLogEntry {
            seq: row.get(0),
            refused: row.get(1),
            changes: row.get(3),
            opened: row.get(4),
        };
        Some(Applied {
            seq: first.get(0),
            refused: first.get(1),
            now: Time(first.get(2)),
            server: first.get(5),
            others: others.iter().map(written).collect(),
        })
    }
}

/// Result of sending a batch; `None` if the event's plan or rules had changed.
pub(super) type WriteResult = Result<Option<Applied>, QueryError>;

/// Name of a batch and the state it was decided on.
pub(super) struct Header {
    /// Configuration number, increased with every change of the plan or the rules.
    pub(super) config: i64,
    pub(super) node: String,
    pub(super) number: i64,
    /// Requests the entries that other nodes wrote after this number, except those in `have`;
    /// `None` requests none.
    pub(super) known: Option<i64>,
    pub(super) have: Vec<i64>,
}

/// Sends a batch. If there is no answer it is sent again under the same name, so that it is applied
/// once. Returns `None` if the event's plan or rules have changed.
pub(super) async fn send(
    (shard, index): (&Shard, usize),
    handle: &EventHandle,
    contents: &[DecidedChanges],
    header: &Header,
) -> WriteResult {
    let personal = Personal {
        keys: &shard.keys,
        event: &handle.event,
    };
    let columns = Columns::of(contents, personal, header.known.is_none(), &shard.tag());
    let begun = Instant::now();
    let mut is_again = false;
    loop {
        let apply = query(APPLY)
            .bind(handle.event.as_str())
            .bind(header.config)
            .bind(&header.node)
            .bind(header.number)
            .bind(is_again)
            .bind(header.known)
            .bind(&header.have);
        let connection = shard.writer(&handle.event, index);
        match connection.fetch(columns.bind(apply)).await {
            Err(QueryError::Unreachable) if begun.elapsed() < RESEND => {
                is_again = true;
                writers::INVENTORY.retries.inc();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            sent => return sent.map(|rows| Applied::read(&rows)),
        }
    }
}
