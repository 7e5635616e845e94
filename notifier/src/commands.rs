//! Commands beside the running notifier: dead letters, and events that are consumed again. They write
//! what they want to its file, and it looks there every second.

use crate::settings::{ConsumerName, NotifierArgs};
use crate::store::{DONE_DAYS, DeadLetter, Store, Stored};
use serde_json::json;
use shared::log;
use shared::time::{Clock, Time};

/// A command.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// List dead letters, try them again or give them up
    DeadLetters {
        #[command(subcommand)]
        what: Option<DeadLetterCommand>,
    },
    /// Consume events again from a time on, as for a new index of the search engine
    Replay {
        /// The consumer
        #[arg(long)]
        consumer: ConsumerName,
        /// The time, such as 2026-11-28T06:00:00Z
        #[arg(long)]
        from: String,
    },
}

/// A command for dead letters.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum DeadLetterCommand {
    /// Print them, one JSON object a line (the default)
    List,
    /// Try one again, or all
    Retry {
        /// Number of a dead letter
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        number: Option<i64>,
        /// All of them
        #[arg(long)]
        all: bool,
    },
    /// Give one up: it counts as done
    Discard {
        /// Number of the dead letter
        number: i64,
    },
}

/// Runs a command.
///
/// # Errors
/// A sentence for the operator.
pub async fn run(command: &Command, args: &NotifierArgs) -> Stored<()> {
    let file = args.file();
    if !file.exists() {
        return Err(format!(
            "{} does not exist: name the notifier's folder with --data",
            file.display()
        ));
    }
    let store = Store::open(&file, Clock::system())?;
    match command {
        Command::DeadLetters { what } => dead_letters(&store, what.as_ref()).await,
        Command::Replay { consumer, from } => {
            replay(&store, args, *consumer, Time::parse(from)?).await
        }
    }
}

async fn dead_letters(store: &Store, what: Option<&DeadLetterCommand>) -> Stored<()> {
    match what {
        None | Some(DeadLetterCommand::List) => {
            for letter in store.dead_letters(None).await? {
                log::print(shown(&letter));
            }
        }
        Some(DeadLetterCommand::Retry { number, .. }) => {
            let count = store.retry(*number).await?;
            if let (Some(number), 0) = (number, count) {
                return Err(format!("there is no dead letter {number}"));
            }
            log::print(format_args!(
                "{count} to be tried again by the running notifier"
            ));
        }
        Some(DeadLetterCommand::Discard { number }) => {
            if !store.discard(*number).await? {
                return Err(format!("there is no dead letter {number}"));
            }
            log::print(format_args!("{number} is given up"));
        }
    }
    Ok(())
}

fn shown(letter: &DeadLetter) -> String {
    let DeadLetter {
        number,
        consumer,
        event,
        reason,
        failed_at,
        state,
    } = letter;
    json!({
        "number": number,
        "consumer": consumer,
        "id": event.id,
        "type": event.event_type,
        "subject": event.aggregate,
        "time": event.at,
        "reason": reason,
        "failed_at": failed_at,
        "is_retried": state.is_retried,
        "is_held": state.is_held,
        "data": String::from_utf8_lossy(&event.data),
    })
    .to_string()
}

async fn replay(
    store: &Store,
    args: &NotifierArgs,
    consumer: ConsumerName,
    from: Time,
) -> Stored<()> {
    if !args.can_repeat() {
        return Err("RabbitMQ keeps no events that were taken, and cannot repeat any".to_owned());
    }
    let days = DONE_DAYS * 24 * 3_600_000;
    if consumer == ConsumerName::Loyalty && from.0 < Clock::system().now().0 - days {
        return Err(format!(
            "points would be given twice: what is done is known for {DONE_DAYS} days"
        ));
    }
    let forgets = consumer == ConsumerName::Search;
    store.ask_replay(consumer.as_str(), from, forgets).await?;
    log::print(format_args!(
        "to be consumed again from {from} on by the running notifier"
    ));
    Ok(())
}
