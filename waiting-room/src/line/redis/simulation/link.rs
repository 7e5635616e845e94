//! The stand-in for a connection to Redis: what a node sends goes to the simulated store, on a wire
//! that delays, loses and repeats messages.

use super::wire::{End, Fate, broken};
use super::world::World;
use redis::{Arg, Cmd, RedisError, Value};
use simulation::Reply;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::sleep_until;

/// A node's wire to the store.
#[derive(Clone)]
pub(in crate::line::redis) struct Link {
    world: Arc<World>,
    end: End,
}

impl Link {
    /// Creates the link of a life of a node.
    pub(super) fn new(world: Arc<World>, node: usize, life: u64) -> Link {
        let end = End {
            node,
            life,
            connection: 0,
        };
        Link { world, end }
    }

    /// Returns a seed.
    pub(in crate::line::redis) fn seed(&self) -> u64 {
        self.world.split_dice().roll()
    }

    /// Opens a connection. Waits while the store does not answer; fails while there is none.
    pub(in crate::line::redis) async fn connect(&self) -> Result<Link, RedisError> {
        self.world.wait_for_store(self.end).await?;
        let end = End {
            connection: self.world.connect(),
            ..self.end
        };
        let world = self.world.clone();
        Ok(Link { world, end })
    }

    /// Sends a command. It may arrive after the caller has given up.
    pub(in crate::line::redis) async fn send(&self, command: &Cmd) -> Result<Value, RedisError> {
        if !self.world.is_alive(self.end.node, self.end.life) {
            return Err(broken());
        }
        let words = command.args_iter().map(|word| match word {
            Arg::Simple(bytes) => bytes.to_vec(),
            _ => b"0".to_vec(),
        });
        let mut words: Vec<Vec<u8>> = words.collect();
        self.world.reseed(&mut words);
        let (answer, answered) = oneshot::channel();
        tokio::spawn(carry(self.clone(), words, answer));
        answered.await.unwrap_or_else(|_| Err(broken()))
    }
}

type AnswerSender = oneshot::Sender<Result<Value, RedisError>>;

/// Carries a command to the store and its reply back.
async fn carry(link: Link, words: Vec<Vec<u8>>, mut answer: AnswerSender) {
    let Link { world, end } = link;
    let passage = world.passage(end);
    sleep_until(passage.arrives_at).await;
    if let Err(error) = world.wait_for_store(end).await {
        let _ = answer.send(Err(error));
        return;
    }
    if !world.is_connected(end) {
        let _ = answer.send(Err(broken()));
        return;
    }
    match passage.fate {
        Fate::LostBefore => {
            world.break_connection(end);
            let _ = answer.send(Err(broken()));
            return;
        }
        Fate::StalledBefore => return answer.closed().await,
        _ => {}
    }
    let mut reply = world.execute(end.node, &words);
    if passage.fate == Fate::Repeated {
        reply = world.execute(end.node, &words);
    }
    match passage.fate {
        Fate::LostAfter => {
            world.break_connection(end);
            let _ = answer.send(Err(broken()));
            return;
        }
        Fate::StalledAfter => return answer.closed().await,
        _ => {}
    }
    tokio::time::sleep(passage.back).await;
    let _ = world.wait_for_store(end).await;
    let is_there = world.is_connected(end);
    let _ = answer.send(if is_there {
        value(reply)
    } else {
        Err(broken())
    });
}

/// Returns a reply as the client has it.
pub(super) fn value(reply: Reply) -> Result<Value, RedisError> {
    Ok(match reply {
        Reply::Nil => Value::Nil,
        Reply::Integer(number) => Value::Int(number),
        Reply::Bulk(bytes) => Value::BulkString(bytes),
        Reply::Status(word) if word == "OK" => Value::Okay,
        Reply::Status(word) => Value::SimpleString(word),
        Reply::Array(replies) => {
            let values: Result<Vec<Value>, RedisError> = replies.into_iter().map(value).collect();
            Value::Array(values?)
        }
        Reply::Error(text) => {
            let line = format!("-{}\r\n", text.replace(['\r', '\n'], " "));
            return redis::parse_redis_value(line.as_bytes());
        }
    })
}
