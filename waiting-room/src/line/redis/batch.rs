//! Combines requests into batches: requests for a line that arrive during a round trip go out
//! together in the next one, with one script call per operation. The cost per fan falls as load
//! rises.

use super::connected::Number;
use super::operations::Operation;
use super::reply::Reply;
use super::store::{CallError, Caller};
use crate::line::Life;
use redis::Value;
use shared::ids::VisitorId;
use shared::metrics::writers;
use shared::time::Time;
use shared::trace::Parent;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

/// Maximum number of requests queued for one line at this node.
const QUEUE_MAX: usize = 20_000;
/// Maximum number of units sent in one round trip.
const ROUND_MAX: usize = 4_000;
/// Longest time that a request is retried during a draw or recovery.
const PATIENCE: Duration = Duration::from_millis(4_000);
const RETRY: Duration = Duration::from_millis(60);

/// Arguments of an operation for one visitor, in the order in which the script takes them.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    pub(super) visitor: Option<VisitorId>,
    pub(super) number: Option<u64>,
    /// Whether that is a number of before the draw.
    pub(super) is_provisional: Option<bool>,
    /// Whether this node holds the visitor's socket.
    pub(super) is_connected: Option<bool>,
    /// Identity of the event that the number is of.
    pub(super) creation: Option<u64>,
    /// Time until which a slot is to last at least.
    pub(super) until: Option<Time>,
}

impl Unit {
    /// Creates a unit for a visitor.
    pub(super) fn of(visitor: VisitorId) -> Unit {
        Unit {
            visitor: Some(visitor),
            number: None,
            is_provisional: None,
            is_connected: None,
            creation: None,
            until: None,
        }
    }

    /// Creates a unit for a visitor who returns to a number of the event of this creation.
    pub(super) fn returning(
        visitor: VisitorId,
        number: Number,
        creation: u64,
        is_connected: bool,
    ) -> Unit {
        Unit {
            is_provisional: Some(number.is_provisional),
            is_connected: Some(is_connected),
            creation: Some(creation),
            ..Unit::with(visitor, number.number)
        }
    }

    /// Creates a unit for a visitor with a number.
    pub(super) fn with(visitor: VisitorId, number: u64) -> Unit {
        Unit {
            number: Some(number),
            ..Unit::of(visitor)
        }
    }

    /// Creates a unit for a visitor whose slot is to last until this time at least.
    pub(super) fn until(visitor: VisitorId, number: u64, until: Time) -> Unit {
        Unit {
            until: Some(until),
            ..Unit::with(visitor, number)
        }
    }

    /// Creates a unit for a number.
    pub(super) fn numbered(number: u64) -> Unit {
        Unit {
            visitor: None,
            number: Some(number),
            is_provisional: None,
            is_connected: None,
            creation: None,
            until: None,
        }
    }

    fn write(&self, arguments: &mut Vec<Vec<u8>>) {
        if let Some(visitor) = self.visitor {
            arguments.push(visitor.to_string().into_bytes());
        }
        if let Some(number) = self.number {
            arguments.push(number.to_string().into_bytes());
        }
        let marks = [self.is_provisional, self.is_connected];
        let marks = marks.into_iter().flatten();
        arguments.extend(marks.map(|mark| vec![if mark { b'1' } else { b'0' }]));
        if let Some(creation) = self.creation {
            arguments.push(Life::hex(creation).into_bytes());
        }
        if let Some(until) = self.until {
            arguments.push(until.0.to_string().into_bytes());
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

/// Result of one request.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// Reply of the call that this request was part of, without its units.
    pub(super) reply: Arc<Reply>,
    /// Replies to the units of this request, in their order.
    pub(super) units: Vec<Value>,
}

struct Request {
    operation: Operation,
    units: Units,
    trace: Parent,
    answer: oneshot::Sender<Result<Answer, CallError>>,
}

/// Handle to the task that sends the batches of one line.
#[derive(Clone)]
pub(super) struct Batches(mpsc::Sender<Request>);

impl Batches {
    /// Starts the task that sends the batches of one line. It ends when the last handle is dropped.
    pub(super) fn start(caller: Arc<Caller>) -> Batches {
        let (send, receive) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(send_batches(caller, receive));
        Batches(send)
    }

    /// Runs an operation on each unit, atomically for the units of one call, and retries while the
    /// line is busy.
    pub(super) async fn run(
        &self,
        operation: Operation,
        units: Units,
    ) -> Result<Answer, CallError> {
        let until = Instant::now() + PATIENCE;
        loop {
            let (send, answer) = oneshot::channel();
            let request = Request {
                operation,
                units: units.clone(),
                trace: Parent::current(),
                answer: send,
            };
            self.0.try_send(request).map_err(|_| CallError::Away)?;
            match answer.await.unwrap_or(Err(CallError::Away)) {
                Err(CallError::Busy) if Instant::now() + RETRY < until => {
                    writers::LINE.retries.inc();
                    sleep(RETRY).await;
                }
                Err(CallError::Busy) => return Err(CallError::Away),
                answer => return answer,
            }
        }
    }
}

async fn send_batches(caller: Arc<Caller>, mut queue: mpsc::Receiver<Request>) {
    while let Some(first) = queue.recv().await {
        let mut units = first.units.all().len();
        let mut batch = vec![first];
        while units < ROUND_MAX {
            let Ok(next) = queue.try_recv() else { break };
            units += next.units.all().len();
            batch.push(next);
        }
        writers::LINE.batch_requests.observe(batch.len() as f64);
        let begun = Instant::now();
        // Concurrent requests have no order among themselves; within one operation the order of
        // arrival is kept.
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
        let flight = begun.elapsed().as_secs_f64();
        writers::LINE.flight_seconds.observe(flight);
    }
}

/// Calls one script for several requests and hands each its share of the replies.
async fn call(caller: &Caller, operation: Operation, requests: Vec<Request>) {
    let mut words = Vec::new();
    for unit in requests.iter().flat_map(|request| request.units.all()) {
        unit.write(&mut words);
    }
    let arguments: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let traces = requests.iter().map(|request| &request.trace);
    let mut spans = operation.script.spans(traces);
    match caller.call(operation.script, &arguments).await {
        Ok(mut reply) => {
            let mut units = match reply.take("units") {
                Value::Array(units) => units.into_iter(),
                _ => Vec::new().into_iter(),
            };
            let reply = Arc::new(reply);
            for request in requests {
                let units = units.by_ref().take(request.units.all().len()).collect();
                let reply = reply.clone();
                let _ = request.answer.send(Ok(Answer { reply, units }));
            }
        }
        Err(error) => {
            spans.iter_mut().for_each(|span| span.fail("unanswered"));
            for request in requests {
                let _ = request.answer.send(Err(error));
            }
        }
    }
}
