//! What the nodes of a run sent to the model, sent to a real server: the same replies, the same data.

use super::world::Recorded;
use redis::{Cmd, Connection, ConnectionLike as _, RedisError, Value};
use simulation::Reply;

/// Position of the time among the words of a script's call.
const TIME_AT: usize = 4;

/// Returns the first difference between a real server and the model.
pub(super) fn difference(recorded: &[Recorded]) -> Option<String> {
    let server = testkit::Redis::start();
    let client = redis::Client::open(server.url()).expect("a valid URL");
    let mut connection = client.get_connection().expect("the server answers");
    for one in recorded {
        let mut words = one.words.clone();
        let is_script = words[0].starts_with(b"EVAL");
        if is_script && words.get(TIME_AT).is_some_and(|time| time == b"0") {
            words[TIME_AT] = one.store_ms.to_string().into_bytes();
        }
        let real = ask(&mut connection, &words);
        // Hashes have no order.
        let is_ordered = !words[0].starts_with(b"H");
        if plain(real.clone(), is_ordered) != plain(one.reply.clone(), is_ordered) {
            return Some(format!(
                "{}: {real:?}, the model {:?}",
                shown(&words),
                one.reply
            ));
        }
    }
    None
}

/// Asks a server.
fn ask(connection: &mut Connection, words: &[Vec<u8>]) -> Reply {
    let mut command = Cmd::new();
    for word in words {
        command.arg(word);
    }
    match connection.req_command(&command) {
        Ok(value) => reply(value),
        Err(error) => refusal(&error),
    }
}

fn shown(words: &[Vec<u8>]) -> String {
    let words = words
        .iter()
        .map(|word| String::from_utf8_lossy(&word[..word.len().min(40)]));
    words.collect::<Vec<_>>().join(" ")
}

fn refusal(error: &RedisError) -> Reply {
    Reply::Error(error.code().unwrap_or("ERR").to_owned())
}

fn reply(value: Value) -> Reply {
    match value {
        Value::Int(number) => Reply::Integer(number),
        Value::BulkString(bytes) => Reply::Bulk(bytes),
        Value::SimpleString(word) => Reply::Status(word),
        Value::Okay => Reply::Status("OK".to_owned()),
        Value::Array(values) => Reply::Array(values.into_iter().map(reply).collect()),
        Value::ServerError(error) => refusal(&error.into()),
        _ => Reply::Nil,
    }
}

/// Returns a reply in a form that can be compared: refusals have their code alone, and lists without
/// an order of their own are sorted.
fn plain(reply: Reply, is_ordered: bool) -> Reply {
    match reply {
        Reply::Error(text) => Reply::Error(text.split(' ').next().unwrap_or("").to_owned()),
        Reply::Array(replies) => {
            let replies = replies.into_iter().map(|reply| plain(reply, is_ordered));
            let mut replies: Vec<Reply> = replies.collect();
            if !is_ordered {
                replies.sort();
            }
            Reply::Array(replies)
        }
        reply => reply,
    }
}
