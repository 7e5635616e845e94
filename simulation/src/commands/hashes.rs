//! Hashes.

use super::words::{Words, arity};
use crate::data::{Database, Outcome, Reply};
use crate::number::{integer, parse_integer};
use std::collections::BTreeMap;

type Hash = BTreeMap<Vec<u8>, Vec<u8>>;

pub(super) fn run(database: &mut Database, name: &[u8], words: Words<'_>) -> Option<Outcome> {
    Some(match name {
        b"HGET" => get(database, words),
        b"HMGET" => get_many(database, words),
        b"HSET" => set(database, words),
        b"HSETNX" => set_new(database, words),
        b"HDEL" => delete(database, words),
        b"HEXISTS" => exists(database, words),
        b"HLEN" => length(database, words),
        b"HVALS" | b"HKEYS" | b"HGETALL" => all(database, name, words),
        b"HINCRBY" => increment(database, words),
        b"HSTRLEN" => value_length(database, words),
        b"HSCAN" => scan(database, words),
        _ => return None,
    })
}

fn get(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, field] = words else {
        return Err(arity(words));
    };
    let value = database
        .read::<Hash>(key)?
        .and_then(|hash| hash.get(*field));
    Ok(Reply::optional(value.map(Vec::as_slice)))
}

fn get_many(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, fields @ ..] = words else {
        return Err(arity(words));
    };
    if fields.is_empty() {
        return Err(arity(words));
    }
    let hash = database.read::<Hash>(key)?;
    let value = |field: &&[u8]| {
        let value = hash.and_then(|hash| hash.get(*field));
        Reply::optional(value.map(Vec::as_slice))
    };
    Ok(Reply::Array(fields.iter().map(value).collect()))
}

fn set(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, pairs @ ..] = words else {
        return Err(arity(words));
    };
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(arity(words));
    }
    database.change(key, |hash: &mut Hash| {
        let mut added = 0;
        for pair in pairs.chunks_exact(2) {
            added += usize::from(hash.insert(pair[0].to_vec(), pair[1].to_vec()).is_none());
        }
        Reply::count(added)
    })
}

fn set_new(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, field, value] = words else {
        return Err(arity(words));
    };
    database.change(key, |hash: &mut Hash| {
        let is_new = !hash.contains_key(*field);
        if is_new {
            hash.insert(field.to_vec(), value.to_vec());
        }
        Reply::Integer(is_new.into())
    })
}

fn delete(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, fields @ ..] = words else {
        return Err(arity(words));
    };
    if fields.is_empty() {
        return Err(arity(words));
    }
    database.change(key, |hash: &mut Hash| {
        let removed = fields.iter().filter(|field| hash.remove(**field).is_some());
        Reply::count(removed.count())
    })
}

fn exists(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, field] = words else {
        return Err(arity(words));
    };
    let hash = database.read::<Hash>(key)?;
    Ok(Reply::Integer(
        hash.is_some_and(|hash| hash.contains_key(*field)).into(),
    ))
}

fn length(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key] = words else {
        return Err(arity(words));
    };
    Ok(Reply::count(
        database.read::<Hash>(key)?.map_or(0, Hash::len),
    ))
}

fn all(database: &mut Database, name: &[u8], words: Words<'_>) -> Outcome {
    let [_, key] = words else {
        return Err(arity(words));
    };
    let Some(hash) = database.read::<Hash>(key)? else {
        return Ok(Reply::Array(Vec::new()));
    };
    Ok(match name {
        b"HVALS" => Reply::list(hash.values()),
        b"HKEYS" => Reply::list(hash.keys()),
        _ => Reply::list(hash.iter().flat_map(|(field, value)| [field, value])),
    })
}

fn increment(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, field, by] = words else {
        return Err(arity(words));
    };
    let by = parse_integer(by)?;
    let before = match database
        .read::<Hash>(key)?
        .and_then(|hash| hash.get(*field))
    {
        None => 0,
        Some(text) => integer(text).ok_or("ERR hash value is not an integer")?,
    };
    let after = before.checked_add(by);
    let after = after.ok_or("ERR increment or decrement would overflow")?;
    database.change(key, |hash: &mut Hash| {
        hash.insert(field.to_vec(), after.to_string().into_bytes())
    })?;
    Ok(Reply::Integer(after))
}

fn value_length(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, field] = words else {
        return Err(arity(words));
    };
    let value = database
        .read::<Hash>(key)?
        .and_then(|hash| hash.get(*field));
    Ok(Reply::count(value.map_or(0, Vec::len)))
}

/// Returns all of a hash at once, which a server does where it is small.
fn scan(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, _, ..] = words else {
        return Err(arity(words));
    };
    let all = all(database, b"HGETALL", &[words[0], key])?;
    Ok(Reply::Array(vec![Reply::bulk(b"0"), all]))
}
