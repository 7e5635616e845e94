//! Combines requests into batches: requests for a line that arrive during a round trip go out together in the next
//! one, with one script call per operation. The cost per fan falls as load rises.

use super::connection::Connection;
use super::script::Script;
use redis::Value;
use shared::group_commit::Unavailable;
use shared::ids::VisitorId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

/// Maximum number of requests queued for one line at this node.
const QUEUE_MAX: usize = 20_000;
/// Maximum number of units sent in one round trip.
const ROUND_MAX: usize = 4_000;
/// How long a request is retried during a draw or recovery.
const PATIENCE: Duration = Duration::from_millis(4_000);
const RETRY: Duration = Duration::from_millis(60);

/// Arguments of an operation for one visitor, in the order that the script takes them.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    pub(super) visitor: Option<VisitorId>,
    pub(super) number: Option<u64>,
    /// Whether this node holds the visitor's socket.
    pub(super) is_connected: Option<bool>,
}

impl Unit {
    /// Creates a unit for a visitor.
    pub(super) fn of(visitor: VisitorId) -> Unit {
        Unit {
            visitor: Some(visitor),
            number: None,
            is_connected: None,
        }
    }

    /// Creates a unit for a visitor with a number.
    pub(super) fn with(visitor: VisitorId, number: u64) -> Unit {
        Unit {
            number: Some(number),
            ..Unit::of(visitor)
        }
    }

    /// Creates a unit for a number.
    pub(super) fn numbered(number: u64) -> Unit {
        Unit {
            visitor: None,
            number: Some(number),
            is_connected: None,
        }
    }

    fn write(&self, arguments: &mut Vec<Vec<u8>>) {
        if let Some(visitor) = self.visitor {
            arguments.push(visitor.0.to_be_bytes().to_vec());
        }
        if let Some(number) = self.number {
            arguments.push(number.to_string().into_bytes());
        }
        if let Some(is_connected) = self.is_connected {
            arguments.push(vec![if is_connected { b'1' } else { b'0' }]);
        }
    }
}

/// Units of a request. Most have one, which then needs no allocation.
#[derive(Clone)]
pub(super) enum Units {
    One(Unit),
    Many(Arc<[Unit]>),
}

impl Units {
    fn all(&self) -> &[Unit] {
        match self {
            Units::One(unit) => std::slice::from_ref(unit),
            Units::Many(units) => units,
        }
    }
}

/// An operation that takes units.
#[derive(Clone, Copy)]
pub(super) struct Operation {
    /// Identifies the operation; unique.
    pub(super) id: u8,
    /// Maximum number of units in one call.
    pub(super) units_max: usize,
    /// Number of header values preceding the replies of the units.
    pub(super) header: usize,
    pub(super) script: &'static std::sync::LazyLock<Script>,
}

/// Replies to one request in the order of its units, and the header before them.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pub(super) header: Arc<[i64]>,
    pub(super) answers: Vec<Value>,
}

/// Reason for having no replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// The store did not answer; the operation may have happened.
    Away,
    /// The store does not know the event.
    Gone,
    /// A different server than before answered; the next tick recovers the line. Nothing was done.
    Lost,
    /// Not possible at the moment; try again. Nothing was done.
    Busy,
}

struct Request {
    operation: Operation,
    units: Units,
    reply: oneshot::Sender<Result<Answers, Failed>>,
}

/// Handle to the task that sends the batches of one line.
#[derive(Clone)]
pub(super) struct Batches(mpsc::Sender<Request>);

/// Arguments common to all script calls on one line.
pub(super) struct Caller {
    pub(super) link: Arc<Connection>,
    pub(super) base: String,
    pub(super) node: String,
    /// Current time in ms as moved by tests; "0" in service, for the store's own clock.
    pub(super) now: Box<dyn Fn() -> String + Send + Sync>,
}

impl Caller {
    /// Calls a script with the common arguments followed by these.
    pub(super) async fn call(
        &self,
        script: &Script,
        arguments: &[&[u8]],
    ) -> Result<Vec<Value>, Failed> {
        let now = (self.now)();
        let head = [now.as_bytes(), self.node.as_bytes()];
        let all = head.into_iter().chain(arguments.iter().copied());
        match script.run(&self.link, &self.base, all).await {
            Ok(value) => told(value),
            Err(_) => Err(Failed::Away),
        }
    }
}

/// Splits off the first value of a reply, which tells whether the script succeeded.
fn told(value: Value) -> Result<Vec<Value>, Failed> {
    let Value::Array(mut values) = value else {
        return Err(Failed::Away);
    };
    match values.first() {
        Some(Value::BulkString(word)) => match word.as_slice() {
            b"gone" => Err(Failed::Gone),
            b"lost" => Err(Failed::Lost),
            b"busy" => Err(Failed::Busy),
            b"ok" => {
                values.remove(0);
                Ok(values)
            }
            // Results of one script alone, handled by its caller.
            _ => Ok(values),
        },
        _ => Err(Failed::Away),
    }
}

impl Batches {
    /// Starts the task that sends the batches of one line. It ends when the last handle is dropped.
    pub(super) fn start(caller: Arc<Caller>) -> Batches {
        let (send, receive) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(work(caller, receive));
        Batches(send)
    }

    /// Runs an operation on each unit, atomically for the units of one call, and retries while the line is busy.
    pub(super) async fn run(&self, operation: Operation, units: Units) -> Result<Answers, Failed> {
        let until = Instant::now() + PATIENCE;
        loop {
            let (reply, answer) = oneshot::channel();
            let request = Request {
                operation,
                units: units.clone(),
                reply,
            };
            self.0.try_send(request).map_err(|_| Failed::Away)?;
            match answer.await.unwrap_or(Err(Failed::Away)) {
                Err(Failed::Busy) if Instant::now() + RETRY < until => sleep(RETRY).await,
                Err(Failed::Busy) => return Err(Failed::Away),
                answer => return answer,
            }
        }
    }
}

impl From<Failed> for Unavailable {
    fn from(_: Failed) -> Unavailable {
        Unavailable
    }
}

async fn work(caller: Arc<Caller>, mut queue: mpsc::Receiver<Request>) {
    while let Some(first) = queue.recv().await {
        let mut units = first.units.all().len();
        let mut batch = vec![first];
        while units < ROUND_MAX {
            let Ok(next) = queue.try_recv() else { break };
            units += next.units.all().len();
            batch.push(next);
        }
        metrics::histogram!("fairline_batch_requests").record(batch.len() as f64);
        // Concurrent requests have no order among themselves; within one operation the order of arrival is kept.
        batch.sort_by_key(|request| request.operation.id);
        let mut calls = Vec::new();
        while !batch.is_empty() {
            let operation = batch[0].operation;
            let mut count = 0;
            let mut units = 0;
            for request in &batch {
                let fits = units + request.units.all().len() <= operation.units_max || count == 0;
                if request.operation.id != operation.id || !fits {
                    break;
                }
                units += request.units.all().len();
                count += 1;
            }
            let together: Vec<Request> = batch.drain(..count).collect();
            calls.push(call(&caller, operation, together));
        }
        futures_util::future::join_all(calls).await;
    }
}

/// Calls one script for several requests and hands each its share of the replies.
async fn call(caller: &Caller, operation: Operation, requests: Vec<Request>) {
    let mut words = Vec::new();
    for unit in requests.iter().flat_map(|request| request.units.all()) {
        unit.write(&mut words);
    }
    let arguments: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let outcome = caller.call(operation.script, &arguments).await;
    match outcome {
        Ok(mut values) if values.len() >= operation.header => {
            let answers = values.split_off(operation.header);
            let header: Arc<[i64]> = values.iter().map(number).collect();
            let mut answers = answers.into_iter();
            for request in requests {
                let answers = answers.by_ref().take(request.units.all().len()).collect();
                let header = header.clone();
                let _ = request.reply.send(Ok(Answers { header, answers }));
            }
        }
        outcome => {
            let failed = outcome.err().unwrap_or(Failed::Away);
            for request in requests {
                let _ = request.reply.send(Err(failed));
            }
        }
    }
}

/// Reads a number from a reply; 0 if it is none.
pub(super) fn number(value: &Value) -> i64 {
    match value {
        Value::Int(number) => *number,
        Value::BulkString(text) => std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
        _ => 0,
    }
}
