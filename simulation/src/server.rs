//! A server: its data, its scripts, its life.

use crate::commands;
use crate::data::{Database, Life, Reply, Snapshot};
use crate::lua::{self, Source};
use crate::number::integer;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Changes the text of a script before it runs, to see whether the change is noticed.
pub type Rewrite = Arc<dyn Fn(&str) -> String + Send + Sync>;

/// A script as a server has it.
struct Loaded {
    /// Hash of the text that runs.
    hash: String,
    text: String,
}

thread_local! {
    /// Hashes of the scripts that servers of this thread were sent, by their texts: each is sent anew after
    /// every restart.
    static HASHES: RefCell<BTreeMap<Vec<u8>, String>> = RefCell::default();
}

/// Returns the hash of a script that may have been sent before.
fn known_hash(text: &[u8]) -> String {
    HASHES.with_borrow_mut(|hashes| {
        if let Some(hash) = hashes.get(text) {
            return hash.clone();
        }
        let hash = lua::hash(text);
        hashes.insert(text.to_vec(), hash.clone());
        hash
    })
}

/// A model of a Redis server.
#[derive(Default)]
pub struct Server {
    database: Database,
    /// Scripts by the hash of the text that was sent.
    scripts: BTreeMap<String, Loaded>,
    rewrite: Option<Rewrite>,
}

impl Server {
    /// Starts a server without data.
    pub fn new(life: Life) -> Server {
        let mut server = Server::default();
        server.restart(life, Snapshot::default());
        server
    }

    /// Has scripts changed before they run.
    pub fn rewrite_scripts(&mut self, rewrite: Rewrite) {
        self.rewrite = Some(rewrite);
    }

    /// Starts the server again with these identities and this data. It forgets its scripts.
    pub fn restart(&mut self, life: Life, data: Snapshot) {
        self.database.life = life;
        self.database.load(data);
        self.scripts.clear();
    }

    /// Returns the identities of the server.
    pub fn life(&self) -> &Life {
        &self.database.life
    }

    /// Returns the data as it is now.
    pub fn snapshot(&self) -> Snapshot {
        self.database.snapshot()
    }

    /// Returns the data.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Runs a command, given as its words, at a time in microseconds.
    ///
    /// # Panics
    /// If the model does not know the command.
    pub fn execute(&mut self, now_us: i64, words: &[&[u8]]) -> Reply {
        self.database.now_us = now_us;
        let is = |name: &str| words[0].eq_ignore_ascii_case(name.as_bytes());
        if is("EVAL") {
            let hash = self.load(words[1]);
            return self.evaluate(&hash, &words[2..]);
        }
        if is("EVALSHA") {
            let hash = String::from_utf8_lossy(words[1]).to_ascii_lowercase();
            return self.evaluate(&hash, &words[2..]);
        }
        if is("SCRIPT") && words[1].eq_ignore_ascii_case(b"LOAD") {
            return Reply::Bulk(self.load(words[2]).into_bytes());
        }
        commands::run(&mut self.database, words).unwrap_or_else(Reply::Error)
    }

    fn load(&mut self, text: &[u8]) -> String {
        let hash = known_hash(text);
        let text = String::from_utf8_lossy(text);
        if !self.scripts.contains_key(&hash) {
            let text = match &self.rewrite {
                Some(rewrite) => rewrite(&text),
                None => text.into_owned(),
            };
            let loaded = Loaded {
                hash: lua::hash(text.as_bytes()),
                text,
            };
            self.scripts.insert(hash.clone(), loaded);
        }
        hash
    }

    fn evaluate(&mut self, hash: &str, words: &[&[u8]]) -> Reply {
        let Some(script) = self.scripts.get(hash) else {
            return Reply::Error("NOSCRIPT No matching script. Please use EVAL.".to_owned());
        };
        let count = words.first().and_then(|word| integer(word));
        let count = count.and_then(|count| usize::try_from(count).ok());
        let Some((keys, arguments)) = count.and_then(|count| words[1..].split_at_checked(count))
        else {
            let why = "ERR Number of keys can't be greater than number of args";
            return Reply::Error(why.to_owned());
        };
        let source = Source {
            hash: &script.hash,
            text: &script.text,
        };
        lua::run(&mut self.database, source, keys, arguments)
    }
}
