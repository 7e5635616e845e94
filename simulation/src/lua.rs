//! Scripts in the Lua that Redis has. A thread has one state of Lua, in which every script is
//! compiled once; the data of the server whose script runs is put into it meanwhile.

use crate::commands;
use crate::data::{Database, Reply};
use crate::libraries;
use crate::number::general;
use mlua::state::{GcIncParams, GcMode};
use mlua::{Error, Function, Lua, LuaOptions, Result, StdLib, Table, Value, Variadic};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// Names that Lua has and Redis takes away.
const TAKEN: [&str; 6] = [
    "dofile", "loadfile", "module", "print", "require", "newproxy",
];

/// Size of the heap at which garbage is collected again, in percent of that after the last time.
const GC_PAUSE: i32 = 1_000;

thread_local! {
    static ENGINE: Engine = Engine::new().expect("Lua starts");
}

struct Engine {
    lua: Lua,
    globals: Table,
    /// Compiled scripts by their hash.
    functions: RefCell<HashMap<String, Function>>,
    /// The data of the server whose script runs.
    database: Rc<RefCell<Database>>,
}

/// A script and its hash.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) hash: &'a str,
    pub(crate) text: &'a str,
}

/// Returns the hash by which a server knows a script.
pub(crate) fn hash(text: &[u8]) -> String {
    sha1_smol::Sha1::from(text).digest().to_string()
}

/// Runs a script on the data of a server.
pub(crate) fn run(
    database: &mut Database,
    source: Source<'_>,
    keys: &[&[u8]],
    arguments: &[&[u8]],
) -> Reply {
    ENGINE.with(|engine| {
        std::mem::swap(database, &mut *engine.database.borrow_mut());
        let ran = engine.run(source, keys, arguments);
        std::mem::swap(database, &mut *engine.database.borrow_mut());
        ran.unwrap_or_else(|error| Reply::Error(refusal(&error)))
    })
}

/// Returns why a script ended: the refusal of a command that it called, or an error of its own.
fn refusal(error: &Error) -> String {
    match error {
        Error::CallbackError { cause, .. } => refusal(cause),
        Error::RuntimeError(text) if has_code(text) => text.clone(),
        error => format!("ERR {error}"),
    }
}

fn has_code(text: &str) -> bool {
    let code = text.split(' ').next().unwrap_or("");
    code.len() > 2 && code.bytes().all(|letter| letter.is_ascii_uppercase())
}

impl Engine {
    fn new() -> Result<Engine> {
        let libs = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
        let lua = Lua::new_with(libs, LuaOptions::new().catch_rust_panics(false))?;
        // Little of the heap is garbage for long, and memory is not short.
        lua.gc_set_mode(GcMode::Incremental(GcIncParams::default().pause(GC_PAUSE)));
        let database = Rc::new(RefCell::new(Database::default()));
        let globals = lua.globals();
        for name in TAKEN {
            globals.raw_set(name, Value::Nil)?;
        }
        libraries::add(&lua)?;
        globals.raw_set("redis", redis(&lua, &database)?)?;
        // A script has no global names of its own.
        let guard = r"
            local mark = {}
            mark.__newindex = function(_, name)
                error('Script attempted to create global variable ' .. tostring(name), 2)
            end
            mark.__index = function(_, name)
                error('Script attempted to access nonexistent global variable ' .. tostring(name), 2)
            end
            setmetatable(_G, mark)";
        lua.load(guard).exec()?;
        Ok(Engine {
            lua,
            globals,
            functions: RefCell::default(),
            database,
        })
    }

    fn function(&self, source: Source<'_>) -> Result<Function> {
        if let Some(function) = self.functions.borrow().get(source.hash) {
            return Ok(function.clone());
        }
        let chunk = self.lua.load(source.text).set_name("@user_script");
        let function = chunk.into_function()?;
        let mut functions = self.functions.borrow_mut();
        functions.insert(source.hash.to_owned(), function.clone());
        Ok(function)
    }

    fn run(&self, source: Source<'_>, keys: &[&[u8]], arguments: &[&[u8]]) -> Result<Reply> {
        let function = self.function(source)?;
        for (name, words) in [("KEYS", keys), ("ARGV", arguments)] {
            let table = self.lua.create_table_with_capacity(words.len(), 0)?;
            for (at, word) in words.iter().enumerate() {
                match std::str::from_utf8(word) {
                    Ok(text) => table.raw_seti(at + 1, text)?,
                    Err(_) => table.raw_seti(at + 1, self.lua.create_string(word)?)?,
                }
            }
            self.globals.raw_set(name, table)?;
        }
        read(function.call::<Value>(())?)
    }
}

/// Creates the library `redis`.
fn redis(lua: &Lua, database: &Rc<RefCell<Database>>) -> Result<Table> {
    let table = lua.create_table()?;
    let data = database.clone();
    let call = lua.create_function(move |lua, words: Variadic<Value>| {
        let ran = command(&mut data.borrow_mut(), &words)?;
        write(lua, ran.map_err(Error::runtime)?)
    });
    table.raw_set("call", call?)?;
    let data = database.clone();
    let call = lua.create_function(move |lua, words: Variadic<Value>| {
        let ran = command(&mut data.borrow_mut(), &words)?;
        write(lua, ran.unwrap_or_else(Reply::Error))
    });
    table.raw_set("pcall", call?)?;
    let error = lua.create_function(|lua, text: Value| {
        let reply = lua.create_table()?;
        reply.raw_set("err", text)?;
        Ok(reply)
    });
    table.raw_set("error_reply", error?)?;
    let status = lua.create_function(|lua, text: Value| {
        let reply = lua.create_table()?;
        reply.raw_set("ok", text)?;
        Ok(reply)
    });
    table.raw_set("status_reply", status?)?;
    let hash = lua.create_function(|_, text: mlua::LuaString| Ok(hash(&text.as_bytes())));
    table.raw_set("sha1hex", hash?)?;
    Ok(table)
}

/// Runs a command that a script calls.
fn command(database: &mut Database, words: &[Value]) -> Result<std::result::Result<Reply, String>> {
    let mut bytes: Vec<u8> = Vec::with_capacity(256);
    let mut ends = Vec::with_capacity(words.len());
    for word in words {
        match word {
            Value::String(text) => bytes.extend_from_slice(&text.as_bytes()),
            Value::Integer(number) => bytes.extend_from_slice(general(*number as f64).as_bytes()),
            Value::Number(number) => bytes.extend_from_slice(general(*number).as_bytes()),
            _ => {
                let why = "Lua redis lib command arguments must be strings or integers";
                return Err(Error::runtime(why));
            }
        }
        ends.push(bytes.len());
    }
    let mut start = 0;
    let words: Vec<&[u8]> = ends
        .iter()
        .map(|end| &bytes[std::mem::replace(&mut start, *end)..*end])
        .collect();
    if words.is_empty() {
        let why = "Please specify at least one argument for this redis.call/redis.pcall call";
        return Err(Error::runtime(why));
    }
    Ok(commands::run(database, &words))
}

/// Hands a reply to a script.
fn write(lua: &Lua, reply: Reply) -> Result<Value> {
    Ok(match reply {
        Reply::Nil => Value::Boolean(false),
        Reply::Integer(number) => Value::Integer(number),
        Reply::Bulk(bytes) => Value::String(lua.create_string(bytes)?),
        Reply::Status(word) => {
            let table = lua.create_table()?;
            table.raw_set("ok", word)?;
            Value::Table(table)
        }
        Reply::Error(text) => {
            let table = lua.create_table()?;
            table.raw_set("err", text)?;
            Value::Table(table)
        }
        Reply::Array(replies) => {
            let table = lua.create_table_with_capacity(replies.len(), 0)?;
            for (at, reply) in replies.into_iter().enumerate() {
                // A text takes no reference, which others do until they are in the table.
                let text = match &reply {
                    Reply::Bulk(bytes) => std::str::from_utf8(bytes).ok(),
                    _ => None,
                };
                match text {
                    Some(text) => table.raw_seti(at + 1, text)?,
                    None => table.raw_seti(at + 1, write(lua, reply)?)?,
                }
            }
            Value::Table(table)
        }
    })
}

/// Reads what a script returned.
fn read(value: Value) -> Result<Reply> {
    Ok(match value {
        Value::Boolean(true) => Reply::Integer(1),
        Value::Integer(number) => Reply::Integer(number),
        Value::Number(number) => Reply::Integer(number as i64),
        Value::String(text) => Reply::bulk(&text.as_bytes()),
        Value::Table(table) => {
            if let Value::String(text) = table.raw_get("err")? {
                return Ok(Reply::Error(text.to_string_lossy().to_string()));
            }
            if let Value::String(text) = table.raw_get("ok")? {
                return Ok(Reply::Status(text.to_string_lossy().to_string()));
            }
            let mut replies = Vec::with_capacity(table.raw_len());
            for at in 1.. {
                match table.raw_get(at)? {
                    Value::Nil => break,
                    value => replies.push(read(value)?),
                }
            }
            Reply::Array(replies)
        }
        _ => Reply::Nil,
    })
}
