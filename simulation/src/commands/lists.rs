//! Lists.

use super::words::{Words, arity, span};
use crate::data::{Database, Outcome, Reply};
use crate::number::parse_integer;
use std::collections::VecDeque;

type List = VecDeque<Vec<u8>>;

pub(super) fn run(database: &mut Database, name: &[u8], words: Words<'_>) -> Option<Outcome> {
    Some(match name {
        b"LPUSH" | b"RPUSH" => push(database, name, words),
        b"LPOP" | b"RPOP" => pop(database, name, words),
        b"LLEN" => length(database, words),
        b"LRANGE" => range(database, words),
        b"LTRIM" => trim(database, words),
        b"LINDEX" => index(database, words),
        _ => return None,
    })
}

fn push(database: &mut Database, name: &[u8], words: Words<'_>) -> Outcome {
    let [_, key, values @ ..] = words else {
        return Err(arity(words));
    };
    if values.is_empty() {
        return Err(arity(words));
    }
    database.change(key, |list: &mut List| {
        for value in values {
            match name {
                b"LPUSH" => list.push_front(value.to_vec()),
                _ => list.push_back(value.to_vec()),
            }
        }
        Reply::count(list.len())
    })
}

fn pop(database: &mut Database, name: &[u8], words: Words<'_>) -> Outcome {
    let (key, count) = match words {
        [_, key] => (key, None),
        [_, key, count] => {
            let count = usize::try_from(parse_integer(count)?);
            let count =
                count.map_err(|_| "ERR value is out of range, must be positive".to_owned())?;
            (key, Some(count))
        }
        _ => return Err(arity(words)),
    };
    if database.read::<List>(key)?.is_none() {
        return Ok(Reply::Nil);
    }
    database.change(key, |list: &mut List| {
        let mut one = || match name {
            b"LPOP" => list.pop_front(),
            _ => list.pop_back(),
        };
        match count {
            None => one().map_or(Reply::Nil, Reply::Bulk),
            Some(count) => Reply::Array((0..count).map_while(|_| one().map(Reply::Bulk)).collect()),
        }
    })
}

fn length(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key] = words else {
        return Err(arity(words));
    };
    Ok(Reply::count(
        database.read::<List>(key)?.map_or(0, List::len),
    ))
}

fn range(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, start, end] = words else {
        return Err(arity(words));
    };
    let (start, end) = (parse_integer(start)?, parse_integer(end)?);
    let Some(list) = database.read::<List>(key)? else {
        return Ok(Reply::Array(Vec::new()));
    };
    Ok(match span(start, end, list.len()) {
        Some((start, end)) => Reply::list(list.range(start..=end)),
        None => Reply::Array(Vec::new()),
    })
}

fn trim(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, start, end] = words else {
        return Err(arity(words));
    };
    let (start, end) = (parse_integer(start)?, parse_integer(end)?);
    database.change(key, |list: &mut List| match span(start, end, list.len()) {
        Some((start, end)) => {
            list.truncate(end + 1);
            list.drain(..start);
        }
        None => list.clear(),
    })?;
    Ok(Reply::ok())
}

fn index(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, at] = words else {
        return Err(arity(words));
    };
    let at = parse_integer(at)?;
    let found = database.read::<List>(key)?.and_then(|list| {
        let at = if at < 0 { at + list.len() as i64 } else { at };
        list.get(usize::try_from(at).ok()?)
    });
    Ok(Reply::optional(found.map(Vec::as_slice)))
}
