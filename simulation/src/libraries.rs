//! The libraries `bit` and `struct`, which Redis adds to Lua, as far as scripts use them.

use mlua::{Error, Lua, MultiValue, Result, Table, Value, Variadic};

/// Adds the libraries to the global names.
pub(crate) fn add(lua: &Lua) -> Result<()> {
    let globals = lua.globals();
    globals.raw_set("bit", bit(lua)?)?;
    let packing = lua.create_table()?;
    packing.raw_set("pack", lua.create_function(pack)?)?;
    packing.raw_set("unpack", lua.create_function(unpack)?)?;
    packing.raw_set("size", lua.create_function(size)?)?;
    globals.raw_set("struct", packing)
}

/// Returns a number as 32 bits.
fn bits(number: f64) -> u32 {
    number.round_ties_even().rem_euclid(4_294_967_296.0) as u32
}

fn signed(bits: u32) -> f64 {
    f64::from(bits as i32)
}

/// An operator on bits.
type Operator = fn(u32, u32) -> u32;

fn bit(lua: &Lua) -> Result<Table> {
    let table = lua.create_table()?;
    let folds: [(&str, Operator); 3] = [
        ("band", |a, b| a & b),
        ("bor", |a, b| a | b),
        ("bxor", |a, b| a ^ b),
    ];
    for (name, fold) in folds {
        let function = lua.create_function(move |_, numbers: Variadic<f64>| {
            let folded = numbers.iter().map(|number| bits(*number)).reduce(fold);
            Ok(signed(folded.unwrap_or(0)))
        });
        table.raw_set(name, function?)?;
    }
    let shifts: [(&str, Operator); 3] = [
        ("lshift", |a, by| a << by),
        ("rshift", |a, by| a >> by),
        ("arshift", |a, by| ((a as i32) >> by) as u32),
    ];
    for (name, shift) in shifts {
        let function = lua.create_function(move |_, (number, by): (f64, f64)| {
            Ok(signed(shift(bits(number), bits(by) & 31)))
        });
        table.raw_set(name, function?)?;
    }
    let not = lua.create_function(|_, number: f64| Ok(signed(!bits(number))))?;
    table.raw_set("bnot", not)?;
    let whole = lua.create_function(|_, number: f64| Ok(signed(bits(number))))?;
    table.raw_set("tobit", whole)?;
    Ok(table)
}

/// An item of a format.
enum Item {
    Integer {
        size: usize,
        is_signed: bool,
    },
    Float,
    Double,
    /// Bytes; none: as many as the argument has.
    Bytes(Option<usize>),
    /// Bytes up to a zero.
    Terminated,
    Zero,
}

/// Reads the items of a format, each with whether its lowest byte comes first.
fn items(format: &str) -> Result<Vec<(Item, bool)>> {
    let mut found = Vec::new();
    let mut is_little = true;
    let mut signs = format.chars().peekable();
    while let Some(sign) = signs.next() {
        let mut count = None;
        while let Some(digit) = signs.peek().and_then(|digit| digit.to_digit(10)) {
            count = Some(count.unwrap_or(0) * 10 + digit as usize);
            signs.next();
        }
        let integer = |size: usize| Item::Integer {
            size,
            is_signed: sign.is_ascii_lowercase(),
        };
        let item = match sign {
            '>' => {
                is_little = false;
                continue;
            }
            '<' | '=' => {
                is_little = true;
                continue;
            }
            ' ' => continue,
            'b' | 'B' => integer(1),
            'h' | 'H' => integer(2),
            'i' | 'I' => integer(count.unwrap_or(4)),
            'l' | 'L' => integer(8),
            'f' => Item::Float,
            'd' => Item::Double,
            'c' => Item::Bytes(if count == Some(0) {
                None
            } else {
                Some(count.unwrap_or(1))
            }),
            's' => Item::Terminated,
            'x' => Item::Zero,
            _ => return Err(Error::runtime(format!("invalid format option '{sign}'"))),
        };
        found.push((item, is_little));
    }
    Ok(found)
}

fn push(bytes: &mut Vec<u8>, big_endian: &[u8], is_little: bool) {
    let at = bytes.len();
    bytes.extend_from_slice(big_endian);
    if is_little {
        bytes[at..].reverse();
    }
}

fn number(value: Option<&Value>) -> Result<f64> {
    match value {
        Some(Value::Integer(number)) => Ok(*number as f64),
        Some(Value::Number(number)) => Ok(*number),
        Some(Value::String(text)) => {
            let text = text.to_string_lossy();
            text.trim()
                .parse()
                .map_err(|_| Error::runtime("number expected"))
        }
        _ => Err(Error::runtime("number expected")),
    }
}

fn pack(lua: &Lua, (format, values): (String, Variadic<Value>)) -> Result<Value> {
    let mut bytes = Vec::new();
    let mut values = values.iter();
    for (item, is_little) in items(&format)? {
        match item {
            Item::Integer { size, is_signed } => {
                let number = number(values.next())?;
                let whole = if is_signed || number < 0.0 {
                    number as i64 as u64
                } else {
                    number as u64
                };
                let all = u128::from(whole).to_be_bytes();
                push(&mut bytes, &all[16 - size..], is_little);
            }
            Item::Float => {
                let number = number(values.next())? as f32;
                push(&mut bytes, &number.to_be_bytes(), is_little);
            }
            Item::Double => push(&mut bytes, &number(values.next())?.to_be_bytes(), is_little),
            Item::Bytes(_) | Item::Terminated => {
                let Some(Value::String(text)) = values.next() else {
                    return Err(Error::runtime("string expected"));
                };
                let text = text.as_bytes();
                match item {
                    Item::Bytes(Some(count)) if count > text.len() => {
                        return Err(Error::runtime("string too short"));
                    }
                    Item::Bytes(Some(count)) => bytes.extend_from_slice(&text[..count]),
                    Item::Bytes(None) => bytes.extend_from_slice(&text),
                    _ => {
                        bytes.extend_from_slice(&text);
                        bytes.push(0);
                    }
                }
            }
            Item::Zero => bytes.push(0),
        }
    }
    Ok(Value::String(lua.create_string(bytes)?))
}

/// Takes bytes off the rest of a text.
fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8]> {
    let (taken, left) = rest
        .split_at_checked(count)
        .ok_or_else(|| Error::runtime("data string too short"))?;
    *rest = left;
    Ok(taken)
}

fn in_order(bytes: &[u8], is_little: bool) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if is_little {
        bytes.reverse();
    }
    bytes
}

fn read_integer(bytes: &[u8], is_signed: bool) -> f64 {
    let fill = if is_signed && bytes.first().is_some_and(|byte| byte & 128 != 0) {
        255
    } else {
        0
    };
    let mut all = [fill; 8];
    all[8 - bytes.len()..].copy_from_slice(bytes);
    if is_signed {
        i64::from_be_bytes(all) as f64
    } else {
        u64::from_be_bytes(all) as f64
    }
}

fn unpack(
    lua: &Lua,
    (format, text, from): (String, mlua::LuaString, Option<usize>),
) -> Result<MultiValue> {
    let text = text.as_bytes();
    let from = from.unwrap_or(1).max(1) - 1;
    let mut rest = text.get(from..).unwrap_or(&[]);
    let mut found = Vec::new();
    for (item, is_little) in items(&format)? {
        match item {
            Item::Integer { size, is_signed } => {
                let bytes = in_order(take(&mut rest, size)?, is_little);
                found.push(Value::Number(read_integer(&bytes, is_signed)));
            }
            Item::Float => {
                let bytes = in_order(take(&mut rest, 4)?, is_little);
                let number = f32::from_be_bytes(bytes.try_into().unwrap_or_default());
                found.push(Value::Number(number.into()));
            }
            Item::Double => {
                let bytes = in_order(take(&mut rest, 8)?, is_little);
                let number = f64::from_be_bytes(bytes.try_into().unwrap_or_default());
                found.push(Value::Number(number));
            }
            Item::Bytes(count) => {
                let count = match count {
                    Some(count) => count,
                    None => match found.pop() {
                        Some(Value::Number(count)) => count as usize,
                        _ => return Err(Error::runtime("format 'c0' needs a previous size")),
                    },
                };
                found.push(Value::String(lua.create_string(take(&mut rest, count)?)?));
            }
            Item::Terminated => {
                let end = rest.iter().position(|byte| *byte == 0);
                let end = end.ok_or_else(|| Error::runtime("unfinished string in data"))?;
                found.push(Value::String(lua.create_string(take(&mut rest, end)?)?));
                take(&mut rest, 1)?;
            }
            Item::Zero => {
                take(&mut rest, 1)?;
            }
        }
    }
    found.push(Value::Number((text.len() - rest.len() + 1) as f64));
    Ok(found.into_iter().collect())
}

fn size(_: &Lua, format: String) -> Result<usize> {
    let mut size = 0;
    for (item, _) in items(&format)? {
        size += match item {
            Item::Integer { size, .. } => size,
            Item::Float => 4,
            Item::Double => 8,
            Item::Bytes(Some(count)) => count,
            Item::Zero => 1,
            Item::Bytes(None) | Item::Terminated => {
                return Err(Error::runtime("variable-size format for 'struct.size'"));
            }
        };
    }
    Ok(size)
}
