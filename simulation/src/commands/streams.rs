//! Streams whose entries have ids that the caller gives.

use super::words::{Words, arity, is, syntax};
use crate::data::{Database, Outcome, Reply, Stream, StreamId};
use crate::number::parse_integer;

/// Entries of a node of a stream, as long as they are short: what a trimming by `~` removes.
const NODE: u64 = 100;

pub(super) fn run(database: &mut Database, name: &[u8], words: Words<'_>) -> Option<Outcome> {
    Some(match name {
        b"XADD" => add(database, words),
        b"XRANGE" => range(database, words),
        b"XLEN" => length(database, words),
        _ => return None,
    })
}

/// Trimming of a stream.
struct Trim {
    /// Number of entries that stay at least.
    kept: usize,
    /// Only whole nodes are removed.
    is_rough: bool,
}

fn add(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, rest @ ..] = words else {
        return Err(arity(words));
    };
    if rest.len() < 3 {
        return Err(arity(words));
    }
    let (trim, rest) = match rest {
        [option, sign, kept, rest @ ..] if is(option, "MAXLEN") && matches!(*sign, b"~" | b"=") => {
            let kept = usize::try_from(parse_integer(kept)?).map_err(|_| syntax())?;
            let is_rough = *sign == b"~";
            (Some(Trim { kept, is_rough }), rest)
        }
        _ => (None, rest),
    };
    let [id, fields @ ..] = rest else {
        return Err(arity(words));
    };
    if fields.is_empty() || fields.len() % 2 == 1 {
        return Err(arity(words));
    }
    let added = parse_id(id, 0)?;
    if added == StreamId::default() {
        return Err("ERR The ID specified in XADD must be greater than 0-0".to_owned());
    }
    let is_first = |stream: &Stream| stream.last < added;
    if !database.read::<Stream>(key)?.is_none_or(is_first) {
        let why =
            "ERR The ID specified in XADD is equal or smaller than the target stream top item";
        return Err(why.to_owned());
    }
    database.change(key, |stream: &mut Stream| {
        let fields = fields.iter().map(|field| field.to_vec());
        stream.last = added;
        stream.entries.push_back((added, fields.collect()));
        if let Some(trim) = trim {
            cut(stream, &trim);
        }
        Reply::bulk(shown(added).as_bytes())
    })
}

fn cut(stream: &mut Stream, trim: &Trim) {
    while stream.entries.len() > trim.kept {
        let node = if trim.is_rough {
            (NODE - stream.removed % NODE).min(stream.entries.len() as u64)
        } else {
            1
        };
        if stream.entries.len() - (node as usize) < trim.kept {
            return;
        }
        stream.entries.drain(..node as usize);
        stream.removed += node;
    }
}

fn range(database: &mut Database, words: Words<'_>) -> Outcome {
    let (key, start, end, count) = match words {
        [_, key, start, end] => (key, start, end, i64::MAX),
        [_, key, start, end, option, count] if is(option, "COUNT") => {
            (key, start, end, parse_integer(count)?)
        }
        [_, _, _, _, _, ..] => return Err(syntax()),
        _ => return Err(arity(words)),
    };
    let from = match *start {
        b"-" => StreamId::default(),
        start => parse_id(start, 0)?,
    };
    let to = match *end {
        b"+" => StreamId(u64::MAX, u64::MAX),
        end => parse_id(end, u64::MAX)?,
    };
    let Some(stream) = database.read::<Stream>(key)? else {
        return Ok(Reply::Array(Vec::new()));
    };
    if count <= 0 {
        return Ok(Reply::Nil);
    }
    let is_within = |(id, _): &&(StreamId, Vec<Vec<u8>>)| (from..=to).contains(id);
    let entries = stream.entries.iter().filter(is_within);
    let entries = entries.take(usize::try_from(count).unwrap_or(usize::MAX));
    let entries = entries.map(|(id, fields)| {
        Reply::Array(vec![
            Reply::bulk(shown(*id).as_bytes()),
            Reply::list(fields),
        ])
    });
    Ok(Reply::Array(entries.collect()))
}

fn length(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key] = words else {
        return Err(arity(words));
    };
    let stream = database.read::<Stream>(key)?;
    Ok(Reply::count(
        stream.map_or(0, |stream| stream.entries.len()),
    ))
}

/// Reads an id; `rest` is its second part if it has only the first.
fn parse_id(text: &[u8], rest: u64) -> Result<StreamId, String> {
    let invalid = || "ERR Invalid stream ID specified as stream command argument".to_owned();
    let text = std::str::from_utf8(text).map_err(|_| invalid())?;
    let part = |text: &str| text.parse().map_err(|_| invalid());
    match text.split_once('-') {
        Some((first, second)) => Ok(StreamId(part(first)?, part(second)?)),
        None => Ok(StreamId(part(text)?, rest)),
    }
}

fn shown(StreamId(first, second): StreamId) -> String {
    format!("{first}-{second}")
}
