//! Sorted sets: members and their scores.

use super::words::{Words, arity, is, syntax};
use crate::data::{Database, Outcome, Reply, SortedSet};
use crate::number::{NO_FLOAT, float, general, parse_integer};

pub(super) fn run(database: &mut Database, name: &[u8], words: Words<'_>) -> Option<Outcome> {
    Some(match name {
        b"ZADD" => add(database, words),
        b"ZINCRBY" => increment(database, words),
        b"ZREM" => remove(database, words),
        b"ZCARD" => count(database, words),
        b"ZSCORE" => score(database, words),
        b"ZMSCORE" => scores(database, words),
        b"ZRANK" | b"ZREVRANK" => rank(database, name, words),
        b"ZPOPMIN" | b"ZPOPMAX" => pop(database, name, words),
        _ => return None,
    })
}

pub(super) fn read<'a>(
    database: &'a Database,
    key: &[u8],
) -> Result<Option<&'a SortedSet>, String> {
    database.read::<SortedSet>(key)
}

pub(super) fn write_score(score: f64) -> Reply {
    Reply::Bulk(general(score).into_bytes())
}

fn parse_score(word: &[u8]) -> Result<f64, String> {
    float(word).ok_or_else(|| NO_FLOAT.to_owned())
}

/// Options of ZADD.
#[derive(Default)]
struct AddOptions {
    only_new: bool,
    only_existing: bool,
    only_higher: bool,
    only_lower: bool,
    counts_changes: bool,
    increments: bool,
}

impl AddOptions {
    /// Takes an option; returns false if the word is none.
    fn take(&mut self, word: &[u8]) -> bool {
        let option = match () {
            () if is(word, "NX") => &mut self.only_new,
            () if is(word, "XX") => &mut self.only_existing,
            () if is(word, "GT") => &mut self.only_higher,
            () if is(word, "LT") => &mut self.only_lower,
            () if is(word, "CH") => &mut self.counts_changes,
            () if is(word, "INCR") => &mut self.increments,
            () => return false,
        };
        *option = true;
        true
    }

    fn check(&self, pairs: usize) -> Result<(), String> {
        if self.only_new && self.only_existing {
            let why = "ERR XX and NX options at the same time are not compatible";
            return Err(why.to_owned());
        }
        if usize::from(self.only_new) + usize::from(self.only_higher) + usize::from(self.only_lower)
            > 1
        {
            let why = "ERR GT, LT, and/or NX options at the same time are not compatible";
            return Err(why.to_owned());
        }
        if self.increments && pairs > 1 {
            return Err("ERR INCR option supports a single increment-element pair".to_owned());
        }
        Ok(())
    }

    /// Returns the new score of a member; none if it stays as it is.
    fn decide(&self, before: Option<f64>, given: f64) -> Option<f64> {
        let Some(before) = before else {
            return (!self.only_existing).then_some(given);
        };
        let after = if self.increments {
            before + given
        } else {
            given
        };
        let is_kept = self.only_new
            || self.only_higher && after <= before
            || self.only_lower && after >= before;
        (!is_kept).then_some(after)
    }
}

fn add(database: &mut Database, words: Words<'_>) -> Outcome {
    if words.len() < 4 {
        return Err(arity(words));
    }
    let mut options = AddOptions::default();
    let given = words[2..]
        .iter()
        .take_while(|word| options.take(word))
        .count();
    let pairs = &words[2 + given..];
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(syntax());
    }
    options.check(pairs.len() / 2)?;
    let scores: Result<Vec<f64>, String> = pairs
        .chunks_exact(2)
        .map(|pair| parse_score(pair[0]))
        .collect();
    let scores = scores?;
    database.change(words[1], |set: &mut SortedSet| {
        let (mut added, mut changed, mut last) = (0, 0, None);
        for (pair, given) in pairs.chunks_exact(2).zip(scores) {
            let before = set.score(pair[1]);
            last = options.decide(before, given);
            if let Some(after) = last {
                set.insert(pair[1], after);
                added += usize::from(before.is_none());
                changed += usize::from(before.is_some_and(|before| before != after));
            }
        }
        match options.increments {
            true => last.map_or(Reply::Nil, write_score),
            false if options.counts_changes => Reply::count(added + changed),
            false => Reply::count(added),
        }
    })
}

fn increment(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, by, member] = words else {
        return Err(arity(words));
    };
    let by = parse_score(by)?;
    database.change(key, |set: &mut SortedSet| {
        let after = set.score(member).unwrap_or(0.0) + by;
        set.insert(member, after);
        write_score(after)
    })
}

fn remove(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, members @ ..] = words else {
        return Err(arity(words));
    };
    if members.is_empty() {
        return Err(arity(words));
    }
    database.change(key, |set: &mut SortedSet| {
        let removed = members.iter().filter(|member| set.remove(member).is_some());
        Reply::count(removed.count())
    })
}

fn count(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key] = words else {
        return Err(arity(words));
    };
    Ok(Reply::count(read(database, key)?.map_or(0, SortedSet::len)))
}

fn score(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, member] = words else {
        return Err(arity(words));
    };
    let score = read(database, key)?.and_then(|set| set.score(member));
    Ok(score.map_or(Reply::Nil, write_score))
}

fn scores(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, members @ ..] = words else {
        return Err(arity(words));
    };
    if members.is_empty() {
        return Err(arity(words));
    }
    let set = read(database, key)?;
    let scores = members.iter().map(|member| {
        let score = set.and_then(|set| set.score(member));
        score.map_or(Reply::Nil, write_score)
    });
    Ok(Reply::Array(scores.collect()))
}

fn rank(database: &mut Database, name: &[u8], words: Words<'_>) -> Outcome {
    let [_, key, member] = words else {
        return if words.len() > 3 {
            Err(syntax())
        } else {
            Err(arity(words))
        };
    };
    let Some(set) = read(database, key)? else {
        return Ok(Reply::Nil);
    };
    let is_it = |(found, _): (&[u8], f64)| found == *member;
    let rank = match name {
        b"ZRANK" => set.iter().position(is_it),
        _ => set.iter().rev().position(is_it),
    };
    Ok(rank.map_or(Reply::Nil, Reply::count))
}

fn pop(database: &mut Database, name: &[u8], words: Words<'_>) -> Outcome {
    let (key, count) = match words {
        [_, key] => (key, 1),
        [_, key, count] => {
            let count = usize::try_from(parse_integer(count)?);
            (
                key,
                count.map_err(|_| "ERR value is out of range, must be positive".to_owned())?,
            )
        }
        _ => return Err(syntax()),
    };
    database.change(key, |set: &mut SortedSet| {
        let due = |(member, score): (&[u8], f64)| (member.to_vec(), score);
        let due: Vec<(Vec<u8>, f64)> = match name {
            b"ZPOPMIN" => set.iter().take(count).map(due).collect(),
            _ => set.iter().rev().take(count).map(due).collect(),
        };
        let mut replies = Vec::new();
        for (member, score) in due {
            set.remove(&member);
            replies.extend([Reply::Bulk(member), write_score(score)]);
        }
        Reply::Array(replies)
    })
}
