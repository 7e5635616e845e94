//! Strings as arrays of bits; the highest bit of a byte comes first.

use super::words::{Words, arity, is, span, syntax};
use crate::data::{Database, Outcome, Reply, Value};
use crate::number::{integer, parse_integer};

/// Bits that a string may have.
const BITS_MAX: i64 = 4 * 1024 * 1024 * 1024;

pub(super) fn run(database: &mut Database, name: &[u8], words: Words<'_>) -> Option<Outcome> {
    Some(match name {
        b"GETBIT" => get(database, words),
        b"SETBIT" => set(database, words),
        b"BITCOUNT" => count(database, words),
        b"BITPOS" => position(database, words),
        b"BITOP" => combine(database, words),
        _ => return None,
    })
}

fn offset(word: &[u8]) -> Result<usize, String> {
    let offset = integer(word).filter(|at| (0..BITS_MAX).contains(at));
    let offset = offset.ok_or("ERR bit offset is not an integer or out of range")?;
    Ok(offset as usize)
}

fn is_set(text: &[u8], at: usize) -> bool {
    text.get(at / 8)
        .is_some_and(|byte| byte & (128 >> (at % 8)) != 0)
}

fn get(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, at] = words else {
        return Err(arity(words));
    };
    let at = offset(at)?;
    let text = database.read::<Vec<u8>>(key)?;
    Ok(Reply::Integer(
        text.is_some_and(|text| is_set(text, at)).into(),
    ))
}

fn set(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, at, bit] = words else {
        return Err(arity(words));
    };
    let at = offset(at)?;
    let bit = match *bit {
        b"0" => false,
        b"1" => true,
        _ => return Err("ERR bit is not an integer or out of range".to_owned()),
    };
    database.change(key, |text: &mut Vec<u8>| {
        if text.len() <= at / 8 {
            text.resize(at / 8 + 1, 0);
        }
        let before = is_set(text, at);
        let mask = 128 >> (at % 8);
        if bit {
            text[at / 8] |= mask;
        } else {
            text[at / 8] &= !mask;
        }
        Reply::Integer(before.into())
    })
}

/// Returns the first and the last bit of a range in bytes or in bits; none if it is empty.
fn range(words: &[&[u8]], length: usize) -> Result<Option<(usize, usize)>, String> {
    let (start, end, is_bits) = match words {
        [start, end] => (start, end, false),
        [start, end, unit] if is(unit, "BYTE") => (start, end, false),
        [start, end, unit] if is(unit, "BIT") => (start, end, true),
        _ => return Err(syntax()),
    };
    let (start, end) = (parse_integer(start)?, parse_integer(end)?);
    let length = if is_bits { length * 8 } else { length };
    // An end before the beginning counts as the beginning.
    let end = if end < 0 {
        (end + length as i64).max(0)
    } else {
        end
    };
    let found = span(start, end, length);
    Ok(found.map(|(start, end)| match is_bits {
        true => (start, end),
        false => (start * 8, end * 8 + 7),
    }))
}

fn is_turned(start: &[u8], end: &[u8]) -> Result<bool, String> {
    let (start, end) = (parse_integer(start)?, parse_integer(end)?);
    Ok(start < 0 && end < 0 && start > end)
}

fn count(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, rest @ ..] = words else {
        return Err(arity(words));
    };
    let text = database
        .read::<Vec<u8>>(key)?
        .map_or(&[][..], Vec::as_slice);
    let bits = match rest {
        [] => (!text.is_empty()).then(|| (0, text.len() * 8 - 1)),
        // Here two ends before the beginning count in their own order.
        [start, end, ..] if is_turned(start, end)? => None,
        rest => range(rest, text.len())?,
    };
    let Some((first, last)) = bits else {
        return Ok(Reply::Integer(0));
    };
    Ok(Reply::count(
        (first..=last).filter(|at| is_set(text, *at)).count(),
    ))
}

fn position(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, key, bit, rest @ ..] = words else {
        return Err(arity(words));
    };
    let bit = match *bit {
        b"0" => false,
        b"1" => true,
        _ => return Err("ERR The bit argument must be 1 or 0.".to_owned()),
    };
    let Some(text) = database.read::<Vec<u8>>(key)? else {
        return Ok(Reply::Integer(if bit { -1 } else { 0 }));
    };
    let bits = match rest {
        [] => (!text.is_empty()).then(|| (0, text.len() * 8 - 1)),
        [start] => range(&[start, b"-1"], text.len())?,
        rest => range(rest, text.len())?,
    };
    let Some((first, last)) = bits else {
        return Ok(Reply::Integer(-1));
    };
    let found = (first..=last).find(|at| is_set(text, *at) == bit);
    Ok(Reply::Integer(match found {
        Some(at) => at as i64,
        // Beyond a string whose end was not given there are zeros.
        None if !bit && rest.len() < 2 => last as i64 + 1,
        None => -1,
    }))
}

fn combine(database: &mut Database, words: Words<'_>) -> Outcome {
    let [_, operation, to, from @ ..] = words else {
        return Err(arity(words));
    };
    let mut texts = Vec::with_capacity(from.len());
    for key in from {
        texts.push(database.read::<Vec<u8>>(key)?.cloned().unwrap_or_default());
    }
    let fold: fn(u8, u8) -> u8 = match () {
        () if is(operation, "AND") => |a, b| a & b,
        () if is(operation, "OR") => |a, b| a | b,
        () if is(operation, "XOR") => |a, b| a ^ b,
        () if is(operation, "NOT") && texts.len() == 1 => |_, b| b,
        () if is(operation, "NOT") => {
            return Err("ERR BITOP NOT must be called with a single source key.".to_owned());
        }
        () => return Err(syntax()),
    };
    if texts.is_empty() {
        return Err(arity(words));
    }
    let length = texts.iter().map(Vec::len).max().unwrap_or(0);
    let byte = |text: &Vec<u8>, at: usize| text.get(at).copied().unwrap_or(0);
    let combined = (0..length).map(|at| {
        let bytes = texts.iter().map(|text| byte(text, at));
        let combined = bytes.reduce(fold).unwrap_or(0);
        if is(operation, "NOT") {
            !combined
        } else {
            combined
        }
    });
    let combined: Vec<u8> = combined.collect();
    if combined.is_empty() {
        database.keys.remove(*to);
    } else {
        database.put(to, Value::Text(combined));
    }
    Ok(Reply::count(length))
}
