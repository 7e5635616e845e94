//! The draw on Redis: one node reads the waiting visitors, sorts them, writes the drawn order into
//! the next key generation, and switches to it in one step. If the node dies or stalls, another
//! takes over, and the first is refused when it wakes.

use super::keys::{CHUNK, GenerationKeys};
use super::reply::{Status, bytes};
use super::script;
use super::store::{CallError, Caller};
use crate::draw::{self, Entry, Round};
use crate::line::Outcome;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream;
use shared::ids::VisitorId;
use std::collections::HashMap;
use std::sync::Arc;

/// Bytes of a record.
const RECORD: usize = 23;
/// Bytes of a deadline.
const DEADLINE: usize = 6;
/// Maximum number of concurrent reads and writes.
const AT_ONCE: usize = 16;

/// A waiting visitor as stored in the arrays.
#[derive(Clone)]
struct Waiting {
    record: [u8; RECORD],
    owner: u8,
    deadline: [u8; DEADLINE],
}

/// All visitors in line, and the final state of those who left it. A visitor who joined again has
/// several records, of which the newest counts.
#[derive(Default)]
struct Everyone {
    waiting: Vec<Waiting>,
    gone: HashMap<[u8; 16], u8>,
}

/// Holds the draw unless another node is holding it. Returns true if it was held here or is over
/// already.
pub(super) async fn hold(caller: Arc<Caller>) -> Result<bool, CallError> {
    let begun = caller.call(&script::DRAW_BEGIN, &[]).await?;
    if begun.status != Status::Ok {
        return Ok(begun.status == Status::Over);
    }
    let begun = begun.fields();
    let seed = draw::unhex(&begun.text("seed")).ok_or(CallError::Away)?;
    let round: Option<Round> = serde_json::from_slice(begun.bytes("beacon")).ok();
    let keys = caller.keys.generation(begun.count("generation"));
    let numbers = usize::try_from(begun.count("numbers")).unwrap_or(0);
    let everyone = read(&caller, &keys, numbers).await?;
    tracing::info!(entries = everyone.waiting.len(), "draw held");
    // On a blocking thread: a million hashes take a second.
    let sorted = tokio::task::spawn_blocking(move || sort(everyone, &seed, round.as_ref()));
    let (everyone, root) = sorted.await.map_err(|_| CallError::Away)?;
    write(&caller, &everyone).await?;
    let outcome = Outcome {
        at: begun.time("now"),
        entries: everyone.waiting.len() as u64,
        root,
    };
    let count = everyone.waiting.len().to_string();
    let connected = everyone.waiting.iter().filter(|one| one.owner != 0).count();
    let connected = connected.to_string();
    let json = serde_json::to_vec(&outcome).unwrap_or_default();
    let arguments = [count.as_bytes(), connected.as_bytes(), json.as_slice()];
    let committed = caller.call(&script::DRAW_COMMIT, &arguments).await?;
    if committed.status == Status::Ok {
        delete(&caller, &keys, numbers).await;
    }
    Ok(true)
}

async fn get(caller: &Caller, key: String) -> Result<Vec<u8>, CallError> {
    let value = caller.store.send(["GET", &key]).await;
    value
        .map(|value| bytes(&value).to_vec())
        .map_err(|_| CallError::Away)
}

/// The arrays of one chunk of numbers.
struct Chunk {
    first: usize,
    records: Vec<u8>,
    owners: Vec<u8>,
    deadlines: Vec<u8>,
}

async fn read(
    caller: &Caller,
    keys: &GenerationKeys,
    numbers: usize,
) -> Result<Everyone, CallError> {
    let alive = get(caller, keys.alive()).await?;
    let mut chunks = stream::iter(0..numbers.div_ceil(CHUNK))
        .map(|chunk| async move {
            let records = get(caller, keys.records(chunk)).await?;
            let owners = get(caller, keys.owners(chunk)).await?;
            let deadlines = get(caller, keys.deadlines(chunk)).await?;
            // Reading a long line takes a while; the heartbeat keeps other nodes from taking the
            // draw over.
            if chunk % 256 == 0 {
                caller.call(&script::DRAW_BEGIN, &[]).await?;
            }
            Ok::<_, CallError>(Chunk {
                first: chunk * CHUNK,
                records,
                owners,
                deadlines,
            })
        })
        .buffered(AT_ONCE);
    let mut everyone = Everyone::default();
    while let Some(chunk) = chunks.next().await {
        everyone.add(&chunk?, &alive, numbers);
    }
    Ok(everyone)
}

impl Everyone {
    /// Adds the visitors of one chunk. Chunks are added in ascending order, so the last record of a
    /// visitor is the newest.
    fn add(&mut self, chunk: &Chunk, alive: &[u8], numbers: usize) {
        for (index, record) in chunk.records.chunks_exact(RECORD).enumerate() {
            let at = chunk.first + index;
            if at >= numbers {
                break;
            }
            let mut kept = [0; RECORD];
            kept.copy_from_slice(record);
            let mut visitor = [0; 16];
            visitor.copy_from_slice(&record[..16]);
            let byte = alive.get(at / 8);
            let is_alive = byte.is_some_and(|byte| byte & (128 >> (at % 8)) != 0);
            // The visitor of this number never came back after the store lost its data.
            if visitor == [0; 16] {
                continue;
            }
            if is_alive {
                self.gone.remove(&visitor);
                let deadline = chunk
                    .deadlines
                    .get(index * DEADLINE..(index + 1) * DEADLINE);
                let deadline = deadline.and_then(|bytes| bytes.try_into().ok());
                self.waiting.push(Waiting {
                    record: kept,
                    owner: chunk.owners.get(index).copied().unwrap_or(0),
                    deadline: deadline.unwrap_or_default(),
                });
            } else {
                self.gone.insert(visitor, record[RECORD - 1].max(4));
            }
        }
    }
}

fn sort(mut everyone: Everyone, seed: &[u8; 32], round: Option<&Round>) -> (Everyone, String) {
    let entries: Vec<Entry> = everyone
        .waiting
        .iter()
        .map(|one| Entry::of(visitor_of(&one.record)))
        .collect();
    let randomness = round.and_then(|round| draw::unhex_all(&round.randomness));
    let order = draw::order(seed, &randomness.unwrap_or_default(), &entries);
    let drawn = order
        .iter()
        .map(|at| everyone.waiting[*at as usize].clone());
    everyone.waiting = drawn.collect();
    (everyone, draw::root(entries))
}

/// Returns the visitor of a record.
pub(super) fn visitor_of(record: &[u8]) -> VisitorId {
    let mut id = [0; 16];
    id.copy_from_slice(&record[..16]);
    VisitorId(u128::from_be_bytes(id))
}

async fn write(caller: &Caller, everyone: &Everyone) -> Result<(), CallError> {
    let chunks = everyone.waiting.chunks(CHUNK).enumerate();
    let parts = chunks.map(|(chunk, some)| part(chunk, some));
    let gone: Vec<(&[u8; 16], &u8)> = everyone.gone.iter().collect();
    let gone = gone.chunks(CHUNK).map(|some| {
        let mut arguments: Vec<Vec<u8>> = ["-1", "", "", "", "", "0"]
            .map(|word| word.as_bytes().to_vec())
            .into();
        for (visitor, code) in some {
            arguments.push(visitor.to_vec());
            arguments.push(format!("-{code}").into_bytes());
        }
        arguments
    });
    let all: Vec<Vec<Vec<u8>>> = parts.chain(gone).collect();
    for some in all.chunks(AT_ONCE) {
        let writes = some.iter().map(|arguments| write_part(caller, arguments));
        for written in join_all(writes).await {
            if written? != Status::Ok {
                // Another node has taken the draw over.
                return Err(CallError::Busy);
            }
        }
    }
    Ok(())
}

async fn write_part(caller: &Caller, arguments: &[Vec<u8>]) -> Result<Status, CallError> {
    let arguments: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
    let reply = caller.call(&script::DRAW_WRITE, &arguments).await?;
    Ok(reply.status)
}

/// Returns the arguments of `draw_write.lua` for one chunk.
fn part(chunk: usize, some: &[Waiting]) -> Vec<Vec<u8>> {
    let mut bits = vec![0u8; some.len().div_ceil(8)];
    let mut earliest = 0u64;
    let (mut records, mut owners, mut deadlines) = (Vec::new(), Vec::new(), Vec::new());
    let mut names = Vec::new();
    for (index, one) in some.iter().enumerate() {
        bits[index / 8] |= 128 >> (index % 8);
        records.extend(one.record);
        owners.push(one.owner);
        deadlines.extend(one.deadline);
        let deadline = one
            .deadline
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        if deadline > 0 && (earliest == 0 || deadline < earliest) {
            earliest = deadline;
        }
        names.push(one.record[..16].to_vec());
        names.push((chunk * CHUNK + index + 1).to_string().into_bytes());
    }
    let mut arguments = vec![
        chunk.to_string().into_bytes(),
        records,
        owners,
        deadlines,
        bits,
    ];
    arguments.push(earliest.to_string().into_bytes());
    arguments.extend(names);
    arguments
}

/// Deletes the keys of the order of arrival. If this node dies before the end, the rest is deleted
/// with the event.
async fn delete(caller: &Caller, keys: &GenerationKeys, numbers: usize) {
    for some in keys.all(0..numbers.div_ceil(CHUNK)).chunks(CHUNK) {
        let words = ["UNLINK"]
            .into_iter()
            .chain(some.iter().map(String::as_str));
        let _ = caller.store.send(words).await;
    }
}

/// Returns the visitors with the numbers from `first` on.
pub(super) async fn visitors(
    caller: &Caller,
    generation: u64,
    first: u64,
    count: usize,
) -> Result<Vec<VisitorId>, CallError> {
    let keys = caller.keys.generation(generation);
    let start = usize::try_from(first).unwrap_or(1).saturating_sub(1);
    let mut chunks = stream::iter(start / CHUNK..(start + count).div_ceil(CHUNK))
        .map(|chunk| get(caller, keys.records(chunk)))
        .buffered(AT_ONCE);
    let mut visitors = Vec::with_capacity(count + CHUNK);
    while let Some(records) = chunks.next().await {
        visitors.extend(records?.chunks_exact(RECORD).map(visitor_of));
    }
    Ok(visitors
        .into_iter()
        .skip(start % CHUNK)
        .take(count)
        .collect())
}
