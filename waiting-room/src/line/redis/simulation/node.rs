//! A node: the real engine on a link to the simulated store, with its ticks and its sockets.

use super::fan::{Door, FanRequest};
use super::link::Link;
use super::stored::Stored;
use super::world::World;
use crate::draw::{Entry, order, root_of_visitors, unhex_all};
use crate::hub::EventHub;
use crate::line::redis::address::{Address, Servers, Source};
use crate::line::redis::connection::Connection;
use crate::line::redis::keys::Keys;
use crate::line::redis::{Redis, Store};
use crate::line::{Line as _, LineView, Refused};
use shared::ids::EventId;
use shared::time::Clock;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Pause between two ticks, in ms.
const TICK_MS: (u64, u64) = (1_000, 2_200);

/// A node in one of its lives.
pub(super) struct Node {
    pub(super) door: Door,
    ticking: JoinHandle<()>,
}

impl Node {
    /// Starts a life of a node.
    pub(super) fn start(
        world: &Arc<World>,
        event: &EventId,
        node: usize,
        life: u64,
        folder: PathBuf,
    ) -> Node {
        world.set_life(node, Some(life));
        let link = Link::new(world.clone(), node, life);
        let id = format!("{node}-{life}");
        let address = Address {
            servers: Servers {
                source: Source::Simulated(link),
                peers: "the simulation".to_owned(),
            },
            has_tls: false,
            prefix: "fairline".to_owned(),
        };
        let store = Store {
            keys: Keys::new(address.prefix.clone()),
            connection: Connection::new(address),
            node: id,
            clock: Clock::system(),
        };
        let engine = Redis::on(store, folder).expect("the folder of a node can be used");
        let engine = Arc::new(engine);
        let door = Door {
            world: world.clone(),
            event: event.clone(),
            node,
            life,
            line: engine,
            list: Arc::default(),
            hub: Arc::default(),
        };
        Node {
            ticking: tokio::spawn(tick(door.clone())),
            door,
        }
    }

    /// Ends this life, as a kill does.
    pub(super) fn kill(self) {
        self.ticking.abort();
        let world = &self.door.world;
        world.set_life(self.door.node, None);
        world.cut(self.door.node, false, false);
        let now_ms = world.now_ms();
        world.lock().crowd.node_died(self.door.node, now_ms);
    }

    /// Returns whether the node knows all numbers that a store has given out.
    pub(super) fn knows_numbers(&self, stored: &Stored) -> bool {
        let lines = self.door.line.lines.read();
        let line = lines.get(&self.door.event);
        line.is_some_and(|line| line.cache().numbers >= stored.numbers)
    }

    /// Returns whether the node knows the draw that a store has held, or that it has held none.
    pub(super) fn knows_draw(&self, stored: &Stored) -> bool {
        let lines = self.door.line.lines.read();
        let line = lines.get(&self.door.event);
        line.is_some_and(|line| line.cache().constants.drawn.as_bytes() == &*stored.draw.outcome)
    }
}

/// Ticks as `ticker.rs` does.
async fn tick(door: Door) {
    let mut dice = door.world.split_dice();
    loop {
        sleep(Duration::from_millis(dice.between(TICK_MS.0, TICK_MS.1))).await;
        if dice.chance(300) {
            let _ = door.line.events().await;
        }
        match door.line.tick(&door.event).await {
            Ok(front) => {
                publish(&door);
                read_list(&door, &front);
                show(&door, front);
            }
            Err(Refused::NoSuchEvent) => door.forget(),
            Err(error) => door
                .world
                .tell(|| format!("node {} ticks: {error}", door.node)),
        }
        let moved = door.line.replaced(&door.event);
        let fans = door.world.lock().crowd.fans.len();
        for fan in 0..fans {
            update(&door, fan, &moved);
        }
    }
}

/// Notes that the node publishes a draw.
fn publish(door: &Door) {
    let lines = door.line.lines.read();
    let Some(line) = lines.get(&door.event) else {
        return;
    };
    let constants = line.cache().constants.clone();
    if !constants.drawn.is_empty() {
        let mut inner = door.world.lock();
        let inner = &mut *inner;
        let oracle = &mut inner.oracle;
        oracle.publish(&constants.seed, &constants.drawn, &inner.crowd);
    }
}

/// Reads the result of a draw once it was held, as `ticker.rs` does; more often, if that failed.
fn read_list(door: &Door, front: &LineView) {
    if front.is_undrawn {
        *door.list.lock() = None;
    }
    if front.drawn > 0 && door.list.lock().is_none() {
        let (door, count) = (door.clone(), front.drawn as usize);
        tokio::spawn(async move {
            let Ok(Some(state)) = door.line.draw(&door.event).await else {
                return;
            };
            let Ok(visitors) = door.line.drawn(&door.event, 1, count).await else {
                return;
            };
            let is_whole = state
                .outcome
                .is_some_and(|outcome| outcome.root == root_of_visitors(&visitors));
            let seed = &state.seed;
            let randomness = state.round.and_then(|round| unhex_all(&round.randomness));
            let entries: Vec<Entry> = visitors.iter().copied().map(Entry::of).collect();
            let order = order(seed, &randomness.unwrap_or_default(), &entries);
            let is_in_order = order.into_iter().eq(0..entries.len() as u32);
            if is_whole && !is_in_order {
                let why = "a list was published that is not in the drawn order";
                door.world.lock().oracle.fail(why.to_owned());
            }
            if is_whole {
                *door.list.lock() = Some(visitors.into_iter().zip(1..).collect());
            }
        });
    }
}

/// Publishes a view. Another event of the same name ends the sockets of the one before.
fn show(door: &Door, front: Arc<LineView>) {
    let hub = door.hub.lock().clone();
    match hub {
        Some(hub) if hub.front().life.creation == front.life.creation => hub.show(front),
        before => {
            if before.is_some() {
                door.forget();
            }
            *door.hub.lock() = Some(Arc::new(EventHub::new(front)));
        }
    }
}

/// Updates the socket of a fan if it is at this node.
fn update(door: &Door, fan: usize, moved: &[shared::ids::VisitorId]) {
    {
        let mut inner = door.world.lock();
        let kept = &mut inner.crowd.fans[fan];
        let Some(socket) = &mut kept.socket else {
            return;
        };
        if socket.node != door.node || socket.life != door.life {
            return;
        }
        if moved.contains(&kept.visitor) {
            socket.watched.is_recorded = false;
        }
    }
    if let Some(visit) = FanRequest::begin(door, fan) {
        tokio::spawn(visit.update());
    }
}
