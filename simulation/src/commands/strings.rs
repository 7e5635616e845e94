//! Strings.

use super::words::{Words, arity, is, syntax};
use crate::data::{Database, Outcome, Reply, Value};
use crate::number::{NO_INTEGER, integer, parse_integer};

pub(super) fn run(database: &mut Database, name: &[u8], words: Words<'_>) -> Option<Outcome> {
    Some(match name {
        b"GET" => get(database, words),
        b"SET" => set(database, words),
        b"GETRANGE" => get_range(database, words),
        b"SETRANGE" => set_range(database, words),
        b"STRLEN" => length(database, words),
        b"APPEND" => append(database, words),
        b"INCR" => increment(database, words),
        b"INCRBY" => increment(database, words),
        b"MGET" => get_many(database, words),
        _ => return None,
    })
}

fn get(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key] = words else {
        return Err(arity(words));
    };
    Ok(Reply::optional(
        database.read::<Vec<u8>>(key)?.map(Vec::as_slice),
    ))
}

fn get_many(database: &mut Database, words: Words<'_>) -> Outcome {
    if words.len() < 2 {
        return Err(arity(words));
    }
    let texts = words[1..].iter().map(|key| {
        let text = database.read::<Vec<u8>>(key).ok().flatten();
        Reply::optional(text.map(Vec::as_slice))
    });
    Ok(Reply::Array(texts.collect()))
}

/// Options of SET.
#[derive(Default)]
struct SetOptions {
    expires_at: Option<i64>,
    only_new: bool,
    only_existing: bool,
    keeps_time: bool,
}

fn set(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, value, rest @ ..] = words else {
        return Err(arity(words));
    };
    let options = set_options(database.now(), rest)?;
    let before = database.keys.get(*key).cloned();
    let exists = database.value(key).is_some();
    if options.only_new && exists || options.only_existing && !exists {
        return Ok(Reply::Nil);
    }
    let expires_at = match before {
        Some(before) if options.keeps_time && exists => before.expires_at,
        _ => options.expires_at,
    };
    database.put(key, Value::Text(value.to_vec()));
    if let Some(entry) = database.keys.get_mut(*key) {
        entry.expires_at = expires_at;
    }
    Ok(Reply::ok())
}

fn set_options(now: i64, words: &[&[u8]]) -> Result<SetOptions, String> {
    let mut options = SetOptions::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if is(word, "NX") {
            options.only_new = true;
        } else if is(word, "XX") {
            options.only_existing = true;
        } else if is(word, "KEEPTTL") {
            options.keeps_time = true;
        } else if is(word, "PX") || is(word, "EX") || is(word, "PXAT") || is(word, "EXAT") {
            let unit = if word[0].eq_ignore_ascii_case(&b'P') {
                1
            } else {
                1000
            };
            let time = parse_integer(words.next().ok_or_else(syntax)?)?;
            if time <= 0 {
                return Err("ERR invalid expire time in 'set' command".to_owned());
            }
            let from = if word.len() == 2 { now } else { 0 };
            options.expires_at = Some(from + time * unit);
        } else {
            return Err(syntax());
        }
    }
    if options.only_new && options.only_existing
        || options.keeps_time && options.expires_at.is_some()
    {
        return Err(syntax());
    }
    Ok(options)
}

fn get_range(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, start, end] = words else {
        return Err(arity(words));
    };
    let (start, end) = (parse_integer(start)?, parse_integer(end)?);
    let text = database
        .read::<Vec<u8>>(key)?
        .map_or(&[][..], Vec::as_slice);
    let length = text.len() as i64;
    if length == 0 || start < 0 && end < 0 && start > end {
        return Ok(Reply::bulk(&[]));
    }
    let at = |index: i64| {
        if index < 0 {
            (index + length).max(0)
        } else {
            index
        }
    };
    let (start, end) = (at(start), at(end).min(length - 1));
    if start > end {
        return Ok(Reply::bulk(&[]));
    }
    Ok(Reply::bulk(&text[start as usize..=end as usize]))
}

fn set_range(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, offset, value] = words else {
        return Err(arity(words));
    };
    let offset = usize::try_from(parse_integer(offset)?);
    let offset = offset.map_err(|_| "ERR offset is out of range".to_owned())?;
    if value.is_empty() {
        return length(database, &[b"STRLEN", key]);
    }
    database.change(key, |text: &mut Vec<u8>| {
        let end = offset + value.len();
        if text.len() < end {
            text.resize(end, 0);
        }
        text[offset..end].copy_from_slice(value);
        Reply::count(text.len())
    })
}

fn length(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key] = words else {
        return Err(arity(words));
    };
    Ok(Reply::count(
        database.read::<Vec<u8>>(key)?.map_or(0, Vec::len),
    ))
}

fn append(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, value] = words else {
        return Err(arity(words));
    };
    database.change(key, |text: &mut Vec<u8>| {
        text.extend_from_slice(value);
        Reply::count(text.len())
    })
}

fn increment(database: &mut Database, words: Words<'_>) -> Outcome {
    let (key, by) = match words {
        [_, key] => (key, 1),
        [_, key, by] => (key, parse_integer(by)?),
        _ => return Err(arity(words)),
    };
    let before = match database.read::<Vec<u8>>(key)? {
        None => 0,
        Some(text) => integer(text).ok_or_else(|| NO_INTEGER.to_owned())?,
    };
    let after = before.checked_add(by);
    let after = after.ok_or("ERR increment or decrement would overflow")?;
    database.change(key, |text: &mut Vec<u8>| {
        *text = after.to_string().into_bytes()
    })?;
    Ok(Reply::Integer(after))
}
