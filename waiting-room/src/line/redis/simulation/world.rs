//! The simulated store and the wires to it, with all that can go wrong with them.

use super::crowd::Crowd;
use super::oracle::{Oracle, Step};
use super::stored::Stored;
use super::wire::{End, Passage, Wires, broken, refused};
use parking_lot::{Mutex, MutexGuard};
use redis::RedisError;
use simulation::{Dice, Life, Reply, Server, Snapshot};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Time of the store when the simulation begins, in ms: later than any at which it may run, as nodes
/// compare some times of the store with those of the machine.
pub(super) const START_MS: i64 = 4_000_000_000_000;
/// Number of earlier states of the store that it may be rolled back to.
const PAST_MAX: usize = 200;
/// Silence of the store that counts for no deadline, in ms.
const UNHEARD_MS: u64 = 5_000;

/// Place of the new seed among the words of a call of `configure.lua`.
const SEED_OF_CONFIGURE: usize = 10;

/// Names of scripts, by what calls them: their hashes and their texts.
pub(super) type ScriptNames = BTreeMap<&'static [u8], &'static str>;

/// A command that the store carried out.
pub(super) struct Recorded {
    pub(super) words: Vec<Vec<u8>>,
    pub(super) store_ms: i64,
    pub(super) reply: Reply,
}

/// A node as the store sees it.
#[derive(Clone, Debug)]
struct Peer {
    /// The life that the node is in; none while it is down.
    life: Option<u64>,
    /// Connections with a lower number are broken.
    connections_from: u64,
    /// When the last message on its way arrives.
    last_at: Instant,
    is_cut: bool,
    dice: Dice,
}

/// All that is shared.
pub(super) struct Inner {
    servers: [Server; 2],
    active: usize,
    connections: u64,
    is_down: bool,
    is_frozen: bool,
    /// Since when the store does not answer, in ms; none while it does.
    away_from_ms: Option<u64>,
    /// When the store was last started again or failed over, in ms; none if it never was.
    pub(super) restarted_ms: Option<u64>,
    clock_us: i64,
    peers: Vec<Peer>,
    pub(super) wires: Wires,
    dice: Dice,
    /// Whether the store may be rolled back. Otherwise it need not be copied at each step.
    pub(super) keeps_past: bool,
    past: VecDeque<Snapshot>,
    names: &'static ScriptNames,
    pub(super) oracle: Oracle,
    pub(super) crowd: Crowd,
    /// Seeds of draws.
    seeds: BTreeSet<Vec<u8>>,
    /// Follows from everything that happened.
    pub(super) mark: u64,
    /// Until when a node that knows something must not fail, in ms, because the store has lost it.
    pub(super) losing_until_ms: u64,
    /// Until when what a node knows may be unknown to the others, in ms.
    pub(super) troubled_until_ms: u64,
    /// Commands and replies, if they are wanted.
    pub(super) recorded: Option<Vec<Recorded>>,
    /// What happened, if it is to be told.
    pub(super) story: Option<Vec<String>>,
}

pub(super) struct World {
    begun: Instant,
    changed: Notify,
    inner: Mutex<Inner>,
}

/// Returns identities that follow from dice.
fn life(dice: &mut Dice) -> Life {
    let mut id = || {
        let mut bytes = [0; 20];
        dice.fill(&mut bytes);
        shared::crypto::hex(&bytes)
    };
    Life {
        run_id: id(),
        replication_id: id(),
    }
}

impl World {
    /// Creates a store without data, for this many nodes.
    pub(super) fn new(
        mut dice: Dice,
        nodes: usize,
        crowd: Crowd,
        names: &'static ScriptNames,
    ) -> World {
        let begun = Instant::now();
        let peers = (0..nodes).map(|_| Peer {
            life: None,
            connections_from: 0,
            last_at: begun,
            is_cut: false,
            dice: dice.split(),
        });
        let peers = peers.collect();
        let servers = [Server::new(life(&mut dice)), Server::new(life(&mut dice))];
        let inner = Inner {
            servers,
            active: 0,
            connections: 0,
            is_down: false,
            is_frozen: false,
            away_from_ms: None,
            restarted_ms: None,
            clock_us: 0,
            peers,
            wires: Wires::default(),
            dice,
            keeps_past: false,
            past: VecDeque::new(),
            names,
            oracle: Oracle::default(),
            crowd,
            seeds: BTreeSet::new(),
            mark: 0,
            losing_until_ms: 0,
            troubled_until_ms: 0,
            recorded: None,
            story: None,
        };
        World {
            begun,
            changed: Notify::new(),
            inner: Mutex::new(inner),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Returns the time since the beginning, in ms.
    pub(super) fn now_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }

    /// Returns the time of the store's clock, in ms.
    pub(super) fn store_ms(&self) -> i64 {
        START_MS + self.now_ms() as i64 + self.lock().clock_us / 1000
    }

    /// Adds a line to the story.
    pub(super) fn tell(&self, line: impl FnOnce() -> String) {
        let now = self.now_ms();
        if let Some(story) = &mut self.lock().story {
            story.push(format!("{now:>7} {}", line()));
        }
    }

    /// Returns other dice.
    pub(super) fn split_dice(&self) -> Dice {
        self.lock().dice.split()
    }

    /// Replaces the seed of a draw that a node made by one that follows from the dice.
    pub(super) fn reseed(&self, words: &mut [Vec<u8>]) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        let parts: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let at = match script_name(inner.names, &parts) {
            Some("configure") => Some(SEED_OF_CONFIGURE),
            _ => parts
                .iter()
                .position(|word| *word == b"seed")
                .map(|at| at + 1),
        };
        if let Some(seed) = at.and_then(|at| words.get_mut(at))
            && !inner.seeds.contains(seed)
        {
            let mut bytes = [0; 32];
            inner.dice.fill(&mut bytes);
            *seed = shared::crypto::hex(&bytes).into_bytes();
            inner.seeds.insert(seed.clone());
        }
    }

    /// Decides the way of a message. Messages of one node arrive in the order in which they are
    /// sent.
    pub(super) fn passage(&self, end: End) -> Passage {
        let now = Instant::now();
        let mut inner = self.lock();
        let wires = inner.wires.clone();
        let peer = &mut inner.peers[end.node];
        let delay = Duration::from_millis(peer.dice.between(0, wires.delay_ms_max));
        peer.last_at = peer.last_at.max(now + delay);
        Passage {
            arrives_at: peer.last_at,
            back: Duration::from_millis(peer.dice.between(0, wires.delay_ms_max)),
            fate: wires.fate(&mut peer.dice),
        }
    }

    /// Waits until the store answers the node.
    ///
    /// # Errors
    /// If there is no store.
    pub(super) async fn wait_for_store(&self, end: End) -> Result<(), RedisError> {
        loop {
            let changed = self.changed.notified();
            {
                let inner = self.lock();
                if inner.is_down {
                    return Err(refused());
                }
                if end.connection > 0 && inner.peers[end.node].connections_from > end.connection {
                    return Err(broken());
                }
                if !inner.is_frozen && !inner.peers[end.node].is_cut {
                    return Ok(());
                }
            }
            changed.await;
        }
    }

    /// Returns whether a node is in this life.
    pub(super) fn is_alive(&self, node: usize, life: u64) -> bool {
        self.lock().peers[node].life == Some(life)
    }

    /// Returns whether a node is cut off.
    pub(super) fn is_cut(&self, node: usize) -> bool {
        self.lock().peers[node].is_cut
    }

    /// Returns since when the store has answered no one, in ms, if the time does not count.
    pub(super) fn away_from_ms(&self) -> Option<u64> {
        let now_ms = self.now_ms();
        let since = self.lock().away_from_ms;
        since.filter(|since| since + UNHEARD_MS <= now_ms)
    }

    /// Returns by how many ms the store's clock was set since the beginning.
    pub(super) fn clock_ms(&self) -> i64 {
        self.lock().clock_us / 1000
    }

    /// Begins a life of a node, or ends it.
    pub(super) fn set_life(&self, node: usize, life: Option<u64>) {
        self.lock().peers[node].life = life;
    }

    /// Numbers a new connection.
    pub(super) fn connect(&self) -> u64 {
        let mut inner = self.lock();
        inner.connections += 1;
        inner.connections
    }

    pub(super) fn is_connected(&self, end: End) -> bool {
        let inner = self.lock();
        !inner.is_down && inner.peers[end.node].connections_from <= end.connection
    }

    pub(super) fn break_connection(&self, end: End) {
        let mut inner = self.lock();
        let peer = &mut inner.peers[end.node];
        peer.connections_from = peer.connections_from.max(end.connection + 1);
    }

    /// Runs a command at the store and has the oracle look at it.
    pub(super) fn execute(&self, node: usize, words: &[Vec<u8>]) -> Reply {
        let elapsed = self.begun.elapsed();
        let mut inner = self.lock();
        let inner = &mut *inner;
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let store_us = START_MS * 1000 + elapsed.as_micros() as i64 + inner.clock_us;
        let server = &mut inner.servers[inner.active];
        let reply = server.execute(store_us, &words);
        if let Some(recorded) = &mut inner.recorded {
            recorded.push(Recorded {
                words: words.iter().map(|word| word.to_vec()).collect(),
                store_ms: store_us / 1000,
                reply: reply.clone(),
            });
        }
        let length: usize = words.iter().map(|word| word.len()).sum();
        let mark = inner.mark.rotate_left(7) ^ elapsed.as_micros() as u64;
        inner.mark = mark
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(length as u64);
        let is_missing = matches!(&reply, Reply::Error(text) if text.starts_with("NOSCRIPT"));
        let Some(name) = script_name(inner.names, &words).filter(|_| !is_missing) else {
            return reply;
        };
        let step = Step {
            at_ms: elapsed.as_millis() as u64,
            store_ms: store_us / 1000,
            node,
            name,
            arguments: words.get(4..).unwrap_or_default(),
            reply: &reply,
        };
        if let Some(story) = &mut inner.story {
            story.push(step.describe());
        }
        if inner.keeps_past {
            inner.past.push_back(server.snapshot());
        }
        if inner.past.len() > PAST_MAX {
            inner.past.pop_front();
        }
        let database = server.database();
        inner.oracle.look(&step, database, &mut inner.crowd);
        reply
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let now_ms = self.now_ms();
        let mut inner = self.lock();
        change(&mut inner);
        let is_away = inner.is_down || inner.is_frozen;
        let since = inner.away_from_ms.unwrap_or(now_ms);
        inner.away_from_ms = is_away.then_some(since);
        drop(inner);
        self.changed.notify_waiters();
    }

    /// Ends all connections.
    fn break_all(inner: &mut Inner) {
        let next = inner.connections + 1;
        for peer in &mut inner.peers {
            peer.connections_from = next;
        }
    }

    /// Kills the store.
    pub(super) fn stop_store(&self) {
        self.change(|inner| {
            World::break_all(inner);
            inner.is_down = true;
        });
    }

    /// Starts the store with the data it had this many steps ago; all of them: with none.
    pub(super) fn start_store(&self, steps_back: Option<usize>) {
        let now_ms = self.now_ms();
        self.change(|inner| {
            let data = match steps_back {
                Some(0) => inner.servers[inner.active].snapshot(),
                Some(steps) => inner.before(steps),
                None => Snapshot::default(),
            };
            let life = life(&mut inner.dice);
            inner.servers[inner.active].restart(life, data);
            inner.is_down = false;
            inner.note_restart(now_ms);
        });
    }

    /// Removes all data of the store.
    pub(super) fn flush_store(&self) {
        let now_ms = self.now_ms();
        self.change(|inner| {
            let life = inner.servers[inner.active].life().clone();
            // Scripts are forgotten as well: loaded again at the next call.
            inner.servers[inner.active].restart(life, Snapshot::default());
            inner.note_restart(now_ms);
        });
    }

    /// Has the replica take over, with the data of this many steps ago. It keeps its run id; its
    /// replication id is a new one.
    pub(super) fn fail_over(&self, steps_back: usize) {
        let now_ms = self.now_ms();
        self.change(|inner| {
            World::break_all(inner);
            let data = inner.before(steps_back);
            let promoted = life(&mut inner.dice);
            inner.active = 1 - inner.active;
            let server = &mut inner.servers[inner.active];
            let life = Life {
                run_id: server.life().run_id.clone(),
                replication_id: promoted.replication_id,
            };
            server.restart(life, data);
            inner.is_down = false;
            inner.note_restart(now_ms);
        });
    }

    pub(super) fn freeze_store(&self, is_frozen: bool) {
        self.change(|inner| inner.is_frozen = is_frozen);
    }

    /// Cuts a node off, or connects it again. While it is cut off, messages wait, unless the
    /// connections break.
    pub(super) fn cut(&self, node: usize, is_cut: bool, breaks: bool) {
        self.change(|inner| {
            let next = inner.connections + 1;
            let peer = &mut inner.peers[node];
            peer.is_cut = is_cut;
            if breaks {
                peer.connections_from = next;
            }
        });
    }

    /// Sets the store's clock forward or back.
    pub(super) fn step_clock(&self, ms: i64) {
        self.change(|inner| {
            inner.clock_us += ms * 1000;
            inner.oracle.clock_stepped();
        });
    }

    /// Has the scripts changed before they run.
    pub(super) fn rewrite_scripts(&self, rewrite: &simulation::Rewrite) {
        self.change(|inner| {
            for server in &mut inner.servers {
                server.rewrite_scripts(rewrite.clone());
            }
        });
    }

    /// Returns how many steps the store can be rolled back.
    pub(super) fn past_steps(&self) -> usize {
        self.lock().past.len()
    }

    /// Returns the line as the store has it.
    pub(super) fn stored(&self) -> Option<Stored> {
        let inner = self.lock();
        Stored::read(inner.servers[inner.active].database(), None)
    }
}

impl Inner {
    /// Returns the data as it was this many steps ago, or at the earliest time known.
    fn before(&self, steps: usize) -> Snapshot {
        let last = self.past.len().saturating_sub(1);
        let found = self.past.get(last.saturating_sub(steps));
        found.cloned().unwrap_or_default()
    }

    /// Forgets the event, which was deleted.
    pub(super) fn begin_anew(&mut self, now_ms: u64) {
        self.oracle.begin_anew();
        self.crowd.begin_anew(now_ms);
    }

    /// Has the store not go back to what it was before.
    pub(super) fn forget_past(&mut self) {
        self.past.clear();
    }

    fn note_restart(&mut self, now_ms: u64) {
        self.restarted_ms = Some(now_ms);
        let database = self.servers[self.active].database();
        if self.oracle.restarted(database) {
            self.crowd
                .excuse("the store has an event again that was deleted");
        }
    }
}

/// Returns the name of the script that a command calls.
fn script_name(names: &ScriptNames, words: &[&[u8]]) -> Option<&'static str> {
    let is_call = [&b"EVALSHA"[..], b"EVAL"].contains(&words[0]);
    let named = *words.get(1).filter(|_| is_call)?;
    names.get(named).copied()
}
