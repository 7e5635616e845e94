//! Sets.

use super::words::{Words, arity};
use crate::data::{Database, Outcome, Reply};
use std::collections::BTreeSet;

type Set = BTreeSet<Vec<u8>>;

pub(super) fn run(database: &mut Database, name: &[u8], words: Words<'_>) -> Option<Outcome> {
    Some(match name {
        b"SADD" => add(database, words),
        b"SREM" => remove(database, words),
        b"SCARD" => count(database, words),
        b"SMEMBERS" => members(database, words),
        b"SISMEMBER" => contains(database, words),
        _ => return None,
    })
}

fn add(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, members @ ..] = words else {
        return Err(arity(words));
    };
    if members.is_empty() {
        return Err(arity(words));
    }
    database.change(key, |set: &mut Set| {
        let added = members.iter().filter(|member| set.insert(member.to_vec()));
        Reply::count(added.count())
    })
}

fn remove(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, members @ ..] = words else {
        return Err(arity(words));
    };
    if members.is_empty() {
        return Err(arity(words));
    }
    database.change(key, |set: &mut Set| {
        let removed = members.iter().filter(|member| set.remove(**member));
        Reply::count(removed.count())
    })
}

fn count(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key] = words else {
        return Err(arity(words));
    };
    Ok(Reply::count(database.read::<Set>(key)?.map_or(0, Set::len)))
}

fn members(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key] = words else {
        return Err(arity(words));
    };
    let set = database.read::<Set>(key)?;
    Ok(Reply::list(set.into_iter().flatten()))
}

fn contains(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, member] = words else {
        return Err(arity(words));
    };
    let set = database.read::<Set>(key)?;
    Ok(Reply::Integer(
        set.is_some_and(|set| set.contains(*member)).into(),
    ))
}
