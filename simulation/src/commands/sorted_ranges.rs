//! Sorted sets: ranges by rank and by score.

use super::sorted_sets::{read, write_score};
use super::words::{Words, arity, is, span, syntax};
use crate::data::{Database, Outcome, Reply, SortedSet};
use crate::number::{float, parse_integer};

pub(super) fn run(database: &mut Database, name: &[u8], words: Words<'_>) -> Option<Outcome> {
    Some(match name {
        b"ZRANGE" | b"ZREVRANGE" | b"ZRANGEBYSCORE" | b"ZREVRANGEBYSCORE" => {
            range(database, name, words)
        }
        b"ZCOUNT" => count(database, words),
        b"ZREMRANGEBYSCORE" => remove_by_score(database, words),
        b"ZREMRANGEBYRANK" => remove_by_rank(database, words),
        _ => return None,
    })
}

/// End of a range of scores.
#[derive(Clone, Copy)]
struct Bound {
    score: f64,
    is_excluded: bool,
}

impl Bound {
    fn parse(word: &[u8]) -> Result<Bound, String> {
        let rest = word.strip_prefix(b"(");
        let score = float(rest.unwrap_or(word)).ok_or("ERR min or max is not a float")?;
        Ok(Bound {
            score,
            is_excluded: rest.is_some(),
        })
    }
}

/// Range of scores.
#[derive(Clone, Copy)]
struct Scores {
    min: Bound,
    max: Bound,
}

impl Scores {
    fn parse(min: &[u8], max: &[u8]) -> Result<Scores, String> {
        Ok(Scores {
            min: Bound::parse(min)?,
            max: Bound::parse(max)?,
        })
    }

    fn contain(self, score: f64) -> bool {
        let Scores { min, max } = self;
        let is_above = if min.is_excluded {
            score > min.score
        } else {
            score >= min.score
        };
        let is_below = if max.is_excluded {
            score < max.score
        } else {
            score <= max.score
        };
        is_above && is_below
    }
}

/// Options of a range.
#[derive(Default)]
struct RangeOptions {
    by_score: bool,
    is_reversed: bool,
    with_scores: bool,
    /// How many are left out, and how many follow at most (negative: all).
    limit: Option<(i64, i64)>,
}

impl RangeOptions {
    fn parse(name: &[u8], words: &[&[u8]]) -> Result<RangeOptions, String> {
        let is_new = name == b"ZRANGE";
        let mut options = RangeOptions {
            by_score: name.ends_with(b"BYSCORE"),
            is_reversed: name.starts_with(b"ZREV"),
            ..RangeOptions::default()
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if is(word, "WITHSCORES") {
                options.with_scores = true;
            } else if is(word, "LIMIT") {
                let mut number = || parse_integer(words.next().ok_or_else(syntax)?);
                options.limit = Some((number()?, number()?));
            } else if is_new && is(word, "BYSCORE") {
                options.by_score = true;
            } else if is_new && is(word, "REV") {
                options.is_reversed = true;
            } else {
                return Err(syntax());
            }
        }
        if options.limit.is_some() && !options.by_score {
            let why = "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX";
            return Err(why.to_owned());
        }
        Ok(options)
    }
}

fn range(database: &mut Database, name: &[u8], words: Words<'_>) -> Outcome {
    let [_, key, start, end, rest @ ..] = words else {
        return Err(arity(words));
    };
    let options = RangeOptions::parse(name, rest)?;
    let empty = SortedSet::default();
    if options.by_score {
        let (min, max) = if options.is_reversed {
            (end, start)
        } else {
            (start, end)
        };
        let scores = Scores::parse(min, max)?;
        let set = read(database, key)?.unwrap_or(&empty);
        let found: Vec<(&[u8], f64)> = set.iter().filter(|one| scores.contain(one.1)).collect();
        return Ok(listed(found, &options));
    }
    let (start, end) = (parse_integer(start)?, parse_integer(end)?);
    let set = read(database, key)?.unwrap_or(&empty);
    let mut all: Vec<(&[u8], f64)> = set.iter().collect();
    if options.is_reversed {
        all.reverse();
    }
    let found = span(start, end, all.len());
    let found = found.map_or(&[][..], |(start, end)| &all[start..=end]);
    Ok(write(found, options.with_scores))
}

/// Puts what was found by score into order and within the limit.
fn listed(mut found: Vec<(&[u8], f64)>, options: &RangeOptions) -> Reply {
    if options.is_reversed {
        found.reverse();
    }
    let (skipped, count) = options.limit.unwrap_or((0, -1));
    let Ok(skipped) = usize::try_from(skipped) else {
        return Reply::Array(Vec::new());
    };
    let rest = found.get(skipped..).unwrap_or(&[]);
    let count = usize::try_from(count).map_or(rest.len(), |count| count.min(rest.len()));
    write(&rest[..count], options.with_scores)
}

fn write(found: &[(&[u8], f64)], with_scores: bool) -> Reply {
    let mut replies = Vec::with_capacity(found.len());
    for (member, score) in found {
        replies.push(Reply::bulk(member));
        if with_scores {
            replies.push(write_score(*score));
        }
    }
    Reply::Array(replies)
}

fn count(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, min, max] = words else {
        return Err(arity(words));
    };
    let scores = Scores::parse(min, max)?;
    let set = read(database, key)?;
    let count = set.map_or(0, |set| {
        set.iter().filter(|one| scores.contain(one.1)).count()
    });
    Ok(Reply::count(count))
}

fn remove_by_score(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, min, max] = words else {
        return Err(arity(words));
    };
    let scores = Scores::parse(min, max)?;
    database.change(key, |set: &mut SortedSet| {
        let due = set.iter().filter(|one| scores.contain(one.1));
        let due: Vec<Vec<u8>> = due.map(|one| one.0.to_vec()).collect();
        remove(set, &due)
    })
}

fn remove_by_rank(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, start, end] = words else {
        return Err(arity(words));
    };
    let (start, end) = (parse_integer(start)?, parse_integer(end)?);
    database.change(key, |set: &mut SortedSet| {
        let all: Vec<Vec<u8>> = set.iter().map(|one| one.0.to_vec()).collect();
        let due = span(start, end, all.len());
        remove(set, due.map_or(&[][..], |(start, end)| &all[start..=end]))
    })
}

fn remove(set: &mut SortedSet, members: &[Vec<u8>]) -> Reply {
    for member in members {
        set.remove(member);
    }
    Reply::count(members.len())
}
