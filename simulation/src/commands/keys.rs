//! Keys of any type.

use super::words::{Words, arity, syntax};
use crate::data::{Database, Outcome, Reply, Value};
use crate::number::parse_integer;

pub(super) fn run(database: &mut Database, name: &[u8], words: Words<'_>) -> Option<Outcome> {
    Some(match name {
        b"DEL" | b"UNLINK" => delete(database, words),
        b"EXISTS" => exists(database, words),
        b"EXPIRE" | b"PEXPIRE" | b"EXPIREAT" | b"PEXPIREAT" => expire(database, name, words),
        b"TTL" | b"PTTL" => rest(database, name, words),
        b"PERSIST" => persist(database, words),
        b"TYPE" => kind(database, words),
        b"RENAME" => rename(database, words),
        b"DBSIZE" => Ok(Reply::count(database.names().len())),
        b"FLUSHALL" | b"FLUSHDB" => {
            database.keys.clear();
            Ok(Reply::ok())
        }
        _ => return None,
    })
}

fn delete(database: &mut Database, words: Words<'_>) -> Outcome {
    if words.len() < 2 {
        return Err(arity(words));
    }
    let mut count = 0;
    for key in &words[1..] {
        count += usize::from(database.value(key).is_some());
        database.keys.remove(*key);
    }
    Ok(Reply::count(count))
}

fn exists(database: &mut Database, words: Words<'_>) -> Outcome {
    if words.len() < 2 {
        return Err(arity(words));
    }
    let there = words[1..]
        .iter()
        .filter(|key| database.value(key).is_some());
    Ok(Reply::count(there.count()))
}

fn expire(database: &mut Database, name: &[u8], words: Words<'_>) -> Outcome {
    let [_, key, time] = words else {
        return if words.len() > 3 {
            Err(syntax())
        } else {
            Err(arity(words))
        };
    };
    let unit = if name.starts_with(b"P") { 1 } else { 1000 };
    let from = if name.ends_with(b"AT") {
        0
    } else {
        database.now()
    };
    let at = from + parse_integer(time)? * unit;
    if database.value(key).is_none() {
        return Ok(Reply::Integer(0));
    }
    if at <= database.now() {
        database.keys.remove(*key);
    } else if let Some(entry) = database.keys.get_mut(*key) {
        entry.expires_at = Some(at);
    }
    Ok(Reply::Integer(1))
}

fn rest(database: &mut Database, name: &[u8], words: Words<'_>) -> Outcome {
    let [_, key] = words else {
        return Err(arity(words));
    };
    if database.value(key).is_none() {
        return Ok(Reply::Integer(-2));
    }
    let now = database.now();
    let expires_at = database.keys.get(*key).and_then(|entry| entry.expires_at);
    Ok(Reply::Integer(match expires_at {
        None => -1,
        Some(at) if name == b"PTTL" => at - now,
        Some(at) => (at - now + 500) / 1000,
    }))
}

fn persist(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key] = words else {
        return Err(arity(words));
    };
    database.sweep(key);
    let entry = database.keys.get_mut(*key);
    let before = entry.and_then(|entry| entry.expires_at.take());
    Ok(Reply::Integer(before.is_some().into()))
}

fn kind(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key] = words else {
        return Err(arity(words));
    };
    let kind = match database.value(key) {
        None => "none",
        Some(Value::Text(_)) => "string",
        Some(Value::Hash(_)) => "hash",
        Some(Value::List(_)) => "list",
        Some(Value::Set(_)) => "set",
        Some(Value::Sorted(_)) => "zset",
        Some(Value::Stream(_)) => "stream",
    };
    Ok(Reply::Status(kind.to_owned()))
}

fn rename(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, from, to] = words else {
        return Err(arity(words));
    };
    database.sweep(from);
    let entry = database.keys.remove(*from).ok_or("ERR no such key")?;
    database.keys.insert((*to).into(), entry);
    Ok(Reply::ok())
}
