//! `tail`: prints the events of the outbox as they are written, one JSON object a line.

use crate::inventory::Refused;
use crate::inventory::outbox::{EventType, OUTBOX_ROWS_MAX, Outbox, OutboxRow, OutboxShard};
use serde_json::{Value, json};
use shared::log;
use shared::process::exit;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::sleep;

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Arguments of `tail`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TailArgs {
    /// Types to print, separated by commas, such as order.confirmed or order.* [default: all]
    #[arg(long = "type", value_name = "TYPE", value_delimiter = ',')]
    pub types: Vec<String>,
    /// Print only what happens to this event
    #[arg(long, value_name = "EVENT")]
    pub event: Option<String>,
    /// Begin with the events that are kept, instead of the next one
    #[arg(long)]
    pub kept: bool,
}

/// Prints events until the reader of the output is gone. Exit code 2: an argument is wrong.
pub async fn run(outbox: &dyn Outbox, args: &TailArgs) -> ExitCode {
    let mut tail = match Tail::begin(outbox, args).await {
        Ok(tail) => tail,
        Err(error) => return exit("tail", Err(vec![error])),
    };
    let mut is_away = false;
    loop {
        match tail.next().await {
            Ok(lines) => {
                is_away = false;
                if print(&lines).is_err() {
                    return ExitCode::SUCCESS;
                }
                if !lines.is_empty() {
                    continue;
                }
            }
            Err(error) if !std::mem::replace(&mut is_away, true) => {
                log::print_error(format_args!(
                    "tail: {error}; it goes on once there is an answer"
                ));
            }
            Err(_) => {}
        }
        sleep(LOOK_EVERY).await;
    }
}

fn print(lines: &[Value]) -> io::Result<()> {
    let mut to = io::stdout().lock();
    for line in lines {
        writeln!(to, "{line}")?;
    }
    to.flush()
}

/// A look at the outbox that goes on where the last one ended. It acknowledges nothing, so that no
/// consumer misses what it shows.
pub struct Tail<'a> {
    outbox: &'a dyn Outbox,
    filter: Filter,
    /// The shards, each with the position of the last event that was read.
    read: Vec<(OutboxShard, i64)>,
}

impl<'a> Tail<'a> {
    /// Begins at the newest event, or at the oldest that is kept.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub async fn begin(outbox: &'a dyn Outbox, args: &TailArgs) -> Result<Tail<'a>, String> {
        let filter = Filter::new(args)?;
        let newest = outbox.newest().await.map_err(|error| error.to_string())?;
        let from = |(shard, position)| (shard, if args.kept { 0 } else { position });
        Ok(Tail {
            outbox,
            filter,
            read: newest.into_iter().map(from).collect(),
        })
    }

    /// Returns the events since the last look, as lines to print; those of an aggregate in order. A
    /// bounded number: ask again until there is none.
    ///
    /// # Errors
    /// If the store cannot be reached. Nothing is left out then.
    pub async fn next(&mut self) -> Result<Vec<Value>, Refused> {
        let mut found = Vec::new();
        let mut read = self.read.clone();
        for (shard, position) in &mut read {
            let rows = self.outbox.read(*shard, *position, OUTBOX_ROWS_MAX);
            let rows = match rows.await {
                Err(Refused::NoSuchShard) => {
                    self.follow_servers().await?;
                    return Ok(Vec::new());
                }
                rows => rows?,
            };
            // Times of a shard may not rise; its order is that of its positions.
            let mut latest = 0;
            for row in rows {
                *position = row.position;
                latest = latest.max(row.at.0);
                found.push((latest, row));
            }
        }
        self.read = read;
        found.retain(|(_, row)| self.filter.takes(row));
        found.sort_by_key(|(at, _)| *at);
        Ok(found.iter().map(|(_, row)| line(row)).collect())
    }

    /// Goes on where it is with the servers that answer now. Where one has gone back, at its newest
    /// event.
    async fn follow_servers(&mut self) -> Result<(), Refused> {
        let newest = self.outbox.newest().await?;
        for (shard, position) in &mut self.read {
            let mut newest = newest.iter();
            if let Some((now, last)) = newest.find(|(now, _)| now.is_same_part(shard)) {
                (*shard, *position) = (*now, *last.min(position));
            }
        }
        Ok(())
    }
}

fn line(row: &OutboxRow) -> Value {
    let data: Value = serde_json::from_str(&row.payload).unwrap_or_default();
    json!({"id": row.id, "type": row.event_type, "time": row.at, "event": row.event,
        "aggregate": row.aggregate_type, "subject": row.aggregate_id,
        "traceparent": row.traceparent, "data": data})
}

/// Choice of events.
struct Filter {
    types: Vec<&'static str>,
    event: Option<String>,
}

impl Filter {
    fn new(args: &TailArgs) -> Result<Filter, String> {
        let all = EventType::ALL.map(EventType::as_str);
        let mut types = Vec::new();
        for wanted in &args.types {
            let fits = |name: &&str| EventType::fits(wanted, name);
            let before = types.len();
            types.extend(all.into_iter().filter(fits));
            if types.len() == before {
                let all = all.join(", ");
                return Err(format!("--type: there is no type '{wanted}': {all}"));
            }
        }
        if args.types.is_empty() {
            types.extend(all);
        }
        Ok(Filter {
            types,
            event: args.event.clone(),
        })
    }

    fn takes(&self, row: &OutboxRow) -> bool {
        let is_of_event = self.event.as_ref().is_none_or(|event| row.event == *event);
        is_of_event && self.types.contains(&row.event_type.as_str())
    }
}
