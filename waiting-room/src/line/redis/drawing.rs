//! The draw on Redis: one node reads the waiting visitors, sorts them, writes the drawn order under
//! other names, and has it replace the order of arrival in one step. If the node dies or stalls,
//! another takes over, and the first is refused when it wakes.

use super::cache::DrawnOrder;
use super::event_line::EventLine;
use super::keys::CHUNK;
use super::reply::{Reply, Status, bytes, list, number, visitor};
use super::script;
use super::store::{CallError, Caller};
use crate::draw::{self, Entry, Round};
use crate::line::Outcome;
use futures_util::StreamExt as _;
use futures_util::stream;
use redis::Value;
use shared::ids::VisitorId;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Bytes of a node's index.
const OWNER: usize = 2;
/// Bytes of a deadline.
const DEADLINE: usize = 6;
/// Maximum number of concurrent reads and writes.
const AT_ONCE: usize = 16;
/// Numbers read at once.
const PAGE: usize = 8 * CHUNK;
/// Entries that are sorted at once, which takes less than a millisecond for fewer.
const SORTED_HERE: usize = 500;
/// Time between two signs of life of the node that holds the draw.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// A waiting visitor.
#[derive(Clone)]
struct Waiting {
    visitor: VisitorId,
    number: u64,
    owner: [u8; OWNER],
    deadline: [u8; DEADLINE],
}

/// Mode of `draw_begin.lua`.
#[derive(Clone, Copy)]
enum Begin {
    /// Begins the draw unless another attempt is at it.
    Take,
    /// Shows that this attempt is still at it.
    Keep,
}

/// One attempt at a draw.
struct Attempt {
    line: Arc<EventLine>,
    /// By which the store tells it from others.
    id: String,
}

/// Holds the draw unless another node is holding it. Returns true if it was held here or is over
/// already.
pub(super) async fn hold(line: Arc<EventLine>) -> Result<bool, CallError> {
    let id = shared::crypto::hex(&shared::crypto::random::<8>());
    let attempt = Attempt { line, id };
    let begun = attempt.begin(Begin::Take).await?;
    if begun.status != Status::Ok {
        return Ok(begun.status == Status::Over);
    }
    // The heartbeat goes on whatever takes long: reading, sorting, writing.
    tokio::select! {
        held = attempt.hold(&begun) => held,
        lost = attempt.beat() => Err(lost),
    }
}

impl Attempt {
    async fn begin(&self, begin: Begin) -> Result<Reply, CallError> {
        let only_keeps: &[u8] = match begin {
            Begin::Take => b"0",
            Begin::Keep => b"1",
        };
        let arguments = [self.id.as_bytes(), only_keeps];
        self.line.caller.call(&script::DRAW_BEGIN, &arguments).await
    }

    /// Shows that this attempt goes on, until it no longer has the draw.
    async fn beat(&self) -> CallError {
        loop {
            sleep(HEARTBEAT).await;
            if matches!(self.begin(Begin::Keep).await, Ok(reply) if reply.status == Status::Taken) {
                return CallError::Busy;
            }
        }
    }

    async fn hold(&self, begun: &Reply) -> Result<bool, CallError> {
        let begun = begun.fields();
        let seed = draw::unhex(&begun.text("seed")).ok_or(CallError::Away)?;
        let round: Option<Round> = serde_json::from_slice(begun.bytes("beacon")).ok();
        let numbers = usize::try_from(begun.count("numbers")).unwrap_or(0);
        let last = begun.count("last");
        let waiting = self.read(numbers).await?;
        let entries = waiting.partition_point(|one| one.number <= last);
        tracing::info!(entries, "draw held");
        let sort = move || {
            let (entered, later) = waiting.split_at(entries);
            let (mut order, root) = sort(entered, &seed, round.as_ref());
            order.extend_from_slice(later);
            (order, root)
        };
        // On a blocking thread: a million hashes take a second.
        let (order, root) = match entries {
            ..SORTED_HERE => sort(),
            _ => {
                let sorted = tokio::task::spawn_blocking(sort).await;
                sorted.map_err(|_| CallError::Away)?
            }
        };
        self.write(&order, entries).await?;
        let outcome = Outcome {
            at: begun.time("now"),
            entries: entries as u64,
            root,
        };
        let count = order.len().to_string();
        let connected = order.iter().filter(|one| one.owner != [0; OWNER]).count();
        let connected = connected.to_string();
        let json = serde_json::to_string(&outcome).unwrap_or_default();
        self.line.cache().order = Some(Arc::new(DrawnOrder {
            outcome: json.clone(),
            visitors: order.iter().map(|one| one.visitor).collect(),
            entries,
        }));
        let arguments = [
            self.id.as_bytes(),
            count.as_bytes(),
            connected.as_bytes(),
            json.as_bytes(),
        ];
        let committed = self
            .line
            .caller
            .call(&script::DRAW_COMMIT, &arguments)
            .await?;
        match committed.status {
            Status::Ok => Ok(true),
            _ => Err(CallError::Busy),
        }
    }

    /// Reads all waiting visitors, in the order of their arrival.
    async fn read(&self, numbers: usize) -> Result<Vec<Waiting>, CallError> {
        let pages = (0..numbers).step_by(PAGE);
        let pages: Vec<_> = pages.map(|from| self.read_page(from)).collect();
        let mut pages = stream::iter(pages).buffered(AT_ONCE);
        let mut waiting = Vec::with_capacity(numbers);
        while let Some(page) = pages.next().await {
            waiting.extend(page?);
        }
        Ok(waiting)
    }

    /// Reads the visitors who wait with the numbers after `from`.
    async fn read_page(&self, from: usize) -> Result<Vec<Waiting>, CallError> {
        let keys = &self.line.caller.keys;
        let [first, last] = [from + 1, from + PAGE].map(|n| n.to_string());
        let words = [
            "ZRANGEBYSCORE",
            &keys.waiting(),
            &first,
            &last,
            "WITHSCORES",
        ];
        let scored = self.send(&words).await?;
        let owners = self.range(&keys.owners(), from, OWNER).await?;
        let deadlines = self.range(&keys.deadlines(), from, DEADLINE).await?;
        let pairs = list(&scored).ok_or(CallError::Away)?.chunks_exact(2);
        let waiting = pairs.map(|pair| {
            let score = usize::try_from(number(&pair[1])).ok()?;
            let at = score.checked_sub(from + 1)?;
            let owner = bytes(&owners).get(at * OWNER..(at + 1) * OWNER);
            let deadline = bytes(&deadlines).get(at * DEADLINE..(at + 1) * DEADLINE);
            Some(Waiting {
                visitor: visitor(&pair[0])?,
                number: score as u64,
                owner: owner
                    .and_then(|bytes| bytes.try_into().ok())
                    .unwrap_or_default(),
                deadline: deadline
                    .and_then(|bytes| bytes.try_into().ok())
                    .unwrap_or_default(),
            })
        });
        Ok(waiting.flatten().collect())
    }

    /// Reads what a string has of the numbers after `from`.
    async fn range(&self, key: &str, from: usize, width: usize) -> Result<Value, CallError> {
        let [first, last] = [from * width, (from + PAGE) * width - 1].map(|n| n.to_string());
        self.send(&["GETRANGE", key, &first, &last]).await
    }

    async fn send(&self, words: &[&str]) -> Result<Value, CallError> {
        let answer = self.line.caller.store.send(words.iter()).await;
        answer.map_err(|_| CallError::Away)
    }

    /// Writes the order, of which the first `entries` were drawn.
    async fn write(&self, order: &[Waiting], entries: usize) -> Result<(), CallError> {
        let chunks = order.chunks(CHUNK).enumerate();
        let writes = chunks.map(|(chunk, some)| {
            let drawn = entries.saturating_sub(chunk * CHUNK).min(some.len());
            self.write_chunk(chunk, some, drawn)
        });
        let writes: Vec<_> = writes.collect();
        let mut writes = stream::iter(writes).buffer_unordered(AT_ONCE);
        while let Some(written) = writes.next().await {
            if written? != Status::Ok {
                // Another node has taken the draw over.
                return Err(CallError::Busy);
            }
        }
        Ok(())
    }

    async fn write_chunk(
        &self,
        chunk: usize,
        some: &[Waiting],
        drawn: usize,
    ) -> Result<Status, CallError> {
        let mut bits = vec![0u8; some.len().div_ceil(8)];
        for index in 0..some.len() {
            bits[index / 8] |= 128 >> (index % 8);
        }
        let deadline = |one: &Waiting| {
            let bytes = one.deadline.iter();
            bytes.fold(0, |sum: u64, byte| sum << 8 | u64::from(*byte))
        };
        let earliest = some.iter().map(deadline).filter(|at| *at > 0).min();
        let mut arguments = vec![
            self.id.clone().into_bytes(),
            chunk.to_string().into_bytes(),
            some.iter().flat_map(|one| one.owner).collect(),
            some.iter().flat_map(|one| one.deadline).collect(),
            bits,
            earliest.unwrap_or(0).to_string().into_bytes(),
            drawn.to_string().into_bytes(),
        ];
        arguments.extend(some.iter().map(|one| one.visitor.to_string().into_bytes()));
        let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
        let reply = self
            .line
            .caller
            .call(&script::DRAW_WRITE, &arguments)
            .await?;
        Ok(reply.status)
    }
}

fn sort(waiting: &[Waiting], seed: &[u8; 32], round: Option<&Round>) -> (Vec<Waiting>, String) {
    let entries: Vec<Entry> = waiting.iter().map(|one| Entry::of(one.visitor)).collect();
    let randomness = round.and_then(|round| draw::unhex_all(&round.randomness));
    let order = draw::order(seed, &randomness.unwrap_or_default(), &entries);
    let drawn = order.iter().map(|at| waiting[*at as usize].clone());
    (drawn.collect(), draw::root(entries))
}

/// Returns the visitors who drew the numbers from `first` on.
pub(super) async fn visitors(
    caller: &Caller,
    first: u64,
    count: usize,
) -> Result<Vec<VisitorId>, CallError> {
    let start = usize::try_from(first).unwrap_or(1).saturating_sub(1);
    let chunks = start / CHUNK..(start + count).div_ceil(CHUNK);
    let words = ["HMGET".to_owned(), caller.keys.drawn()].into_iter();
    let words = words.chain(chunks.map(|chunk| chunk.to_string()));
    let answer = caller.store.send(words).await;
    let answer = answer.map_err(|_| CallError::Away)?;
    let chunks = list(&answer).unwrap_or_default().iter();
    let texts = chunks.map(|chunk| String::from_utf8_lossy(bytes(chunk)).into_owned());
    let visitors = texts.flat_map(|text| {
        let words = text.split(' ').map(VisitorId::parse);
        words.collect::<Vec<_>>()
    });
    Ok(visitors.flatten().skip(start % CHUNK).take(count).collect())
}
